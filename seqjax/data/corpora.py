"""The text corpora: where they come from, their checksums, their splits.

A corpus is found at `data_dir/NAME/FILE`. Where it is missing and there is a network it
is fetched, and kept only if its sha256 is right: a dead address may answer with a page
that says so.
"""

import difflib
import hashlib
import os
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pooch

from seqjax.data.text import (
    DataError,
    decode,
    keep_letters,
    read_bytes,
    read_text,
    tokenize,
)
from seqjax.data.vocab import Vocab


class Corpus(NamedTuple):
    """A text in three parts, with the sha256 of the bytes it was read from."""

    name: str
    train: str
    valid: str
    test: str
    sha256: str


class TokenizedCorpus(NamedTuple):
    """A corpus as int32 indices [N] a split, and the training text's vocabulary."""

    vocab: Vocab
    train: np.ndarray
    valid: np.ndarray
    test: np.ndarray


class Source(NamedTuple):
    """A file of a corpus: its name on disk, its checksum, its address if it has one.

    Where the address is of a zip archive, `member` is the file's path in it, and
    `archive_hash` the archive's own checksum.
    """

    file: str
    sha256: str
    url: str | None
    member: str | None = None
    archive_hash: str | None = None


_WIKITEXT2 = (
    "https://raw.githubusercontent.com/pytorch/examples/main/"
    "word_language_model/data/wikitext-2/"
)
SOURCES = {
    # H. G. Wells 1895; public domain.
    "time_machine": (
        Source(
            "timemachine.txt",
            "8424dbd9532ac81f7e5f0b6add90e6952baea29158309d7d1bf3884f4e12c516",
            "https://d2l-data.s3-accelerate.amazonaws.com/timemachine.txt",
        ),
    ),
    # Merity et al. 2016, arXiv:1609.07843; CC BY-SA 3.0.
    "wikitext2": (
        Source(
            "wiki.train.tokens",
            "9e9fa1ad55b1c2c95b08e37dd8e653f638fac2c6de904b79e813611eefbc985f",
            _WIKITEXT2 + "train.txt",
        ),
        Source(
            "wiki.valid.tokens",
            "f0737ed31fc1329026e95cb8b98e19c2a182c39c240ab909dc31abf2f8af58e8",
            _WIKITEXT2 + "valid.txt",
        ),
        Source(
            "wiki.test.tokens",
            "d790b833ef8cf03a90db7bf1271b7520b83c45ce07ba3c1a9699df81e239eca0",
            _WIKITEXT2 + "test.txt",
        ),
    ),
    # github.com/chinese-poetry/chinese-poetry, joined to one file; MIT.
    "tang_poems": (
        Source(
            "poems.txt",
            "1879ddd9fcc811c414928ad7f57b7ff54f7caf81a50ddafc922b30737df13da9",
            None,
        ),
    ),
}
NAMES = ("python_docs", *SOURCES)


def load(name, data_dir=None):
    """Load a corpus by name.

    - "python_docs": the English language reference in `pydoc_data.topics`, which every
      CPython carries; 90/5/5 by position. It differs between Python versions.
    - "time_machine": letters only, lower-case, words one space apart; 90/5/5.
    - "wikitext2": the official splits.
    - "tang_poems": lines "title:content" as plain text; 90/5/5.

    Args:
      name: one of `NAMES`.
      data_dir: where corpora lie; None is $SEQJAX_DATA_DIR, else the user's cache.

    Raises:
      DataError: for an unknown name, a file that cannot be had, or a wrong checksum.

    Example:
      >>> corpus = load("python_docs")
      >>> corpus.train[:24]
      'The "assert" statement\\n*'
    """
    if name not in NAMES:
        raise DataError(unknown_name("dataset", name, NAMES))
    if name == "python_docs":
        text = _python_docs()
        return split_by_position(name, text, _sha256(text.encode()))
    paths = [fetch(name, source, data_dir) for source in SOURCES[name]]
    if name == "wikitext2":
        digest = _sha256(b"".join(path.read_bytes() for path in paths))
        return Corpus(name, *map(read_text, paths), digest)
    text = read_text(paths[0])
    text = keep_letters(text) if name == "time_machine" else text
    return split_by_position(name, text, SOURCES[name][0].sha256)


def load_file(path):
    """A text file of one's own, UTF-8, split 90/5/5 by position.

    Raises:
      DataError: as `seqjax.data.text.read_text`.
    """
    content = read_bytes(path)  # once: it may be a pipe
    return split_by_position(Path(path).name, decode(content, path), _sha256(content))


def split_by_position(name, text, sha256):
    """The first 90 % of the characters to train, 5 % to validate, 5 % to test."""
    train_end, valid_end = len(text) * 90 // 100, len(text) * 95 // 100
    return Corpus(
        name,
        text[:train_end],
        text[train_end:valid_end],
        text[valid_end:],
        sha256,
    )


def split_by_hash(name, items, text_of, percent, kind):
    """{"train", "valid", "test": items} by a hash of their texts: none is in two parts.

    Args:
      name: of the corpus, for the message.
      items: in an order that each part keeps.
      text_of: item -> its text.
      percent: of all texts, those to validate on, and as many to test on.
      kind: what an item is called.

    Raises:
      DataError: if a part would be empty.
    """
    parts = {"train": [], "valid": [], "test": []}
    for item in items:
        share = int(_sha256(text_of(item).encode())[:8], 16) % 100
        held_out = "valid" if share < percent else "test"
        parts[held_out if share < 2 * percent else "train"].append(item)
    for part, of_part in parts.items():
        if not of_part:
            raise DataError(
                f"{name} has no {kind} in its {part} part; more are needed."
            )
    return parts


def sha256_of(contents):
    """The sha256 of a file's bytes or, of several files, of theirs.

    That of the files joined would not see a sentence go from one into the next.
    """
    digests = [hashlib.sha256(content).hexdigest() for content in contents]
    return digests[0] if len(digests) == 1 else _sha256("".join(digests).encode())


def tokenize_corpus(corpus, level, min_freq=1, max_tokens=0):
    """Tokens and vocabulary of a corpus.

    Args:
      corpus: a Corpus.
      level: "char" or "word".
      min_freq: training tokens that are rarer become unknown.
      max_tokens: keep the first so many training tokens, at least 0, after the
        vocabulary is made; 0 keeps all.

    Raises:
      DataError: if a held-out split has fewer than 2 tokens: nothing to predict.
    """
    train = tokenize(corpus.train, level)
    vocab = Vocab(train, min_freq)
    splits = [train[: max_tokens or None]]
    for name in ("valid", "test"):
        tokens = tokenize(getattr(corpus, name), level)
        if len(tokens) < 2:
            raise DataError(
                f"{corpus.name} is too short: its {name} part has {len(tokens)} "
                f"tokens, at least 2 are needed."
            )
        splits.append(tokens)
    return TokenizedCorpus(vocab, *map(vocab.encode, splits))


def unknown_name(kind, name, names):
    """One sentence that says `name` is unknown and gives the nearest of `names`."""
    near = difflib.get_close_matches(name, names, n=2, cutoff=0.4) or names
    return f"there is no {kind} {name!r}; did you mean {' or '.join(near)}?"


def default_data_dir():
    """$SEQJAX_DATA_DIR if set, else the user's cache."""
    return Path(os.environ.get("SEQJAX_DATA_DIR") or pooch.os_cache("seqjax"))


def _python_docs():
    from pydoc_data import topics

    return "\n".join(topics.topics.values())


def fetch(name, source, data_dir=None):
    """The path of a corpus's file, downloaded if it is not there.

    Raises:
      DataError: if it cannot be had, or its checksum is wrong.
    """
    path = Path(data_dir or default_data_dir()) / name / source.file
    try:
        if not path.exists():
            _download(name, source, path)
        digest = pooch.file_hash(str(path), alg="sha256")
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}.") from None
    if digest != source.sha256:
        raise DataError(
            f"{path} is not the published {name} file: its sha256 is {digest}, "
            f"expected {source.sha256}."
        )
    return path


def _download(name, source, path):
    if source.url is None:
        raise DataError(
            f"{path} does not exist and {name} has no download address; put the file "
            f"with sha256 {source.sha256} there."
        )
    known_hash = source.archive_hash or f"sha256:{source.sha256}"
    unzip = source.member and pooch.Unzip([source.member], extract_dir=".")
    name = Path(source.url).name if unzip else path.name
    try:
        pooch.retrieve(source.url, known_hash, name, path.parent, processor=unzip)
        if unzip:
            (path.parent / source.member).replace(path)
    except (OSError, ValueError) as error:
        reason = str(error).split("\n")[0]
        raise DataError(
            f"{path} does not exist and could not be fetched from {source.url}: "
            f"{reason}"
        ) from None


def _sha256(content):
    return hashlib.sha256(content).hexdigest()
