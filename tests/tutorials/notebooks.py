"""The tutorials: Python files in the percent format, and notebooks with their outputs.

`python -m tests.tutorials.notebooks NAME ...` runs docs/tutorials/NAME.py in an empty
folder and writes the notebook beside it; without a name it does so for every tutorial.
"""

import os
import sys
import tempfile
from pathlib import Path

import jupytext
import nbformat
from nbclient import NotebookClient

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "docs" / "tutorials"
NAMES = sorted(path.stem for path in FOLDER.glob("*.py"))
MOST_SECONDS = 300
METADATA = {
    "jupytext": {"formats": "ipynb,py:percent"},
    "kernelspec": {
        "display_name": "Python 3",
        "language": "python",
        "name": "python3",
    },
    "language_info": {"name": "python"},
}


def read(name):
    """The cells of a tutorial's Python file, as a notebook without outputs."""
    return jupytext.read(FOLDER / f"{name}.py")


def execute(notebook, folder):
    """Run all cells in a folder and keep their outputs; an error in a cell is raised.

    The repository is on PYTHONPATH, as if it were installed. The flags with which the
    tests compile sooner would make training slower.
    """
    paths = [str(ROOT), os.environ.get("PYTHONPATH", "")]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))}
    environment.pop("XLA_FLAGS", None)
    client = NotebookClient(
        notebook,
        timeout=MOST_SECONDS,
        kernel_name="python3",
        record_timing=False,
        resources={"metadata": {"path": str(folder)}},
    )
    client.execute(env=environment)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = joined(cell.outputs)


def joined(outputs):
    """The outputs of a cell, each text that was printed in pieces as one."""
    found = []
    for output in outputs:
        name = output.get("name")  # of streams only
        if name and found and found[-1].get("name") == name:
            found[-1].text += output.text
        else:
            found.append(output)
    return found


def errors(notebook):
    """What the cells wrote to stderr, and their errors."""
    return [
        output
        for cell in notebook.cells
        for output in cell.get("outputs", ())
        if output.output_type == "error" or output.get("name") == "stderr"
    ]


def write(notebook, path):
    """Write a notebook with nothing in it that differs between two equal runs."""
    notebook.metadata = nbformat.from_dict(METADATA)
    for number, cell in enumerate(notebook.cells):
        cell.id, cell.metadata = f"cell-{number}", nbformat.from_dict({})
    nbformat.validate(notebook)
    path.write_text(nbformat.writes(notebook) + "\n", encoding="utf-8")


def main(names):
    """Run tutorials and write their notebooks."""
    for name in names:
        notebook = read(name)
        with tempfile.TemporaryDirectory() as folder:
            execute(notebook, folder)
        if found := errors(notebook):
            raise SystemExit(f"{name}: {found}")
        write(notebook, FOLDER / f"{name}.ipynb")


if __name__ == "__main__":
    main(sys.argv[1:] or NAMES)
