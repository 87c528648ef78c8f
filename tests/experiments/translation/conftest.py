"""Corpora and runs of the translation command, made when a test first needs them."""

import pytest

from tests.small_translation import FAST, WELL, train, write_pairs


@pytest.fixture(scope="session")
def corpus(tmp_path_factory):
    return write_pairs(tmp_path_factory.mktemp("data") / "pairs.tsv")


@pytest.fixture(scope="session")
def short_corpus(tmp_path_factory):
    """All of one padded length: a model of words is compiled once."""
    path = tmp_path_factory.mktemp("short_data") / "pairs.tsv"
    return write_pairs(path, longest=3)


@pytest.fixture(scope="session")
def runs(tmp_path_factory):
    """A folder for runs that several tests use."""
    return tmp_path_factory.mktemp("runs")


@pytest.fixture
def trained(as_a_user, corpus, runs):
    """The workdir of a run that has learned; not to be changed."""
    workdir = runs / "trained"
    if not (workdir / "summary.json").exists():
        result = train(corpus, workdir, *WELL)
        assert result.code == 0, result.err
        (runs / "trained.txt").write_text(result.out, encoding="utf-8")
    return workdir


@pytest.fixture
def untrained(as_a_user, corpus, runs):
    """Workdirs of two runs that differ by their seeds and have learned nothing."""
    for seed in (0, 1):
        if not (runs / str(seed) / "summary.json").exists():
            more = ("--epochs=1", "--learning_rate=0", f"--seed={seed}", *FAST)
            more = (*more, "--cell=gru")
            result = train(corpus, runs / str(seed), *more)
            assert result.code == 0, result.err
    return runs / "0", runs / "1"
