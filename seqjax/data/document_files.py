"""Labeled documents in files: lines "label<TAB>text", or CSV with quoted fields."""

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from seqjax.data import formats
from seqjax.data.csv_rows import Row, parse_rows, refuse_swallowed
from seqjax.data.text import DataError, decode, split_lines

# Names of columns in a first line, in lower case.
LABEL_NAMES = ("label", "class", "category", "sentiment", "target", "polarity")
TEXT_NAMES = ("text", "sentence", "document", "review", "content", "comment", "message")
_MISTAKEN = (
    *formats.OTHER_FILES,
    *(formats.CONLL, formats.TRANSCRIPTS, formats.NUMBERS, formats.PAIRS),
)


Labeled = tuple[int, str, str]  # line, label, text


def parse_documents(
    content: bytes, path: str | Path, known: Collection[str] | None = None
) -> list[tuple[str, str]]:
    """(label, text) of each document of a UTF-8 file.

    The file is CSV if its first line has a comma or a semicolon, but no tab. A first
    line may name the columns, one of them in `LABEL_NAMES` and one in `TEXT_NAMES`;
    other columns are then ignored. Without such a line the label comes first and the
    text second; in lines with tabs, further tabs belong to the text. White space around
    labels and texts is left out, and so are blank lines.

    Args:
      content: the bytes of the file.
      path: its name, for error messages.
      known: the allowed labels; None allows any.

    Raises:
      DataError: with the line, if a document has no label, no text, or a label that is
        not allowed, or a row of CSV cannot be parsed; if the file seems to have another
        format.
    """
    text = decode(content, path)
    formats.refuse_format(text, path, formats.LABELED, _MISTAKEN)
    lines = split_lines(text)
    first = next(line for line in lines if line.strip())
    is_csv = "\t" not in first and ("," in first or ";" in first)
    records = list(_csv_records(text, path) if is_csv else _tab_records(lines))
    rows = _rows(text, path, records, is_csv)
    for line, label, document in rows:
        here = f"{path}, line {line}"
        if not (label and document):
            form = "a label and a text" if is_csv else "a label, a tab and a text"
            raise DataError(
                f"{here}: {form} were expected, got {lines[line - 1][:40]!r}"
                f"{formats.format_hint(text, formats.LABELED)}."
            )
        if known is not None and label not in known:
            raise DataError(
                f"{here}: the label {label!r} does not occur in the training part "
                f"({', '.join(sorted(known)[:5])})."
            )
    if known is None:
        _check_labels(rows, path)
    return [(label, document) for _, label, document in rows]


def _rows(
    text: str, path: str | Path, records: Sequence[Row], is_csv: bool
) -> list[Labeled]:
    """(line, label, text) of each document."""
    names = [cell.strip().lower() for cell in records[0].cells]
    label, document = _named(names, LABEL_NAMES), _named(names, TEXT_NAMES)
    if label is not None and document is not None:
        return _named_columns(records, path, label, document)
    if is_csv and len(names) != 2:
        raise DataError(
            f"{path}, line {records[0].line} has {len(names)} columns; a first line "
            f"that names two of them label and text was expected."
        )
    cells = [record.cells for record in records]
    if (
        formats.describe_rows(cells) if is_csv else formats.describe_format(text)
    ) == formats.LABELED_LAST:
        raise DataError(
            f"{path} looks like documents before their labels; put the labels first, "
            f"or name the columns in a first line: text, label."
        )
    return [(line, c[0].strip(), "\t".join(c[1:]).strip()) for line, c in records]


def _named_columns(
    records: Sequence[Row], path: str | Path, label: int, document: int
) -> list[Labeled]:
    """The two columns that the first record names."""
    (_, names), *others = records
    for line, cells in others:
        if len(cells) <= max(label, document):
            raise DataError(
                f"{path}, line {line} has {len(cells)} columns, but the first line "
                f"names {len(names)}."
            )
    if not others:
        raise DataError(f"{path} names its columns, but holds no document.")
    return [(line, c[label].strip(), c[document].strip()) for line, c in others]


def _tab_records(lines: Sequence[str]) -> Iterator[Row]:
    for number, line in enumerate(lines, start=1):
        if line.strip() or "\t" in line:
            yield Row(number, line.split("\t"))


def _csv_records(text: str, path: str | Path) -> list[Row]:
    """The rows of a CSV file, each as wide as the first."""
    first = next(line for line in split_lines(text) if line.strip())
    delimiter = max(",;", key=first.count)
    rows = parse_rows(text, delimiter, path, keep_carriage_returns=True)
    records = [row for row in rows if any(cell.strip() for cell in row.cells)]
    if not records:
        raise DataError(f"{path} holds no document.")
    width = len(records[0].cells)
    for line, cells in records:
        if len(cells) != width:
            raise DataError(
                f"{path}, line {line} has {len(cells)} cells between "
                f"{'commas' if delimiter == ',' else 'semicolons'}, but the first line "
                f"has {width}; quote a text that holds one, or put a tab between label "
                f"and text{formats.format_hint(text, formats.LABELED)}."
            )
    columns = [set(column) for column in zip(*(r.cells for r in records), strict=True)]
    refuse_swallowed(
        rows,
        text,
        delimiter,
        path,
        lambda _, line: any(c in found for c, found in zip(line, columns, strict=True)),
    )
    return records


def _check_labels(rows: Sequence[Labeled], path: str | Path) -> None:
    """Refuse what are no labels, and a first line that names unknown columns."""
    counts = Counter(label for _, label, _ in rows)
    if len(rows) >= 20 and 2 * len(counts) > len(rows):
        raise DataError(
            f"{path} has {len(counts):,} different labels in {len(rows):,} documents; "
            f"{formats.LABELED} were expected."
        )
    line, label, document = rows[0]
    others = [number for other, number in counts.items() if other != label]
    lonely = counts[label] == 1 and min(others, default=0) > 1
    if len(rows) >= 10 and lonely and len(document.split()) == 1:
        raise DataError(
            f"{path}, line {line}: no other document has the label {label!r}; if this "
            f"line names the columns, name them label and text."
        )


def _named(cells: Sequence[str], names: Sequence[str]) -> int | None:
    """The column with one of the names; None if there is none, or several."""
    found = [i for i, cell in enumerate(cells) if cell in names]
    return found[0] if len(found) == 1 else None
