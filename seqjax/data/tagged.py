"""Sentences of tokens with tags: where they come from, CoNLL files read and written.

A file holds a token a line, with its tags in other columns, and empty lines between
sentences. Columns are separated by tabs if a line has one, else by white space. CoNLL-U
is known by its first line that is no comment: ten columns, the first a number.

    We      PRON    O               1     We      we     PRON  _  _  2  nsubj  _  _
    saw     VERB    O               2-3   didn't  _      _     _  _  _  _      _  _
    Kiev    PROPN   B-place         2     did     do     AUX   _  _  4  aux    _  _
"""

import hashlib
import re
from pathlib import Path
from typing import NamedTuple

from seqjax.data.corpora import (
    Source,
    fetch,
    sha256_of,
    split_by_hash,
    unknown_name,
)
from seqjax.data.synthetic import apples
from seqjax.data.text import DataError, decode, read_bytes


class Sentence(NamedTuple):
    """Two lists of strings, of one length."""

    tokens: list
    tags: list


class TaggedCorpus(NamedTuple):
    """Lists of Sentences in three parts, with the sha256 of the bytes they are from."""

    name: str
    train: list
    valid: list
    test: list
    sha256: str


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
HELD_OUT = 10  # percent of a single file to validate on, and as many to test on


def load(name, data_dir=None):
    """Load tagged sentences by name.

    - "apple": fruit or company by context alone, by `data.apples`, embedded.
    - "wnut17": emerging entities in tweets and comments, the official splits.

    Args:
      name: one of `NAMES`.
      data_dir: where corpora lie; None is $SEQJAX_DATA_DIR, else the user's cache.

    Raises:
      DataError: for an unknown name, a file that cannot be had, or a wrong checksum.

    Example:
      >>> load("wnut17").valid[0].tokens[:3]
      ['Stabilized', 'approach', 'or']
    """
    if name not in NAMES:
        raise DataError(unknown_name("dataset", name, NAMES))
    if name == "wnut17":
        paths = [
            fetch(name, Source(file, sha256, _ADDRESS + file), data_dir)
            for file, sha256 in _WNUT17.items()
        ]
        return load_files(paths, name=name)
    splits = [[Sentence(*pair) for pair in part] for part in apples.sentences()]
    content = "\n".join(line for part in splits for line in conll_lines(part))
    return TaggedCorpus(name, *splits, hashlib.sha256(content.encode()).hexdigest())


def load_files(paths, token_column=None, tag_column=None, name=None):
    """Sentences from files: one, or three for train, valid and test.

    One is split by the hash of each sentence, so that none is in two parts.

    Args:
      paths: a list.
      token_column, tag_column: as `parse`.
      name: of a published corpus; None takes that of the first file.

    Raises:
      DataError: as `parse`, for files that cannot be read, or a part without sentences.
    """
    contents = [read_bytes(path) for path in paths]  # once: they may be pipes
    sha256 = sha256_of(contents)
    if name is not None:  # of what is published, runs have this one on record
        sha256 = hashlib.sha256(b"".join(contents)).hexdigest()
    name = name or Path(paths[0]).name
    splits = [
        parse(decode(content, path), path, token_column, tag_column)
        for content, path in zip(contents, paths, strict=True)
    ]
    if len(splits) == 1:
        parts = split_by_hash(
            name, splits[0], lambda s: " ".join(s.tokens), HELD_OUT, "sentence"
        )
        splits = parts.values()
    return TaggedCorpus(name, *splits, sha256)


def parse(text, path, token_column=None, tag_column=None):
    """The sentences of a CoNLL or CoNLL-U text.

    Lines that begin with -DOCSTART- separate, as empty ones do. In CoNLL-U comments,
    multiword ranges (3-4) and empty nodes (5.1) are left out; elsewhere a line may well
    begin with #.

    Args:
      text: what the file holds.
      path: its name, for messages.
      token_column, tag_column: places of the columns, 0 the first, -1 the last; None
        is 0 and -1, in CoNLL-U 1 and 3 (words and universal parts of speech).

    Returns:
      A list of Sentences, none of them empty.

    Raises:
      DataError: naming the line, where it has another number of columns than the lines
        before or not those asked for, or an empty one of these, or where token and tag
        are one column; if a sentence of CoNLL-U has no word; if there is no sentence.

    Example:
      >>> parse("we O\\nsaw O\\nkiev B-place\\n\\nyes O\\n", "my.conll")[1]
      Sentence(tokens=['yes'], tags=['O'])

    Source: universaldependencies.org/format.html.
    """
    lines = text.split("\n")
    is_conllu = _is_conllu(lines)
    if token_column is None:
        token_column = 1 if is_conllu else 0
    if tag_column is None:
        tag_column = 3 if is_conllu else -1
    sentences, rows, width = [], [], None
    begin = 0  # where the sentence begins
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


def conll_lines(sentences):
    """Lines "token<TAB>tag", and an empty one after each sentence; `parse` reads them.

    Args:
      sentences: (tokens, tags).
    """
    for sentence in sentences:
        yield from map("\t".join, zip(*sentence, strict=True))
        yield ""


def _is_conllu(lines):
    first = next((t for t in lines if t.strip() and not t.startswith("#")), "")
    return re.match(r"\d+([-.]\d+)?(\t[^\t]*){9}$", first) is not None


def _cells(line):
    if "\t" in line:
        return [cell.strip() for cell in line.rstrip().split("\t")]
    return line.split()


def _cell(cells, column, here):
    if not -len(cells) <= column < len(cells):
        raise DataError(f"{here} has {len(cells)} columns, so none at {column}.")
    if not cells[column]:
        raise DataError(f"{here}: column {column} is empty.")
    return cells[column]
