"""Docstrings of the library: their examples run, and no public name lacks one.

A public name is one that an `__all__` of seqjax or of its packages has, or that is
defined in a module that an `__all__` has. The laws of arguments and errors hold for
all functions without an underscore.
"""

import ast
import doctest
import importlib
import inspect
import re
import textwrap
import types
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import seqjax

FOLDER = Path(seqjax.__file__).parent
MODULES = sorted(
    ".".join(path.relative_to(FOLDER.parent).with_suffix("").parts).removesuffix(
        ".__init__"
    )
    for path in FOLDER.rglob("*.py")
)
# What the examples of a module need beyond the dependencies of the library.
EXTRAS = {"seqjax.interop.onnx": "onnx"}
NAMES = {"jax": jax, "jnp": jnp, "np": np, "seqjax": seqjax}
SECTIONS = ("Args", "Returns", "Yields", "Raises", "Example", "Source")


def _path(module):
    path = FOLDER.parent.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


WITH_EXAMPLES = [m for m in MODULES if ">>>" in _path(m).read_text("utf-8")]


@pytest.mark.parametrize("name", WITH_EXAMPLES)
def test_examples_run(name):
    if name in EXTRAS:
        pytest.importorskip(EXTRAS[name])
    module = importlib.import_module(name)
    result = doctest.testmod(module, extraglobs=NAMES)
    assert result.failed == 0
    written = re.findall("^ *>>> ", _path(name).read_text("utf-8"), re.MULTILINE)
    assert result.attempted == len(written)


def _is_own(value):
    return getattr(value, "__module__", "").startswith("seqjax")


def _of_module(module):
    """(name, value) of what an exported module offers."""
    if hasattr(module, "__all__"):
        return [(name, getattr(module, name)) for name in module.__all__]
    return [
        (name, value)
        for name, value in vars(module).items()
        if not name.startswith("_")
        and callable(value)
        and getattr(value, "__module__", None) == module.__name__
    ]


def _public_names():
    """The public functions and classes by their full names."""
    packages = [m for m in MODULES if _path(m).name == "__init__.py"]
    waiting = [importlib.import_module(name) for name in packages]
    waiting = [module for module in waiting if hasattr(module, "__all__")]
    found, seen = {}, set()
    while waiting:
        module = waiting.pop()
        if module in seen:
            continue
        seen.add(module)
        for name, value in _of_module(module):
            if isinstance(value, types.ModuleType):
                waiting.append(value)
            elif callable(value) and _is_own(value):  # an alias is of another module
                found[f"{value.__module__}.{name}"] = value
    return found


PUBLIC = _public_names()


def _needs_example(value):
    """Whether it is no record of fields, no exception and no interface."""
    if not inspect.isclass(value):
        return True
    is_record = issubclass(value, tuple) and not _methods(value)
    is_interface = getattr(value, "_is_protocol", False)
    return not (is_record or is_interface or issubclass(value, BaseException))


def _methods(cls):
    return [
        value
        for name, value in vars(cls).items()
        if not name.startswith("_") and inspect.isfunction(value)
    ]


def test_public_names_are_found():
    kinds = {
        "seqjax.recurrence.unroll",  # of the library
        "seqjax.audio.front_end.FrontEnd",  # of a package
        "seqjax.nn.masks.masked_total",  # of an exported module
        "seqjax.structured.linear_chain.paths.viterbi",  # of a package in a package
        "seqjax.nn.activations.tanh",  # no plain function
    }
    assert kinds <= PUBLIC.keys()
    assert all(_needs_example(PUBLIC[name]) for name in kinds)
    assert not _needs_example(seqjax.LSTMState)
    assert not _needs_example(seqjax.Cell)


def test_public_names_have_docstrings():
    # A class without one gets one that begins with its name and a parenthesis.
    assert not [
        name
        for name, value in PUBLIC.items()
        if not value.__doc__ or value.__doc__.startswith(f"{value.__name__}(")
    ]


def test_public_names_have_examples():
    assert not [
        name
        for name, value in PUBLIC.items()
        if _needs_example(value) and "\nExample:\n  >>> " not in inspect.getdoc(value)
    ]


# ------------------------------------------------------- arguments and errors


def _definitions():
    """(name, function or class, its own definition as ast) of all modules."""
    found = []
    for module in MODULES:
        tree = ast.parse(_path(module).read_text("utf-8"))
        for node in tree.body:
            _collect(node, module, found)
    return found


def _collect(node, where, found):
    kinds = ast.FunctionDef | ast.ClassDef
    if not isinstance(node, kinds) or node.name.startswith("_"):
        return
    name = f"{where}.{node.name}"
    found.append((name, node))
    if isinstance(node, ast.ClassDef):
        for member in node.body:
            _collect(member, name, found)


DEFINITIONS = dict(_definitions())


# Classes, some of which others inherit their fields from.
CLASSES = {
    node.name: node
    for module in MODULES
    for node in ast.parse(_path(module).read_text("utf-8")).body
    if isinstance(node, ast.ClassDef)
}


def _sections(docstring):
    """The sections of a docstring by their titles, without their indent."""
    titles = "|".join(SECTIONS)
    parts = re.split(rf"^({titles})[^\n:]*:", docstring, flags=re.MULTILINE)
    bodies = (re.split(r"^(?=\S)", part, flags=re.MULTILINE)[0] for part in parts[2::2])
    return dict(zip(parts[1::2], map(textwrap.dedent, bodies), strict=True))


def _documented(section):
    """The names of the entries `a, *b: text` of a section of arguments."""
    entries = re.findall(r"^([\w*][^:]*):", section.strip("\n"), flags=re.MULTILINE)
    return {name.strip(" *\n") for entry in entries for name in entry.split(",")}


def _parameters(node):
    """The names of the parameters of a function, or of the fields of a class."""
    if isinstance(node, ast.ClassDef):
        members = {m.name: m for m in node.body if isinstance(m, ast.FunctionDef)}
        if "__init__" in members:
            return _parameters(members["__init__"])
        own = {
            field.target.id
            for field in node.body
            if isinstance(field, ast.AnnAssign)
            and "ClassVar" not in ast.unparse(field.annotation)
            and not field.target.id.startswith("_")
        }
        bases = (CLASSES.get(ast.unparse(base)) for base in node.bases)
        return own.union(*(_parameters(base) for base in bases if base is not None))
    args = node.args
    every = [*args.posonlyargs, *args.args, *args.kwonlyargs, args.vararg, args.kwarg]
    return {a.arg for a in every if a is not None} - {"self", "cls"}


def test_all_arguments_are_documented():
    wrong = {}
    for name, node in DEFINITIONS.items():
        sections = _sections(ast.get_docstring(node) or "")
        if "Args" in sections:
            differing = _documented(sections["Args"]) ^ _parameters(node)
            wrong |= {name: differing} if differing else {}
    assert not wrong


def _raised(node):
    """The names of the errors that a function raises itself, not in inner ones."""
    if isinstance(node, ast.ClassDef):
        made_by = ("__init__", "__post_init__")
        members = [m for m in node.body if getattr(m, "name", None) in made_by]
        return set().union(*map(_raised, members))
    found, waiting = set(), list(node.body)
    while waiting:
        inner = waiting.pop()
        if isinstance(inner, ast.FunctionDef | ast.Lambda | ast.ClassDef):
            continue
        waiting += ast.iter_child_nodes(inner)
        if isinstance(inner, ast.Raise) and isinstance(inner.exc, ast.Call):
            found.add(ast.unparse(inner.exc.func).rpartition(".")[-1])
    return {error for error in found if error.endswith("Error")}


def test_raised_errors_are_documented():
    wrong = {}
    for name, node in DEFINITIONS.items():
        documented = _sections(ast.get_docstring(node) or "").get("Raises", "")
        missing = {error for error in _raised(node) if error not in documented}
        wrong |= {name: missing} if missing else {}
    assert not wrong


def test_sections_are_in_order():
    for name, node in DEFINITIONS.items():
        sections = [*_sections(ast.get_docstring(node) or "")]
        assert sections == sorted(sections, key=SECTIONS.index), name


def test_sections_are_read():
    text = """One line.

    Args:
      a, b: of both,
        which x: y goes on.
      *paths, c,
        d: long.

    Raises:
      ValueError: always.
    """
    found = _sections(inspect.cleandoc(text))
    assert _documented(found["Args"]) == {"a", "b", "paths", "c", "d"}
    assert list(found) == ["Args", "Raises"]
    source = "def f():\n  if x: raise a.DataError()\n  def g(): raise TypeError()"
    assert _raised(ast.parse(source).body[0]) == {"DataError"}
