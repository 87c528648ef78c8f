"""JSON lines and Parquet files, hostile ones among them."""

import io
import json
from pathlib import Path

import pyarrow as pa
from hypothesis import strategies as st
from pyarrow import parquet

from seqjax.data.tables import Part, Table, read_table
from seqjax.data.text import read_bytes
from tests.fuzz.contents import cells, lines, mostly, split_lines, words

values = st.one_of(
    cells, st.none(), st.booleans(), st.integers(), st.floats(), st.lists(cells)
)
objects = st.dictionaries(
    words, mostly(values, st.dictionaries(words, values, max_size=2), 6), max_size=3
)
rows = st.one_of(
    objects.map(json.dumps), objects.map(lambda o: json.dumps(o, ensure_ascii=False))
)
json_lines = lines(mostly(rows, st.just(""), 9))


@st.composite
def parquet_files(draw) -> bytes:
    number = draw(st.integers(1, 6))
    column = st.sampled_from((cells, st.integers(-9, 9), st.lists(words)))
    columns = {
        name: draw(st.lists(draw(column), min_size=number, max_size=number))
        for name in draw(st.sets(words, min_size=1, max_size=3))
    }
    sink = io.BytesIO()
    parquet.write_table(pa.table(columns), sink, row_group_size=draw(st.integers(1, 4)))
    return sink.getvalue()


def read(path: Path) -> Table:
    """Reading as JSON lines what does not begin as Parquet."""
    return read_table(Part(str(path), read_bytes(path)))


def check_json_lines(content: bytes, table: Table) -> None:
    found = [json.loads(line) for line in split_lines(content) if line.strip()]
    found = [dict(leaves(row)) for row in found]
    assert len(table.numbers) == len(found)
    assert {name for row in found for name in row} == set(table.columns)
    for name, column in table.columns.items():
        own = [row.get(name) for row in found]
        assert repr(column) == repr(own)  # nan is not equal to itself


def leaves(row: dict, names: tuple[str, ...] = ()) -> list[tuple[str, object]]:
    found = []
    for name, value in row.items():
        if isinstance(value, dict):
            found += leaves(value, (*names, name))
        else:
            found.append((".".join((*names, name)), value))
    return found


def check_parquet(content: bytes, table: Table) -> None:
    number = parquet.ParquetFile(io.BytesIO(content)).metadata.num_rows
    assert len(table.numbers) == number > 0
    assert all(len(column) == number for column in table.columns.values())
