"""Runs commands inside the test process and reads what they wrote."""

import contextlib
import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple


class Result(NamedTuple):
    """What a command left behind."""

    code: int
    out: str
    err: str


def run(main: Callable[[list[str]], Any], *argv: object, stdin: bytes = b"") -> Result:
    """Call the `main` of an entry module with these arguments.

    Args:
      main: such as `experiments.translation.__main__.main`.
      *argv: the arguments, as strings or paths.
      stdin: the bytes of standard input.
    """
    out, err, code = io.StringIO(), io.StringIO(), 0
    before = sys.stdin
    sys.stdin = io.TextIOWrapper(io.BytesIO(stdin), encoding="utf-8")
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            main(list(map(str, argv)))
    except SystemExit as stop:
        code = int(stop.code or 0)
    finally:
        sys.stdin = before
    return Result(code, out.getvalue(), err.getvalue())


def refused(result: Result, sentence: str) -> None:
    """Assert that a command ended with exit code 2 and one sentence with this part."""
    assert result.code == 2, result.err
    assert sentence in result.err
    assert len(result.err.splitlines()) == 1, result.err
    assert result.err.startswith("error: ")


def files(folder: Path) -> dict[Path, bytes]:
    """Every file below a folder with its content: what must not change."""
    return {p: p.read_bytes() for p in Path(folder).rglob("*") if p.is_file()}


def summary(workdir: Path) -> dict[str, Any]:
    """The content of summary.json."""
    return json.loads((workdir / "summary.json").read_text())


def metrics(workdir: Path) -> list[dict[str, Any]]:
    """The lines of metrics.jsonl."""
    text = (workdir / "metrics.jsonl").read_text()
    return [json.loads(line) for line in text.splitlines()]
