"""Sentences of tokens with tags: sources, and CoNLL files read and written.

A file has one token a line, with its tags in other columns, and empty lines between
sentences. Tabs separate the columns of a line that has one, else white space does. A
file is CoNLL-U if its first line that is not a comment has ten columns and begins with
a number.

    We      PRON    O               1     We      we     PRON  _  _  2  nsubj  _  _
    saw     VERB    O               2-3   didn't  _      _     _  _  _  _      _  _
    Kiev    PROPN   B-place         2     did     do     AUX   _  _  4  aux    _  _
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from seqjax.data import formats
from seqjax.data.names import unknown_name
from seqjax.data.sources import (
    Source,
    fetch,
    sha256_of,
    split_by_hash,
)
from seqjax.data.synthetic import apples
from seqjax.data.tables import (
    Part,
    checksum,
    choose_columns,
    is_table,
    lists_of,
    read_part,
    read_parts,
    read_table,
)
from seqjax.data.text import DataError, decode, split_lines


class Sentence(NamedTuple):
    """Tokens and their tags, two lists of one length."""

    tokens: list[str]
    tags: list[str]


class TaggedCorpus(NamedTuple):
    """Sentences in three parts, with the sha256 of their bytes."""

    name: str
    train: list[Sentence]
    valid: list[Sentence]
    test: list[Sentence]
    sha256: str
    scheme: str | None = None  # of the spans, where it has been found out


_ADDRESS = "https://raw.githubusercontent.com/leondz/emerging_entities_17/master/"
_WNUT17 = {  # Derczynski et al., "WNUT2017 shared task", 2017; CC BY 4.0.
    "wnut17train.conll": (
        "731820e13f71af324c6b55a1575ec2ce59fbaa2a0806f8f0400b98d56cd6a7a5"
    ),
    "emerging.dev.conll": (
        "e053b752b8155113ca66e7db08af5f2f5f43ab993694e4774f1ec5bad42312d8"
    ),
    "emerging.test.annotated": (
        "2aa79b764e56ec9264a1b30fdd9b70195bd00ff400b62edd8f399d5f13c178f0"
    ),
}
NAMES = ("apple", "wnut17")
_MISTAKEN = (*formats.OTHER_FILES, formats.TRANSCRIPTS, formats.NUMBERS)
TOKEN_NAMES = ("tokens", "words")  # of columns, in lower case
TAG_NAMES = ("tags", "ner_tags", "pos_tags", "labels", "upos")
MANY_TOKENS = 100  # of a sentence that may rather be a file without empty lines
HELD_OUT = 10  # percentage of a single file to validate on, and to test on


def load(name: str, data_dir: str | Path | None = None) -> TaggedCorpus:
    """Load tagged sentences by name.

    - "apple": fruit or company, decided by the context, from `data.synthetic.apples`;
      needs no file.
    - "wnut17": emerging entities in tweets and comments, the official splits.

    Args:
      name: one of `NAMES`.
      data_dir: the folder of the data sets; None is `sources.default_data_dir()`.

    Raises:
      DataError: for an unknown name, a file that is not available, or a wrong checksum.

    Example:
      >>> load("apple").train[0].tokens[:3]
      ['we', 'swam', 'across']
    """
    if name not in NAMES:
        raise DataError(unknown_name("dataset", name, NAMES))
    if name == "wnut17":
        paths = [
            fetch(name, Source(file, sha256, _ADDRESS + file), data_dir)
            for file, sha256 in _WNUT17.items()
        ]
        return load_files(paths, name=name)
    train, valid, test = (
        [Sentence(*pair) for pair in part] for part in apples.sentences()
    )
    content = "\n".join(conll_lines([*train, *valid, *test]))
    return TaggedCorpus(name, train, valid, test, sha256_of(content.encode()))


def load_files(
    paths: Sequence[str | Path],
    token_column: int | None = None,
    tag_column: int | None = None,
    name: str | None = None,
    columns: Sequence[str] | None = None,
) -> TaggedCorpus:
    """Sentences from CoNLL or CoNLL-U files, or from tables.

    Args:
      paths: one file, which is split by a hash of each sentence, so that no sentence is
        in two parts; or three: train, valid and test; see `tables.read_parts`.
      token_column, tag_column, columns: as `sentences_of`.
      name: of a published corpus; None is the name of the first file.

    Raises:
      DataError: as `sentences_of`, for files that cannot be read, or a part without
        sentences.
    """
    parts = read_parts(paths)
    sha256 = checksum(parts, columns)
    if name is not None:  # recorded runs have this checksum of a published corpus
        sha256 = sha256_of(b"".join(part.content for part in parts))
    name = name or Path(parts[0].path).name
    splits = [sentences_of(p, token_column, tag_column, columns) for p in parts]
    if len(splits) == 1:
        longest = len(splits[0][0].tokens)
        if len(splits[0]) == 1 and longest > MANY_TOKENS:
            raise DataError(
                f"{parts[0].path} holds a single sentence of {longest:,} tokens; empty "
                f"lines between sentences were expected."
            )
        shares = split_by_hash(
            name, splits[0], lambda s: " ".join(s.tokens), HELD_OUT, "sentence"
        )
        splits = list(shares.values())
    train, valid, test = splits
    return TaggedCorpus(name, train, valid, test, sha256)


def read(
    path: str | Path,
    token_column: int | None = None,
    tag_column: int | None = None,
    columns: Sequence[str] | None = None,
) -> list[Sentence]:
    """The sentences of a file; see `sentences_of`."""
    part = read_part(path)
    return sentences_of(part, token_column, tag_column, columns)


def sentences_of(
    part: Part,
    token_column: int | None = None,
    tag_column: int | None = None,
    columns: Sequence[str] | None = None,
) -> list[Sentence]:
    """The sentences of a file.

    Args:
      part: CoNLL or CoNLL-U, see `parse`, or a table with a column of lists of tokens
        and one of lists of tags. Rows without tokens are left out.
      token_column, tag_column: of CoNLL, as `parse`.
      columns: the names of both columns of a table, the tokens first; None takes the
        only columns with a name in `TOKEN_NAMES` and in `TAG_NAMES`.

    Raises:
      DataError: as `parse` and as `tables.read_table`, for lists of different lengths
        and for a token or tag with a tab or the end of a line.
    """
    if not is_table(part, columns):
        text = decode(part.content, part.path)
        return parse(text, part.path, token_column, tag_column)
    usual = {"tokens": TOKEN_NAMES, "tags": TAG_NAMES}
    table = read_table(part, choose_columns(part.path, columns, usual))
    both = [lists_of(table, name) for name in table.columns]
    sentences = [Sentence(*pair) for pair in zip(*both, strict=True)]
    for index, (tokens, tags) in enumerate(sentences):
        if len(tokens) != len(tags):
            raise DataError(
                f"{table.at(index)} has {len(tokens)} tokens and {len(tags)} tags."
            )
        for cell in (*tokens, *tags):
            if "\t" in cell or "\n" in cell:
                raise DataError(
                    f"{table.at(index)}: {cell[:40]!r} has a tab or the end of a line; "
                    f"a token or a tag was expected."
                )
    sentences = [sentence for sentence in sentences if sentence.tokens]
    if not sentences:
        raise DataError(f"{part.path} holds no sentence.")
    return sentences


def parse(
    text: str,
    path: str | Path,
    token_column: int | None = None,
    tag_column: int | None = None,
) -> list[Sentence]:
    """The sentences of a CoNLL or CoNLL-U text.

    Lines that begin with -DOCSTART- separate sentences, as empty lines do. In CoNLL-U,
    comments, multiword ranges (3-4) and empty nodes (5.1) are left out. In CoNLL there
    are no comments: a token may begin with #.

    Args:
      text: the content of the file.
      path: the file's name, for error messages.
      token_column, tag_column: indices of the columns, 0 the first, -1 the last; None
        is 0 and -1, in CoNLL-U 1 and 3 (words and universal parts of speech).

    Returns:
      A list of Sentences, none of them empty.

    Raises:
      DataError: with the line's number, if the line has another number of columns than
        the lines before, or lacks one of the two columns, or one of them is empty; if
        token and tag are the same column; if a sentence of CoNLL-U has no word; if
        there is no sentence; or if the text seems to have another format.

    Example:
      >>> parse("we O\\nsaw O\\nkiev B-place\\n\\nyes O\\n", "my.conll")[1]
      Sentence(tokens=['yes'], tags=['O'])

    Source: universaldependencies.org/format.html.
    """
    formats.refuse_format(text, path, formats.CONLL, _MISTAKEN)
    try:
        sentences = _parse(text, path, token_column, tag_column)
    except DataError as error:
        hint = formats.format_hint(text, formats.CONLL)
        raise DataError(f"{str(error).removesuffix('.')}{hint}.") from None
    if any(_are_texts(sentences, column) for column in (0, 1)):
        formats.refuse_format(text, path, formats.CONLL, formats.WITH_TABS)
    return sentences


def _are_texts(sentences: Sequence[Sentence], column: int) -> bool:
    """Whether the tokens (0) or tags (1) are mostly several words each."""
    cells = [cell for sentence in sentences for cell in sentence[column]]
    return 2 * sum(" " in cell for cell in cells) > len(cells)


def _parse(
    text: str, path: str | Path, token_column: int | None, tag_column: int | None
) -> list[Sentence]:
    lines = split_lines(text)
    is_conllu = _is_conllu(lines)
    if token_column is None:
        token_column = 1 if is_conllu else 0
    if tag_column is None:
        tag_column = 3 if is_conllu else -1
    sentences: list[Sentence] = []
    rows: list[list[str]] = []
    width = 0  # columns; 0 before the first line
    begin = 0  # the number of the line before the sentence
    for number, line in enumerate([*lines, ""], start=1):
        here = f"{path}, line {number}"
        if not line.strip() or line.startswith("-DOCSTART-"):
            if rows:
                sentences.append(Sentence(*map(list, zip(*rows, strict=True))))
            elif is_conllu and number - 1 > begin:
                raise DataError(f"{here}: a sentence without a word ends here.")
            rows, begin = [], number
            continue
        if is_conllu and line.startswith("#"):
            continue
        cells = _cells(line)
        width = width or len(cells)
        if len(cells) != width:
            raise DataError(
                f"{here} has {len(cells)} columns, the lines before have {width}."
            )
        if is_conllu and not re.fullmatch(r"\d+", cells[0]):
            if not re.fullmatch(r"\d+[-.]\d+", cells[0]):
                raise DataError(f"{here}: {cells[0]!r} is not the number of a word.")
            continue
        rows.append([_cell(cells, i, here) for i in (token_column, tag_column)])
        if token_column % width == tag_column % width:
            raise DataError(
                f"{here} has {width} column{'s' * (width > 1)}: token and tag would "
                f"be the same one."
            )
    if not sentences:
        raise DataError(f"{path} holds no sentence.")
    return sentences


def conll_lines(sentences: Iterable[tuple[list[str], list[str]]]) -> Iterator[str]:
    """Lines "token<TAB>tag", and an empty line after each sentence, for `parse`.

    Args:
      sentences: (tokens, tags).
    """
    for sentence in sentences:
        yield from map("\t".join, zip(*sentence, strict=True))
        yield ""


def _is_conllu(lines: Iterable[str]) -> bool:
    first = next((t for t in lines if t.strip() and not t.startswith("#")), "")
    return re.match(r"\d+([-.]\d+)?(\t[^\t]*){9}$", first) is not None


def _cells(line: str) -> list[str]:
    if "\t" in line:
        return [cell.strip() for cell in line.rstrip().split("\t")]
    return line.split()


def _cell(cells: Sequence[str], column: int, here: str) -> str:
    if not -len(cells) <= column < len(cells):
        raise DataError(
            f"{here} has {len(cells)} columns; there is no column {column}."
        )
    if not cells[column]:
        raise DataError(f"{here}: column {column} is empty.")
    return cells[column]
