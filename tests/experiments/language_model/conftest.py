"""The corpus that tests of the language model command train on."""

import pytest

from tests.small_language_model import write_corpus


@pytest.fixture
def corpus(tmp_path):
    return write_corpus(tmp_path / "corpus.txt")
