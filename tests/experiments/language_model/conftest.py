"""The corpus that tests of the language model command train on, and a run of it."""

import shutil

import jax
import pytest

from tests.small_language_model import train, write_corpus


@pytest.fixture
def corpus(tmp_path):
    return write_corpus(tmp_path / "corpus.txt")


@pytest.fixture(scope="session")
def small_run(tmp_path_factory):
    """A finished run of SMALL; not to be changed."""
    folder = tmp_path_factory.mktemp("small")
    with jax.numpy_dtype_promotion("standard"), jax.default_matmul_precision(None):
        assert train(write_corpus(folder / "corpus.txt"), folder / "run") == 0
    return folder / "run"


@pytest.fixture
def finished(small_run, tmp_path):
    """The workdir of a finished run of SMALL, of the test's own."""
    return shutil.copytree(small_run, tmp_path / "run")
