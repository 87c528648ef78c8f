"""How programs of tests are compiled; tests/test_compiled.py has the other half."""

import jax
import pytest

from tests import quick


def test_programs_of_an_unmarked_file_have_the_quick_options(monkeypatch):
    monkeypatch.setitem(quick.OPTIONS, "xla_no_such_option", 0)
    with pytest.raises(jax.errors.JaxRuntimeError, match="xla_no_such_option"):
        jax.jit(lambda x: x + 1)(1.0)
