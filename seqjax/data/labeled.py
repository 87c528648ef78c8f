"""Documents with labels: sources, splits, minibatches, and the user's own files.

The user's own documents are lines "label<TAB>text" or CSV, see `data.document_files`.
"""

from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from seqjax.data import buckets
from seqjax.data.document_files import LABEL_NAMES, TEXT_NAMES, parse_documents
from seqjax.data.names import unknown_name
from seqjax.data.sources import Source, fetch, hashed_share, sha256_of
from seqjax.data.synthetic import opinions
from seqjax.data.tables import (
    Part,
    checksum,
    choose_columns,
    is_table,
    names_of,
    read_part,
    read_parts,
    read_table,
    texts_of,
)
from seqjax.data.text import DataError, decode, read_bytes, split_lines


class LabeledSplit(NamedTuple):
    """Documents and their labels, two lists of one length."""

    texts: list[str]
    labels: list[str]


class LabeledCorpus(NamedTuple):
    """Documents in three parts, with the sha256 of their bytes."""

    name: str
    labels: list[str]  # of the training part, sorted
    train: LabeledSplit
    valid: LabeledSplit
    test: LabeledSplit
    sha256: str


class LabeledBatch(NamedTuple):
    """Padded documents and their labels."""

    tokens: np.ndarray  # int32 [T, B]
    lengths: np.ndarray  # int32 [B]; 0 in padding rows
    labels: np.ndarray  # int32 [B]; -1 in padding rows
    offsets: np.ndarray | None = None  # float32 [B, C], added to the logits


# Pang and Lee 2005; research use. www.cs.cornell.edu/people/pabo/movie-review-data has
# an archive in cp1252. These files hold its sentences in UTF-8 and have no address.
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


def load(
    name: str,
    data_dir: str | Path | None = None,
    folds: int = 10,
    fold: int = 0,
    seed: int = 0,
) -> LabeledCorpus:
    """Load labeled documents by name.

    - "opinions": short positive and negative sentences from `data.synthetic.opinions`,
      which have fixed parts; needs no file.
    - "movie_review": 5,331 positive and 5,331 negative sentences of reviews (Pang and
      Lee 2005, arXiv:cs/0506075), split by `split_by_text`.

    Args:
      name: one of `NAMES`.
      data_dir: the folder of the data sets; None is `sources.default_data_dir()`.
      folds, fold, seed: as `split_by_text`.

    Raises:
      DataError: for an unknown name, a file that is not available, or a wrong checksum.

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
        return _corpus(name, map(_split, parts), sha256_of(content.encode()))
    rows, contents = [], []
    for label, source in _MOVIE_REVIEW.items():
        path = fetch(name, source, data_dir)
        contents.append(read_bytes(path))
        lines = split_lines(decode(contents[-1], path))
        rows += [(label, line.strip()) for line in lines]
    return split_by_text(name, rows, sha256_of(b"".join(contents)), folds, fold, seed)


def load_files(
    paths: Iterable[str | Path],
    folds: int = 10,
    fold: int = 0,
    seed: int = 0,
    columns: Sequence[str] | None = None,
) -> LabeledCorpus:
    """The user's own documents.

    Args:
      paths: one file of documents, see `documents_of`, which `split_by_text` splits; or
        three: train, valid and test; see `tables.read_parts`.
      folds, fold, seed: as `split_by_text`.
      columns: as `documents_of`.

    Raises:
      DataError: as `documents_of`, or for another number of files, a label that occurs
        in a held-out part only, or fewer than two labels.
    """
    parts = read_parts(paths)
    sha256 = checksum(parts, columns)
    name = Path(parts[0].path).name
    train = documents_of(parts[0], None, columns)
    if len(parts) == 1:
        return split_by_text(name, train, sha256, folds, fold, seed)
    if len(parts) != 3:
        raise DataError(
            f"one file was expected, or three (train, valid, test), got {len(parts)}."
        )
    known = {label for label, _ in train}
    held_out = (documents_of(part, known, columns) for part in parts[1:])
    return _corpus(name, map(_split, (train, *held_out)), sha256)


def read_file(
    path: str | Path,
    known: Collection[str] | None = None,
    columns: Sequence[str] | None = None,
) -> LabeledSplit:
    """Documents from a file; see `documents_of`.

    Args:
      path: the file.
      known, columns: as `documents_of`.

    Raises:
      DataError: if the file cannot be read, or as `documents_of`.
    """
    part = read_part(path)
    return _split(documents_of(part, known, columns))


def documents_of(
    part: Part,
    known: Collection[str] | None = None,
    columns: Sequence[str] | None = None,
) -> list[tuple[str, str]]:
    """(label, text) of each document of a file.

    Args:
      part: lines or CSV, see `document_files.parse_documents`, or a table with a column
        of labels and one of texts.
      known: the allowed labels; None allows any.
      columns: the names of both columns of a table, the label first; None takes the
        only columns with a name in `LABEL_NAMES` and in `TEXT_NAMES`.

    Raises:
      DataError: as `parse_documents` and as `tables.read_table`, for a text without
        words, and for a label that is not allowed.
    """
    if not is_table(part, columns):
        return parse_documents(part.content, part.path, known)
    usual = {"label": LABEL_NAMES, "text": TEXT_NAMES}
    table = read_table(part, choose_columns(part.path, columns, usual))
    label, text = table.columns
    rows = list(zip(names_of(table, label), texts_of(table, text), strict=True))
    for index, (own, document) in enumerate(rows):
        if not document.strip():
            raise DataError(f"{table.at(index)}: {text!r} holds no text.")
        if set("\t\n") & set(own):
            raise DataError(
                f"{table.at(index)}: the label {own[:40]!r} has a tab or the end of a "
                f"line."
            )
        if known is not None and own not in known:
            raise DataError(
                f"{table.at(index)}: the label {own!r} does not occur in the training "
                f"part ({', '.join(sorted(known)[:5])})."
            )
    return rows


def split_by_text(
    name: str,
    rows: Iterable[tuple[str, str]],
    sha256: str,
    folds: int = 10,
    fold: int = 0,
    seed: int = 0,
) -> LabeledCorpus:
    """Parts by a hash of the text: equal texts are in one part.

    The hash divides the documents into `folds` shares of similar size: share `fold` is
    the test part, the next share the validation part, the others the training part.
    With folds=10 that is 80/10/10, and fold = 0 .. 9 is tenfold cross-validation.

    Args:
      name: of the corpus.
      rows: (label, text); each part keeps their order.
      sha256: of the bytes of the corpus.
      folds: at least 3.
      fold: below `folds`.
      seed: another seed gives other shares.

    Raises:
      DataError: if a part is empty, or a label occurs in no training document.
    """
    parts: tuple[list[tuple[str, str]], ...] = ([], [], [])
    for label, text in rows:
        plain = " ".join(text.lower().split())  # case and spacing make no difference
        share = hashed_share(f"{seed} {plain}", folds)
        parts[{fold: 2, (fold + 1) % folds: 1}.get(share, 0)].append((label, text))
    return _corpus(name, map(_split, parts), sha256)


def plan(
    documents: Sequence[np.ndarray],
    batch_size: int,
    rng: np.random.Generator | None = None,
) -> list[buckets.Bucket]:
    """All documents in minibatches of one padded length each.

    Args:
      documents: integer arrays.
      batch_size: the number of documents in a minibatch.
      rng: a NumPy Generator that shuffles; None sorts by length.
    """
    return buckets.plan_lengths([len(d) for d in documents], batch_size, rng=rng)


def make_batch(
    documents: Sequence[np.ndarray],
    labels: Sequence[int] | np.ndarray,
    bucket: buckets.Bucket,
    offsets: np.ndarray | None = None,
) -> LabeledBatch:
    """The minibatch of a Bucket.

    Args:
      documents: an integer array for each document.
      labels: an integer for each document.
      bucket: from `plan`.
      offsets: of the logits, float32 [documents, C].
    """
    is_document = bucket.rows >= 0
    rows = bucket.rows[is_document]
    tokens, lengths = buckets.pad([documents[i] for i in rows], bucket)
    padded = np.full(len(is_document), -1, np.int32)
    padded[: len(rows)] = [labels[i] for i in rows]
    if offsets is None:
        return LabeledBatch(tokens, lengths, padded)
    padded_offsets = np.zeros((len(is_document), offsets.shape[-1]), np.float32)
    padded_offsets[: len(rows)] = offsets[rows]
    return LabeledBatch(tokens, lengths, padded, padded_offsets)


def _corpus(name: str, splits: Iterable[LabeledSplit], sha256: str) -> LabeledCorpus:
    parts = dict(zip(("train", "valid", "test"), splits, strict=True))
    labels = sorted(set(parts["train"].labels))
    for part, split in parts.items():
        if not split.texts:
            raise DataError(f"{name} has nothing in its {part} part; more are needed.")
        for label in split.labels:
            if label not in labels:
                raise DataError(
                    f"{name} has the label {label!r} in its {part} part, but not in "
                    f"its train part."
                )
    if len(labels) < 2:
        raise DataError(
            f"{name} has only the label {labels[0]!r}; at least two are needed."
        )
    train, valid, test = parts.values()
    return LabeledCorpus(name, labels, train, valid, test, sha256)


def _split(rows: Iterable[tuple[str, str]]) -> LabeledSplit:
    rows = list(rows)
    return LabeledSplit([text for _, text in rows], [label for label, _ in rows])
