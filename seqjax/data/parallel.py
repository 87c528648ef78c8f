"""Sentence pairs for translation: sources, splits, and the user's own files.

The user's own pairs are two line-aligned files, or one file with a tab in each line.
"""

from collections.abc import Iterable, Sequence
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
from seqjax.data.synthetic import grammar
from seqjax.data.tables import (
    Part,
    Table,
    checksum,
    choose_columns,
    is_json_lines,
    is_table,
    read_parts,
    read_table,
    texts_of,
)
from seqjax.data.text import DataError, decode, read_bytes, shown_path, split_lines


class PairSplit(NamedTuple):
    """Sentences and their translations, line by line."""

    source: list[str]
    target: list[str]


class ParallelCorpus(NamedTuple):
    """Sentence pairs in three parts, with the sha256 of their bytes."""

    name: str
    train: PairSplit
    valid: PairSplit
    test: PairSplit
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
_MISTAKEN = (
    *formats.OTHER_FILES,
    *(formats.CONLL, formats.NUMBERS, formats.TRANSCRIPTS),
    *(formats.LABELED, formats.LABELED_LAST),
)
HELD_OUT = 2  # percentage of the source sentences to validate on, and to test on


def load(
    name: str, data_dir: str | Path | None = None, swap: bool = False
) -> ParallelCorpus:
    """Load sentence pairs by name; the source language is English.

    - "grammar": English-French from `data.synthetic.grammar`; needs no file.
    - "fra_eng": 167,130 English-French pairs, split by the English sentence, which
      often occurs more than once: 2 % to validate, 2 % to test.
    - "multi30k": English-German captions, the official splits, test_2016_flickr.

    Args:
      name: one of `NAMES`.
      data_dir: the folder of the data sets; None is `sources.default_data_dir()`.
      swap: translate into English; fra_eng is then split by the French sentence.

    Raises:
      DataError: for an unknown name, a file that is not available, or a wrong checksum.

    Example:
      >>> corpus = load("grammar")
      >>> len(corpus.train.source), len(corpus.train.target)
      (40000, 40000)
    """
    if name not in NAMES:
        raise DataError(unknown_name("dataset", name, NAMES))
    if name == "grammar":
        train, valid, test = map(_split, grammar.pairs())
        sides = (side for split in (train, valid, test) for side in split)
        content = "\n".join(line for side in sides for line in side)
        corpus = ParallelCorpus(name, train, valid, test, sha256_of(content.encode()))
        return _swapped(corpus) if swap else corpus
    if name == "fra_eng":
        path = fetch(name, _FRA_ENG, data_dir)
        pairs = _parse_tsv(decode(read_bytes(path), path), path, swap)
        return split_by_source(name, pairs, _FRA_ENG.sha256)
    paths = [
        fetch(name, Source(file, sha256, None), data_dir)
        for file, sha256 in _MULTI30K.items()
    ]
    corpus = load_files(paths[::2], paths[1::2], name)
    return _swapped(corpus) if swap else corpus


def load_files(
    source_files: Sequence[str | Path],
    target_files: Sequence[str | Path],
    name: str | None = None,
) -> ParallelCorpus:
    """Pairs from line-aligned UTF-8 files.

    Args:
      source_files, target_files: one file for each language, which is split by its
        source sentences, see `split_by_source`; or three: train, valid and test.
      name: of the corpus; None is the name of the first file.

    Raises:
      DataError: if a file cannot be read, the numbers of files or of lines differ, or a
        line is empty in only one of the two languages.
    """
    if len(source_files) != len(target_files) or len(source_files) not in (1, 3):
        raise DataError(
            f"one file per language was expected, or three (train, valid, test), got "
            f"{len(source_files)} and {len(target_files)}."
        )
    read, splits = [], []
    for files in zip(source_files, target_files, strict=True):
        contents = [read_bytes(path) for path in files]
        _refuse_tables(files)
        read += contents
        splits.append(_aligned(contents, list(map(shown_path, files))))
    digest = sha256_of(b"".join(read))
    name = name or Path(shown_path(source_files[0])).name
    if len(splits) == 1:
        pairs = zip(*splits[0], strict=True)
        return split_by_source(name, list(pairs), digest)
    train, valid, test = splits
    return ParallelCorpus(name, train, valid, test, digest)


def load_split(source_file: str | Path, target_file: str | Path) -> PairSplit:
    """The pairs of two line-aligned UTF-8 files, without lines that are empty in both.

    Raises:
      DataError: as `load_files`.
    """
    files = source_file, target_file
    _refuse_tables(files)
    contents = [read_bytes(path) for path in files]
    return _aligned(contents, list(map(shown_path, files)))


def load_tsv(
    *paths: str | Path, swap: bool = False, columns: Sequence[str] | None = None
) -> ParallelCorpus:
    """Pairs from files of lines "source<TAB>target", or from tables.

    Args:
      *paths: one file, which is split by its source sentences, see `split_by_source`;
        or three: train, valid and test; see `tables.read_parts`.
      swap: translate from the second column into the first.
      columns: as `pairs_of`.

    Raises:
      DataError: if a file cannot be read, or as `pairs_of`.
    """
    parts = read_parts(paths)
    name, sha256 = Path(parts[0].path).name, checksum(parts, columns)
    if is_table(parts[0], columns):  # its columns are those of all parts
        columns = tuple(_read_pairs(parts[0], columns).columns)
    pairs = [pairs_of(part, swap, columns) for part in parts]
    if len(pairs) == 1:
        return split_by_source(name, pairs[0], sha256)
    train, valid, test = map(_split, pairs)
    return ParallelCorpus(name, train, valid, test, sha256)


def pairs_of(
    part: Part, swap: bool = False, columns: Sequence[str] | None = None
) -> list[tuple[str, str]]:
    """(source sentence, target sentence) of each pair of a file.

    Args:
      part: UTF-8 lines "source<TAB>target", of which more columns are ignored, or a
        table with two columns of sentences.
      swap: translate from the second column into the first.
      columns: the names of both columns of a table; None takes the two in an object
        "translation", else "source" and "target".

    Raises:
      DataError: if a text seems to have another format, a line is no pair, or a row has
        no sentence; as `tables.read_table`.
    """
    if not is_table(part, columns):
        text = decode(part.content, part.path)
        formats.refuse_format(text, part.path, formats.PAIRS, _MISTAKEN)
        return _parse_tsv(text, part.path, swap)
    table = _read_pairs(part, columns)
    sides = [texts_of(table, name) for name in table.columns]
    for name, sentences in zip(table.columns, sides, strict=True):
        for index, sentence in enumerate(sentences):
            if not sentence.strip() or set("\t\n") & set(sentence.strip()):
                raise DataError(
                    f"{table.at(index)}: {name!r} holds {sentence[:40]!r}, where one "
                    f"sentence was expected."
                )
    sides = [[sentence.strip() for sentence in side] for side in sides]
    return list(zip(*(sides[::-1] if swap else sides), strict=True))


def _read_pairs(part: Part, columns: Sequence[str] | None) -> Table:
    """The two columns of a table."""
    choose = choose_columns(
        part.path, columns, {"source": ("source",), "target": ("target",)}
    )

    def both(names: Sequence[str]) -> Sequence[str]:
        nested = [name for name in names if name.startswith("translation.")]
        return nested if columns is None and len(nested) == 2 else choose(names)

    return read_table(part, both)


def split_by_source(
    name: str, pairs: Iterable[tuple[str, str]], sha256: str
) -> ParallelCorpus:
    """Parts by a hash of the source sentence: no source sentence is in two parts.

    Args:
      name: of the corpus.
      pairs: (source, target) sentences; each part keeps their order.
      sha256: of the bytes of the corpus.

    Raises:
      DataError: if a part is empty.
    """
    parts = split_by_hash(name, pairs, lambda pair: pair[0], HELD_OUT, "pair")
    train, valid, test = map(_split, parts.values())
    return ParallelCorpus(name, train, valid, test, sha256)


def _swapped(corpus: ParallelCorpus) -> ParallelCorpus:
    """The corpus from the second language into the first."""
    splits = (corpus.train, corpus.valid, corpus.test)
    train, valid, test = (PairSplit(split.target, split.source) for split in splits)
    return corpus._replace(train=train, valid=valid, test=test)


def _parse_tsv(text: str, path: str | Path, swap: bool) -> list[tuple[str, str]]:
    pairs = []
    for number, line in enumerate(split_lines(text), start=1):
        if not line.strip() and "\t" not in line:
            continue
        source, tab, rest = line.partition("\t")
        target = rest.partition("\t")[0]
        if not (tab and source.strip() and target.strip()):
            raise DataError(
                f"{path}, line {number}: a sentence, a tab and its translation were "
                f"expected, got {line[:40]!r}"
                f"{formats.format_hint(text, formats.PAIRS)}."
            )
        pairs.append((target, source) if swap else (source, target))
    return pairs


def _refuse_tables(files: Sequence[str | Path]) -> None:
    for file in files:
        if is_json_lines(file):
            raise DataError(f"{file} is JSON lines; a sentence a line was expected.")


def _aligned(contents: Sequence[bytes], files: Sequence[str | Path]) -> PairSplit:
    texts = [decode(*pair) for pair in zip(contents, files, strict=True)]
    for text, file in zip(texts, files, strict=True):
        formats.refuse_format(text, file, formats.SENTENCES, formats.WITH_TABS)
    source, target = map(split_lines, texts)
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


def _split(pairs: Iterable[tuple[str, str]]) -> PairSplit:
    pairs = list(pairs)
    return PairSplit([source for source, _ in pairs], [target for _, target in pairs])
