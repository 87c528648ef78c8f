"""The options that the programs of tests are compiled with."""

import jax
import pytest

from tests import quick


def changed_options(jit, folder):
    """Names of the options of a compiled program that differ from XLA's defaults."""
    jit(lambda x: x + 1).lower(1.0).compile({"xla_dump_to": str(folder)})
    (path,) = folder.glob("*.debug_options")
    return {line.split(":")[0] for line in path.read_text().splitlines()}


def test_programs_of_tests_have_the_quick_options(tmp_path):
    assert set(quick.OPTIONS) <= changed_options(jax.jit, tmp_path)


def test_optimized_programs_have_the_default_options(tmp_path):
    assert changed_options(quick.optimized, tmp_path).isdisjoint(quick.OPTIONS)


def test_quick_and_default_options_have_the_same_names():
    assert set(quick.OPTIONS) == set(quick.DEFAULTS)


def test_an_option_of_a_program_that_xla_does_not_know_is_an_error():
    with pytest.raises(jax.errors.JaxRuntimeError, match="xla_no_such_option"):
        jax.jit(lambda x: x + 1, compiler_options={"xla_no_such_option": 0})(1.0)
