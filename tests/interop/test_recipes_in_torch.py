"""The first minibatches of every language model recipe, in PyTorch as well."""

import dataclasses

import jax
import pytest

pytest.importorskip("torch")

from tests.interop.recipes_in_torch import RECIPES, compare


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_trains_as_in_torch(name):
    """`python -m tests.interop.recipes_in_torch` does so for 300 minibatches."""
    with jax.enable_x64(True), jax.numpy_dtype_promotion("standard"):
        found = compare(name, 20)
    assert max(dataclasses.astuple(found)) < 1e-4
