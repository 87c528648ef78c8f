"""Layers of all libraries are equal, and the equality check finds differences."""

import dataclasses

import jax
import numpy as np
import pytest

import seqjax
from experiments.benchmarks import equality, peers
from experiments.benchmarks.config import CELLS
from experiments.common.errors import UserError


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("peer", peers.MODULES)
def test_peers_are_equal_in_float64(cell, peer):
    pytest.importorskip(peers.MODULES[peer], reason="a peer is optional")
    cell = CELLS[cell](5)
    # torch is the reference, and so is compared with itself.
    names = ("seqjax", "torch") if peer == "torch" else (peer,)
    layers = {name: peers.LIBRARIES[name](cell) for name in names}
    equality.check_float64(layers, cell, (4, 3, 2, 5))


PERTURBED = {
    "ys": lambda state, ys: (state, ys * (1 + 1e-6)),
    r"last state\.c": lambda state, ys: (state._replace(c=state.c + 1e-6), ys),
    "gradient of": lambda state, ys: (jax.lax.stop_gradient(state), ys),
}


@pytest.mark.parametrize("tensor", PERTURBED)
def test_equality_check_names_arm_cell_and_tensor(tensor):
    cell = seqjax.LSTM(5)
    layer = peers.seqjax_layer(cell)

    def apply(weights, xs, state):
        return PERTURBED[tensor](*layer.apply(weights, xs, state))

    other = dataclasses.replace(layer, apply=apply)
    with pytest.raises(UserError, match=rf"^other, LSTM\(.*{tensor}"):
        equality.check_float64({"other": other}, cell, (4, 3, 2, 5))


def test_nan_is_not_equal():
    one, nan = {"ys": np.ones(2)}, {"ys": np.array([1.0, np.nan])}
    equality.compare("arm", one, one, 1e-9)
    with pytest.raises(UserError, match="ys"):
        equality.compare("arm", nan, one, 1e-9)
