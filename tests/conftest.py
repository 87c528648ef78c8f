"""Strict settings for every test: no silent promotion of dtypes, warnings are errors.

Ranks may be promoted: a bias [H] is added to [T, ..., H], by the contract.
"""

import os

import jax
import pytest
from jax.experimental.compilation_cache import compilation_cache

from tests import quick

# XLA reads its flags at the first program. The user's flags override the quick ones.
os.environ["XLA_FLAGS"] = f"{quick.XLA_FLAGS} {os.environ.get('XLA_FLAGS', '')}"
jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_default_matmul_precision", "highest")


def pytest_addoption(parser):
    parser.addoption(
        "--cell",
        metavar="MODULE:CLASS",
        help="A cell of your own to run the laws on, besides those of the library.",
    )


def pytest_configure(config):
    if name := config.getoption("--cell"):
        from tests import law_cells

        try:
            law_cells.add(name)
        except (AttributeError, ImportError, ValueError) as error:
            raise pytest.UsageError(f"--cell={name}: {error}") from None


@pytest.fixture(autouse=True, scope="session")
def compiled_programs(tmp_path_factory):
    """Each program is compiled once in a worker and the processes that it starts.

    jax does not write an entry at once, so that workers cannot share a folder. A folder
    in the environment serves several runs.
    """
    if "JAX_COMPILATION_CACHE_DIR" in os.environ:
        yield
        return
    folder = tmp_path_factory.getbasetemp()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {
            "jax_compilation_cache_dir": str(folder / "xla"),
            "jax_persistent_cache_min_compile_time_secs": 0.0,
            "jax_persistent_cache_min_entry_size_bytes": -1,
        }.items():
            jax.config.update(name, value)
            patch.setenv(name.upper(), str(value))  # for processes of their own
        # jax decides at its first program, which may be one of an import, whether it
        # has a cache.
        compilation_cache.reset_cache()
        yield


@pytest.fixture(autouse=True, scope="module")
def forgotten_programs():
    """The programs of one file do not slow down those of the next, nor fill memory."""
    yield
    jax.clear_caches()


@pytest.fixture
def key():
    return jax.random.key(0)


@pytest.fixture
def x64():
    """float64 for as long as a test runs."""
    with jax.enable_x64(True):
        yield
