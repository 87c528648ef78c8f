"""Sentence pairs: where they come from, their splits, the textbook's cleaning.

Pairs of one's own are two line-aligned files, or one file with a tab in each line.
"""

import hashlib
import re
from pathlib import Path
from typing import NamedTuple

from seqjax.data.corpora import Source, fetch, split_by_hash, unknown_name
from seqjax.data.synthetic import grammar
from seqjax.data.text import DataError, decode, read_bytes


class Split(NamedTuple):
    """Sentences and their translations, line by line."""

    source: list
    target: list


class ParallelCorpus(NamedTuple):
    """Sentence pairs in three parts, with the sha256 of the bytes they come from."""

    name: str
    train: Split
    valid: Split
    test: Split
    sha256: str


_MULTI30K = {  # Elliott et al. 2016, arXiv:1605.00459; research, non-commercial.
    "train.en": "460a15fbd157e34a7a9957ee388c1ca247fe47af3ef25fb50442af6c274e0fc6",
    "train.de": "2c2b73fd2b548fbcde3a875e0a78d6ee94d498bfdee6bd3eae3945779e9ddf72",
    "val.en": "1f2a23d992769b5b3d209b0a10dd0b77c08cceb1f20dfb97ed0aafa49d107227",
    "val.de": "660e09eb7e1da2f856ea13ee5ad3cf6d36b3d5b0b733c857e94c5747a3dfc660",
    "test_2016_flickr.en": (
        "399a4382932c1aadd3ceb9bef1008d388a64c76d4ae4e9d4728c6f4301cac182"
    ),
    "test_2016_flickr.de": (
        "4be6b5b3236b79c25475c6bb829800a7ce559e9ba7a1f6c2394fe4d40be46d16"
    ),
}
_FRA_ENG = Source(  # manythings.org/anki and tatoeba.org; CC BY 2.0.
    "fra.txt",
    "0bb85dbaa1c896844649094d7eaf2e34bee34e84fe362b26ce7e8f2e12aae104",
    "https://d2l-data.s3-accelerate.amazonaws.com/fra-eng.zip",
    member="fra-eng/fra.txt",
    archive_hash="sha1:94646ad1522d915e7b0f9296181140edcf86a4f5",
)
NAMES = ("grammar", "fra_eng", "multi30k")
HELD_OUT = 2  # percent of the sources to validate on, and as many to test on


def load(name, data_dir=None, swap=False):
    """Load sentence pairs by name, the first language English.

    - "grammar": English-French by `data.grammar`, embedded.
    - "fra_eng": 167,130 English-French pairs, split by the English side, of which many
      repeat: 2 % to validate, 2 % to test.
    - "multi30k": English-German captions, the official splits, test_2016_flickr.

    Args:
      name: one of `NAMES`.
      data_dir: where corpora lie; None is $SEQJAX_DATA_DIR, else the user's cache.
      swap: whether to translate into English; fra_eng is then split by the French side.

    Raises:
      DataError: for an unknown name, a file that cannot be had, or a wrong checksum.

    Example:
      >>> corpus = load("grammar")
      >>> corpus.train.source[0], corpus.train.target[0]
    """
    if name not in NAMES:
        raise DataError(unknown_name("dataset", name, NAMES))
    if name == "grammar":
        splits = [_split(pairs) for pairs in grammar.pairs()]
        content = "\n".join(line for split in splits for side in split for line in side)
        corpus = ParallelCorpus(name, *splits, _sha256(content.encode()))
        return _turned(corpus) if swap else corpus
    if name == "fra_eng":
        path = fetch(name, _FRA_ENG, data_dir)
        return split_by_source(name, _read_tsv(path, swap), _FRA_ENG.sha256)
    paths = [
        fetch(name, Source(file, sha256, None), data_dir)
        for file, sha256 in _MULTI30K.items()
    ]
    corpus = load_files(paths[::2], paths[1::2], name)
    return _turned(corpus) if swap else corpus


def load_files(source_files, target_files, name=None):
    """Pairs from line-aligned UTF-8 files: one a side, or three: train, valid, test.

    One is split by its source sides, see `split_by_source`.

    Raises:
      DataError: for files that cannot be read, are not as many on both sides, differ
        in lines, or have a line that is empty on one side alone.
    """
    if len(source_files) != len(target_files) or len(source_files) not in (1, 3):
        raise DataError(
            f"one file a side was expected, or three (train, valid, test), got "
            f"{len(source_files)} and {len(target_files)}."
        )
    digest, splits = hashlib.sha256(), []
    for files in zip(source_files, target_files, strict=True):
        contents = [read_bytes(path) for path in files]
        for content in contents:
            digest.update(content)
        splits.append(_aligned(contents, files))
    name = name or Path(source_files[0]).name
    if len(splits) == 1:
        pairs = zip(*splits[0], strict=True)
        return split_by_source(name, list(pairs), digest.hexdigest())
    return ParallelCorpus(name, *splits, digest.hexdigest())


def load_split(source_file, target_file):
    """The pairs of two line-aligned UTF-8 files, lines empty in both left out.

    Raises:
      DataError: as `load_files`.
    """
    files = source_file, target_file
    return _aligned([read_bytes(path) for path in files], files)


def load_tsv(path, swap=False):
    """Pairs from a UTF-8 file of lines "source<TAB>target", more columns ignored.

    Raises:
      DataError: if it cannot be read, or a line has no tab: with the line's number.
    """
    pairs = _read_tsv(path, swap)
    return split_by_source(Path(path).name, pairs, _sha256(read_bytes(path)))


def split_by_source(name, pairs, sha256):
    """Held-out parts by the hash of the source side: no sentence is in two of them.

    Args:
      pairs: (source, target) sentences; the order within a part is theirs.

    Raises:
      DataError: if a part would be empty.
    """
    parts = split_by_hash(name, pairs, lambda pair: pair[0], HELD_OUT, "pair")
    return ParallelCorpus(name, *map(_split, parts.values()), sha256)


def clean(text):
    """The textbook's cleaning: plain spaces, lower-case, a space before , . ! and ?

    >>> clean("Ça alors\\u202f!  Va-t'en.")
    "ça alors ! va-t'en ."
    """
    text = re.sub("[\\u202f\\xa0\\u2009]", " ", text).lower()
    return " ".join(re.sub(r"(?<=\S)([,.!?])", r" \1", text).split())


def _turned(corpus):
    """From the second language into the first."""
    splits = (corpus.train, corpus.valid, corpus.test)
    train, valid, test = (Split(split.target, split.source) for split in splits)
    return corpus._replace(train=train, valid=valid, test=test)


def _read_tsv(path, swap):
    pairs = []
    for number, line in enumerate(_lines(decode(read_bytes(path), path)), start=1):
        if not line.strip() and "\t" not in line:
            continue
        source, tab, rest = line.partition("\t")
        target = rest.partition("\t")[0]
        if not (tab and source.strip() and target.strip()):
            raise DataError(
                f"{path}, line {number}: a sentence, a tab and its translation were "
                f"expected, got {line[:40]!r}."
            )
        pairs.append((target, source) if swap else (source, target))
    return pairs


def _aligned(contents, files):
    source, target = (
        _lines(decode(content, file))
        for content, file in zip(contents, files, strict=True)
    )
    if len(source) != len(target):
        raise DataError(
            f"{files[0]} has {len(source)} lines and {files[1]} {len(target)}; line by "
            f"line translations were expected."
        )
    pairs = []
    for number, pair in enumerate(zip(source, target, strict=True), start=1):
        empty = [not side.strip() for side in pair]
        if any(empty) and not all(empty):
            raise DataError(
                f"{files[empty.index(True)]}, line {number} is empty, but "
                f"{files[empty.index(False)]} has a sentence there."
            )
        if not all(empty):
            pairs.append(pair)
    return _split(pairs)


def _lines(text):
    return text.removesuffix("\n").split("\n")


def _split(pairs):
    return Split([source for source, _ in pairs], [target for _, target in pairs])


def _sha256(content):
    return hashlib.sha256(content).hexdigest()
