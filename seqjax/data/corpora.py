"""The text corpora: sources, splits, tokens and vocabulary."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from seqjax.data.names import unknown_name
from seqjax.data.sources import Source, fetch, sha256_of
from seqjax.data.tables import (
    Part,
    checksum,
    choose_columns,
    is_table,
    read_parts,
    read_table,
    texts_of,
)
from seqjax.data.text import DataError, decode, keep_letters, read_text
from seqjax.data.text_tokenizer import NUM_SUBWORDS, TextTokenizer
from seqjax.data.vocab import Vocab

SPLIT = (90, 5, 5)  # percent of a text that train, validate and test


class Corpus(NamedTuple):
    """A text in three parts, with the sha256 of its bytes."""

    name: str
    train: str
    valid: str
    test: str
    sha256: str


class TokenizedCorpus(NamedTuple):
    """A corpus as int32 indices [N] for each part, and what made them."""

    tokenizer: TextTokenizer
    train: np.ndarray
    valid: np.ndarray
    test: np.ndarray

    @property
    def vocab(self) -> Vocab:
        """The vocabulary of the training text."""
        return self.tokenizer.vocab


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


def load(name: str, data_dir: str | Path | None = None) -> Corpus:
    """Load a corpus by name.

    - "python_docs": the English language reference in `pydoc_data.topics`, which is
      part of CPython, split 90/5/5 by position. It differs between Python versions.
    - "time_machine": letters only, lower-case, words one space apart; 90/5/5.
    - "wikitext2": the official splits.
    - "tang_poems": lines "title:content" as plain text; 90/5/5.

    Args:
      name: one of `NAMES`.
      data_dir: the folder of the data sets; None is `sources.default_data_dir()`.

    Raises:
      DataError: for an unknown name, a file that is not available, or a wrong checksum.

    Example:
      >>> corpus = load("python_docs")
      >>> corpus.train[:24]
      'The "assert" statement\\n*'
    """
    if name not in NAMES:
        raise DataError(unknown_name("dataset", name, NAMES))
    if name == "python_docs":
        text = _python_docs()
        return split_by_position(name, text, sha256_of(text.encode()))
    paths = [fetch(name, source, data_dir) for source in SOURCES[name]]
    if name == "wikitext2":
        train, valid, test = map(read_text, paths)
        digest = sha256_of(b"".join(path.read_bytes() for path in paths))
        return Corpus(name, train, valid, test, digest)
    text = read_text(paths[0])
    text = keep_letters(text) if name == "time_machine" else text
    return split_by_position(name, text, SOURCES[name][0].sha256)


def _python_docs() -> str:
    from pydoc_data import topics

    return "\n".join(topics.topics.values())


def load_files(
    paths: Sequence[str | Path],
    columns: Sequence[str] | None = None,
    split: Sequence[int] = SPLIT,
    by_bytes: bool = False,
) -> Corpus:
    """The user's own UTF-8 text files, or tables with a column of texts.

    Args:
      paths: one file, which is split by position, or three: train, valid, test; see
        `tables.read_parts`.
      columns: as `text_of`.
      split, by_bytes: as `split_by_position`, for one file.

    Raises:
      DataError: as `text_of` and `split_by_position`, and if two of three files hold
        the same.
    """
    parts = read_parts(paths)
    sha256 = checksum(parts, columns)
    texts, name = [text_of(part, columns) for part in parts], Path(parts[0].path).name
    if len(texts) == 1:
        return split_by_position(name, texts[0], sha256, split, by_bytes)
    for i, j in ((0, 1), (0, 2), (1, 2)):
        if texts[i] == texts[j]:
            raise DataError(
                f"{parts[i].path} and {parts[j].path} hold the same text; different "
                f"ones were expected for training, validation and test."
            )
    train, valid, test = texts
    return Corpus(name, train, valid, test, sha256)


def text_of(part: Part, columns: Sequence[str] | None = None) -> str:
    """The text of a file.

    Args:
      part: UTF-8 text, or a table with a column of texts. In a table, each row that
        does not end a line is followed by the end of one.
      columns: the name of the column of texts, for a table; None is "text".

    Raises:
      DataError: as `text.decode`, and as `tables.read_table` and `tables.texts_of`.
    """
    if not is_table(part, columns):
        return decode(part.content, part.path)
    choose = choose_columns(part.path, columns, {"text": ("text",)})
    table = read_table(part, choose)
    (name,) = table.columns
    rows = texts_of(table, name)
    text = "".join(row if row.endswith("\n") else f"{row}\n" for row in rows)
    if not text.strip():
        raise DataError(f"{part.path} is empty; text to learn from was expected.")
    return text


def split_by_position(
    name: str,
    text: str,
    sha256: str,
    split: Sequence[int] = SPLIT,
    by_bytes: bool = False,
) -> Corpus:
    """A text cut into a training, a validation and a test part.

    Args:
      name: of the corpus.
      text: the text.
      sha256: of its file.
      split: the sizes of the three parts, in percent if they add up to 100, otherwise
        in characters.
      by_bytes: whether sizes count bytes of the UTF-8 text. A character that is cut
        becomes surrogates, which `TextTokenizer` reads at level "byte".

    Raises:
      DataError: if a part is empty, or the sizes are neither 100 percent nor the size
        of the text.

    Example:
      >>> split_by_position("digits", "0123456789", "", (60, 20, 20))[1:4]
      ('012345', '67', '89')
    """
    content = text.encode("utf-8", "surrogateescape") if by_bytes else text
    ends = split_ends(name, len(content), split, "bytes" if by_bytes else "characters")
    begins = (0, *ends[:-1])
    parts = [content[a:b] for a, b in zip(begins, ends, strict=True)]
    train, valid, test = (
        part.decode("utf-8", "surrogateescape") if isinstance(part, bytes) else part
        for part in parts
    )
    return Corpus(name, train, valid, test, sha256)


def split_ends(
    name: str, size: int, split: Sequence[int], unit: str
) -> tuple[int, int, int]:
    """Where the three parts of a text end.

    Args:
      name: of the corpus, for errors.
      size: of the text.
      split: as `split_by_position`.
      unit: what the sizes count, for errors.

    Raises:
      DataError: as `split_by_position`.

    Example:
      >>> split_ends("my.txt", 1000, (90, 5, 5), "characters")
      (900, 950, 1000)
    """
    shown = ",".join(map(str, split))
    if min(split) < 1:
        raise DataError(f"{name}: a split of {shown} leaves a part empty.")
    first, second, third = split
    if first + second + third == 100:
        ends = size * first // 100, size * (first + second) // 100, size
    else:
        ends = first, first + second, first + second + third
        if ends[2] != size:
            raise DataError(
                f"a split of {shown} adds up to {ends[2]:,}; 100 percent or the "
                f"{size:,} {unit} of {name} were expected."
            )
    return ends


def tokenize_corpus(
    corpus: Corpus,
    level: str,
    min_freq: int = 1,
    max_tokens: int = 0,
    num_subwords: int = NUM_SUBWORDS,
    line_ends: bool = True,
) -> TokenizedCorpus:
    """The tokens of a corpus.

    Args:
      corpus: a Corpus.
      level, min_freq, num_subwords, line_ends: as `TextTokenizer.train`.
      max_tokens: the number of training tokens to keep, the first ones; 0 keeps all.
        The vocabulary is that of the whole training text.

    Raises:
      DataError: if a held-out part has fewer than 2 tokens: nothing to predict.
    """
    tokenizer = TextTokenizer.train(
        corpus.train, level, min_freq, num_subwords, line_ends
    )
    train = tokenizer.encode(corpus.train)[: max_tokens or None]
    valid, test = map(tokenizer.encode, (corpus.valid, corpus.test))
    for name, tokens in (("valid", valid), ("test", test)):
        if len(tokens) < 2:
            raise DataError(
                f"{corpus.name} is too short: its {name} part has {len(tokens)} "
                f"tokens, at least 2 are needed."
            )
    return TokenizedCorpus(tokenizer, train, valid, test)
