"""Sentence pairs and small files of them, for several test files."""

import hashlib

import pytest

from seqjax.data.text import DataError

PARTS = ("train", "valid", "test")
# Enough pairs for each part.
PAIRS = [(f"sentence {i} .", f"phrase {i} .") for i in range(200)]
IN_VALID = [50, 87, 144, 158, 162]
IN_TEST = [64]


def sha256(content):
    return hashlib.sha256(content).hexdigest()


def refused(function, *args):
    """The sentence of the DataError of a call."""
    with pytest.raises(DataError) as error:
        function(*args)
    assert "\n" not in str(error.value)
    return str(error.value)


def write(folder, name, content):
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def splits(corpus):
    return [getattr(corpus, part) for part in PARTS]


def pairs_of(split):
    return list(zip(*split, strict=True))


def as_tsv(pairs, more=""):
    return "".join(f"{source}\t{target}{more}\n" for source, target in pairs)
