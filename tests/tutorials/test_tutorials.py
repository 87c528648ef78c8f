"""Every tutorial runs, and its notebook holds the cells of its Python file."""

import json
import time

import pytest

pytest.importorskip("jupytext")
pytest.importorskip("nbclient")
pytest.importorskip("ipykernel")

import jupytext

from tests.tutorials.notebooks import (
    FOLDER,
    METADATA,
    MOST_SECONDS,
    NAMES,
    errors,
    execute,
    read,
)

NEEDS = {"torch_lstm": "torch"}  # packages that a tutorial does not run without
every_tutorial = pytest.mark.parametrize("name", NAMES)


def cells(notebook):
    return [(cell.cell_type, cell.source) for cell in notebook.cells]


def test_there_are_tutorials():
    assert NAMES
    assert sorted(path.stem for path in FOLDER.glob("*.ipynb")) == NAMES


@every_tutorial
def test_the_notebook_has_the_cells_of_the_python_file(name):
    notebook = jupytext.read(FOLDER / f"{name}.ipynb")
    assert cells(notebook) == cells(read(name))


@every_tutorial
def test_the_notebook_holds_outputs_and_nothing_of_the_machine(name):
    path = FOLDER / f"{name}.ipynb"
    notebook = jupytext.read(path)
    assert json.loads(path.read_text(encoding="utf-8"))["metadata"] == METADATA
    assert not any(cell.metadata for cell in notebook.cells)
    assert not errors(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    assert any(cell.outputs for cell in code)


@every_tutorial
def test_the_tutorial_runs(name, tmp_path):
    pytest.importorskip(NEEDS.get(name, "jax"))
    notebook, start = read(name), time.monotonic()
    execute(notebook, tmp_path)
    assert not errors(notebook)
    assert time.monotonic() - start < MOST_SECONDS
