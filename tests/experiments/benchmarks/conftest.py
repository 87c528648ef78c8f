"""Fixtures of the benchmark tests."""

from collections.abc import Callable

import jax
import pytest
from jax.experimental.compilation_cache import compilation_cache as cache

from tests.commands import run


@pytest.fixture(autouse=True)
def compilation_cache():
    """Enable the compilation cache again, which a benchmark disables."""
    yield
    jax.config.update("jax_enable_compilation_cache", True)
    cache.reset_cache()  # jax asks for the setting only once


@pytest.fixture
def error_of() -> Callable[..., str]:
    """error_of(main, *argv): the error line of a command that exits with code 2."""

    def error_of(main, *argv):
        result = run(main, *argv)
        assert result.code == 2, result.err
        assert "Traceback" not in result.err
        lines = [x for x in result.err.splitlines() if x.startswith("error: ")]
        assert len(lines) == 1
        return lines[0]

    return error_of
