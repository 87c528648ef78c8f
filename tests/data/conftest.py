"""Fixtures for the tests of data: downloads without a network, published corpora."""

from pathlib import Path

import pooch
import pytest

from seqjax.data import parallel
from seqjax.data.sources import default_data_dir


@pytest.fixture
def internet(monkeypatch):
    """A list of the next downloads: contents, or exceptions to raise.

    Only the transfer is replaced; pooch checks and unpacks the contents.
    """
    answers = []

    def download(url, output_file, _):
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        Path(output_file).write_bytes(answer)

    monkeypatch.setattr(pooch.core, "choose_downloader", lambda *_, **__: download)
    return answers


@pytest.fixture(scope="session")
def real_pairs():
    """real_pairs(name): a corpus as published, read once."""
    corpora = {}

    def read(name):
        if not (default_data_dir() / name).is_dir():
            pytest.skip(f"needs {name} in SEQJAX_DATA_DIR")
        if name not in corpora:
            corpora[name] = parallel.load(name)
        return corpora[name]

    return read
