"""Docstrings as reStructuredText: equations as MathML, lists and code as they are."""

import importlib
import inspect
import re
from typing import Any

from equations import is_equation, mathml

SECTIONS = re.compile(r"(Args|Returns|Raises|Yields|Example|Attributes|Source|Shapes):")

_whole: dict[str, list[str]] = {}  # the docstrings of attributes before napoleon


def convert(lines: list[str]) -> list[str]:
    """A docstring whose indented blocks outside sections are marked as what they are.

    >>> convert(["A cell.", "", "    y = h", "", "Args:", "  h: the state."])[2]
    '.. raw:: html'
    """
    found: list[str] = []
    at, in_section = 0, ""
    while at < len(lines):
        line = lines[at]
        if line and not line.startswith(" "):
            section = SECTIONS.match(line)
            in_section = section.group(1) if section else ""
        if in_section or not line.startswith("    "):
            while in_section == "Args" and re.fullmatch(r"  \S[^:]*,", line):
                at += 1  # names of arguments that fill more than one line
                line = f"{line} {lines[at].strip()}"
            found.append(line if in_section == "Example" else escaped(line))
            at += 1
            continue
        end = at
        while end < len(lines) and (not lines[end] or lines[end].startswith("    ")):
            end += 1
        block = lines[at:end]
        while not block[-1].strip():
            block.pop()
        found += [*_block(block), ""]
        at += len(block)
    return found


def escaped(line: str) -> str:
    """A line of prose whose stars and bars mean nothing else.

    >>> escaped("mean |y - f| of `a|b`, 2**n")
    'mean \\\\|y - f\\\\| of ``a|b``, 2\\\\*\\\\*n'
    """
    line = re.sub(r"(`[^`]*`)|([*|])", lambda m: m[1] or f"\\{m[2]}", line)
    return re.sub(r"`([^`]+)`(?=(\w?))", _code, line)


def _code(match: re.Match[str]) -> str:
    """A name as a link, other code as it is; a letter may follow, as in `RNN`s."""
    is_name = re.fullmatch(r"[A-Za-z_][\w.]*", match[1])
    marks = "`" if is_name else "``"
    return f"{marks}{match[1]}{marks}" + "\\ " * bool(match[2])


def _block(block: list[str]) -> list[str]:
    if is_equation(block):
        blank = [line for line in block if line.strip()]
        return [".. raw:: html", "", f"   {mathml(blank)}"]
    return ["::", "", *(f"   {line}" for line in block)]


def process(_app: Any, what: str, name: str, obj: Any, _options: Any, lines: Any):
    """The hook of autodoc, before napoleon reads the sections."""
    if lines and lines[0].startswith("Alias for field number"):
        lines[:] = [escaped(field_comment(name)), ""]
    lines[:] = convert(lines)
    if what in ("attribute", "property"):
        _whole[name] = list(lines)


def restore(_app: Any, _what: str, name: str, _obj: Any, _options: Any, lines: Any):
    """The hook after napoleon, which takes a text before a colon for a type."""
    lines[:] = _whole.pop(name, lines)


def field_comment(name: str) -> str:
    """The comment beside a field of a NamedTuple.

    >>> field_comment("seqjax.cells.LSTMState.c")
    '[..., H]'
    """
    *owner, field = name.split(".")
    module = importlib.import_module(".".join(owner[:-1]))
    source = inspect.getsource(getattr(module, owner[-1]))
    found = re.search(rf"^    {field}: .*?#\s*(.*)$", source, re.MULTILINE)
    return found[1] if found else ""


def skip(_app: Any, what: str, _name: str, obj: Any, skipped: bool, _options: Any):
    """Whether to leave a member out: also functions that are defaults of fields."""
    is_function = what == "class" and inspect.isfunction(obj)
    return skipped or (is_function and "." not in obj.__qualname__)


def setup(app: Any) -> dict[str, Any]:
    """Register with Sphinx."""
    app.connect("autodoc-process-docstring", process, priority=100)
    app.connect("autodoc-process-docstring", restore, priority=900)
    app.connect("autodoc-skip-member", skip)
    return {"version": "1", "parallel_read_safe": True}
