"""Documents with labels: where they come from, their splits, their minibatches.

Documents of one's own are lines "label<TAB>text" in UTF-8.
"""

import hashlib
from pathlib import Path
from typing import NamedTuple

import numpy as np

from seqjax.data import buckets
from seqjax.data.corpora import Source, fetch, sha256_of, unknown_name
from seqjax.data.synthetic import opinions
from seqjax.data.text import DataError, decode, read_bytes, read_text


class Split(NamedTuple):
    """Documents and their labels, one by one."""

    texts: list
    labels: list


class LabeledCorpus(NamedTuple):
    """Documents in three parts, with the sha256 of the bytes they come from."""

    name: str
    labels: list  # those of the training part, sorted
    train: Split
    valid: Split
    test: Split
    sha256: str


class Batch(NamedTuple):
    """Documents, padded."""

    tokens: np.ndarray  # int32 [T, B]
    lengths: np.ndarray  # int32 [B]; 0 in rows that fill up
    labels: np.ndarray  # int32 [B]; -1 in rows that fill up


# Pang and Lee 2005; research use. www.cs.cornell.edu/people/pabo/movie-review-data has
# an archive of cp1252; these are its sentences in UTF-8, so that there is no address.
_MOVIE_REVIEW = {
    "negative": Source(
        "rt-polarity.neg",
        "36a4a439d400f53654d6cd40d4117c1fe2e517a940d38be8529737f176500ce9",
        None,
    ),
    "positive": Source(
        "rt-polarity.pos",
        "e03bf6a67c21d525874adf395ee0b0308ddc820484c98f378598e7f40ad10775",
        None,
    ),
}
NAMES = ("opinions", "movie_review")


def load(name, data_dir=None, folds=10, fold=0, seed=0):
    """Load documents by name.

    - "opinions": short positive and negative sentences by `data.opinions`, embedded; it
      has parts of its own.
    - "movie_review": 5,331 positive and 5,331 negative sentences of reviews (Pang and
      Lee 2005, arXiv:cs/0506075), split as `split_by_text` says.

    Args:
      name: one of `NAMES`.
      data_dir: where data sets lie; None is $SEQJAX_DATA_DIR, else the user's cache.
      folds, fold, seed: as `split_by_text`.

    Raises:
      DataError: for an unknown name, a file that cannot be had, or a wrong checksum.

    Example:
      >>> corpus = load("opinions")
      >>> corpus.labels, corpus.train.texts[0]
      (['negative', 'positive'], 'i found the song great')
    """
    if name not in NAMES:
        raise DataError(unknown_name("dataset", name, NAMES))
    if name == "opinions":
        parts = opinions.documents()
        content = "\n".join("\t".join(row) for part in parts for row in part)
        return _corpus(name, map(_split, parts), _sha256(content.encode()))
    rows, digest = [], hashlib.sha256()
    for label, source in _MOVIE_REVIEW.items():
        path = fetch(name, source, data_dir)
        digest.update(read_bytes(path))
        rows += [(label, line.strip()) for line in _lines(read_text(path))]
    return split_by_text(name, rows, digest.hexdigest(), folds, fold, seed)


def load_files(paths, folds=10, fold=0, seed=0):
    """Documents of one's own, from one file, split by `split_by_text`, or from three.

    Args:
      paths: one file of lines "label<TAB>text", or train, valid and test.

    Raises:
      DataError: as `read_tsv`, or for another number of files, a label that only a
        held-out part has, or fewer than two labels.
    """
    paths = list(paths)
    contents = [read_bytes(path) for path in paths]  # once: they may be pipes
    sha256, name = sha256_of(contents), Path(paths[0]).name
    if len(paths) == 1:
        rows = _parse_tsv(contents[0], paths[0])
        return split_by_text(name, rows, sha256, folds, fold, seed)
    if len(paths) != 3:
        raise DataError(
            f"one file was expected, or three (train, valid, test), got {len(paths)}."
        )
    train = _parse_tsv(contents[0], paths[0])
    known = {label for label, _ in train}
    held_out = (
        _parse_tsv(content, path, known)
        for content, path in zip(contents[1:], paths[1:], strict=True)
    )
    return _corpus(name, map(_split, (train, *held_out)), sha256)


def read_tsv(path, known=None):
    """A Split from a UTF-8 file of lines "label<TAB>text"; blank lines are left out.

    Args:
      known: the labels there may be; None is any.

    Raises:
      DataError: if it cannot be read or, with the line's number, a line has no tab, no
        label, no text, or a label that is not known.
    """
    return _split(_parse_tsv(read_bytes(path), path, known))


def split_by_text(name, rows, sha256, folds=10, fold=0, seed=0):
    """Parts by a hash of the text: no text is in two of them, however often it comes.

    The documents fall into `folds` shares of about one size: share `fold` is to test,
    the next one to validate, the others to train. With folds=10 that is 80/10/10, and
    fold = 0 .. 9 is tenfold cross-validation.

    Args:
      rows: (label, text); the order within a part is theirs.
      folds: 3 at least.
      fold: below `folds`.
      seed: another seed makes other shares.

    Raises:
      DataError: if a part would be empty, or a label is in no training document.
    """
    parts = [], [], []
    for label, text in rows:
        plain = " ".join(text.lower().split())  # case and spacing are no difference
        share = int(_sha256(f"{seed} {plain}".encode())[:8], 16) % folds
        parts[{fold: 2, (fold + 1) % folds: 1}.get(share, 0)].append((label, text))
    return _corpus(name, map(_split, parts), sha256)


def plan(documents, batch_size, rng=None):
    """The Buckets of documents, integer arrays, in minibatches of one padded length.

    Args:
      rng: a numpy Generator that shuffles; None sorts by length.
    """
    return buckets.plan_lengths([len(d) for d in documents], batch_size, rng=rng)


def make_batch(documents, labels, bucket):
    """The Batch of a Bucket.

    Args:
      documents: integer arrays, one a document.
      labels: integers, one a document.
    """
    kept = bucket.rows >= 0
    rows = bucket.rows[kept]
    tokens, lengths = buckets.pad([documents[i] for i in rows], bucket)
    there = np.full(len(kept), -1, np.int32)
    there[: len(rows)] = [labels[i] for i in rows]
    return Batch(tokens, lengths, there)


def _corpus(name, splits, sha256):
    splits = dict(zip(("train", "valid", "test"), splits, strict=True))
    labels = sorted(set(splits["train"].labels))
    for part, split in splits.items():
        if not split.texts:
            raise DataError(f"{name} has nothing in its {part} part; more are needed.")
        for label in split.labels:
            if label not in labels:
                raise DataError(
                    f"{name} has the label {label!r} in its {part} part, but not in "
                    f"what it trains on."
                )
    if len(labels) < 2:
        raise DataError(
            f"{name} has the label {labels[0]!r} alone; two are needed at least."
        )
    return LabeledCorpus(name, labels, *splits.values(), sha256)


def _parse_tsv(content, path, known=None):
    rows = []
    for number, line in enumerate(_lines(decode(content, path)), start=1):
        label, tab, text = line.partition("\t")
        label, text, where = label.strip(), text.strip(), f"{path}, line {number}"
        if not (tab or label):
            continue
        if not (label and text):
            raise DataError(
                f"{where}: a label, a tab and a text were expected, got {line[:40]!r}."
            )
        if known is not None and label not in known:
            raise DataError(
                f"{where}: the label {label!r} is none that training saw "
                f"({', '.join(sorted(known)[:5])})."
            )
        rows.append((label, text))
    return rows


def _lines(text):
    return text.removesuffix("\n").split("\n")


def _split(rows):
    return Split([text for _, text in rows], [label for label, _ in rows])


def _sha256(content):
    return hashlib.sha256(content).hexdigest()
