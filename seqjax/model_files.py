"""Models as folders: the settings as JSON, the parameters as safetensors.

model.json           the model, the version that wrote it, and what the caller adds
params.safetensors   the parameters by name
SHA256SUMS           the checksums of both
"""

import dataclasses
import functools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from seqjax import (
    cell_wrappers,
    cells,
    durable,
    lstm_variants,
    models,
    named_arrays,
    recurrence,
    sealed,
)
from seqjax.baselines import autoregressive
from seqjax.nn import forecast_heads

MODEL, PARAMS, FORMAT = "model.json", "params.safetensors", 1


class Loaded(NamedTuple):
    """What `load` returns."""

    model: Any  # a model or a cell
    params: Any  # a pytree of arrays on the default device
    extra: dict[str, Any]  # the JSON values beside it


def save(
    path: str | Path, model: Any, params: Any, extra: Mapping[str, Any] | None = None
) -> None:
    """Save a model or a cell with its parameters, for `load`.

    Initializers are not saved: a loaded model draws new parameters by the default ones.

    Args:
      path: the folder; a saved model that is there is replaced once this one is whole.
      model: a model or a cell of seqjax, or a frozen dataclass of your own with
        `init(key)` or `init(key, input_size)`.
      params: its parameters.
      extra: JSON values to keep beside it, such as a vocabulary.

    Raises:
      ValueError: if a part of the model is no frozen dataclass, number, string or
        function of seqjax, or the parameters are not those that its `init` makes.
      OSError: if the folder cannot be written.

    Example:
      >>> import tempfile
      >>> path = tempfile.mkdtemp() + "/model"
      >>> model = seqjax.LanguageModel(28, seqjax.LSTM(16), embed_size=8)
      >>> params = model.init(jax.random.key(0))
      >>> seqjax.save(path, model, params, {"vocab": ["a", "b"]})
      >>> again, params, extra = seqjax.load(path)
      >>> again == model, extra
      (True, {'vocab': ['a', 'b']})
    """
    path = Path(path)
    named, _ = jax.tree_util.tree_flatten_with_path(params)
    arrays = {jax.tree_util.keystr(k): np.asarray(a) for k, a in named}
    input_size = _input_size(model, params)
    described = {
        "format": FORMAT,
        "model": _describe(model),
        "input_size": input_size,
        "extra": dict(extra or {}),
    }
    _compare(arrays, _template(model, input_size), "save: the parameters")
    content = json.dumps(described, indent=1, ensure_ascii=False).encode()
    partial = path.with_name(path.name + durable.PARTIAL)
    durable.make_folder(path.parent)
    sealed.write(partial, {MODEL: content, PARAMS: named_arrays.encode(arrays)})
    if path.exists():
        durable.delete_folder(path)
    partial.rename(path)
    durable.sync(path.parent)


def load(path: str | Path, classes: Sequence[type] = ()) -> Loaded:
    """The model, the parameters and the extra values that `save` wrote.

    Args:
      path: the folder.
      classes: the classes of your own that the model consists of.

    Returns:
      (model, params, extra).

    Raises:
      ValueError: if the folder holds no model or a damaged one, was written by a newer
        version, or consists of classes that are not given.

    Example:
      >>> import tempfile
      >>> path, cell = tempfile.mkdtemp() + "/cell", seqjax.GRU(4)
      >>> save(path, cell, cell.init(jax.random.key(0), 3), {"rate": 16_000})
      >>> loaded = load(path)
      >>> loaded.model.hidden_size, loaded.params.w_x.shape, loaded.extra
      (4, (3, 12), {'rate': 16000})
    """
    path = Path(path)
    if not path.is_dir():
        raise ValueError(f"{path} holds no saved model: there is no such folder")
    files = sealed.read(path)
    if not {MODEL, PARAMS} <= files.keys():
        raise ValueError(f"{path} holds no saved model: {MODEL} is missing")
    described = json.loads(files[MODEL])
    if described["format"] > FORMAT:
        raise ValueError(
            f"{path} has format {described['format']}, of a newer version of seqjax; "
            f"this version reads format {FORMAT}"
        )
    known = _known() | {cls.__name__: cls for cls in classes}
    model = _build(described["model"], known, str(path))
    arrays = named_arrays.decode(files[PARAMS])
    template = _template(model, described["input_size"])
    _compare(arrays, template, f"{path}: the parameters")
    named, tree = jax.tree_util.tree_flatten_with_path(template)
    leaves = [jnp.asarray(arrays[jax.tree_util.keystr(key)]) for key, _ in named]
    return Loaded(model, jax.tree.unflatten(tree, leaves), described["extra"])


@functools.cache
def _known() -> dict[str, Any]:
    """The classes and functions that a model may consist of, by name."""
    found: dict[str, Any] = {}
    modules = (cells, lstm_variants, cell_wrappers, recurrence)
    for module in (*modules, models, forecast_heads, autoregressive):
        for name, value in vars(module).items():
            if callable(value) and not name.startswith("_"):
                found[name] = value
    return found


def _describe(value: Any) -> Any:
    """A part of a model as JSON."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, tuple) and not hasattr(value, "_fields"):
        return {"tuple": [_describe(member) for member in value]}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = (f for f in dataclasses.fields(value) if f.init and f.repr)
        return {
            "class": type(value).__name__,
            "fields": {f.name: _describe(getattr(value, f.name)) for f in fields},
        }
    name = getattr(value, "__name__", "")
    if _known().get(name) is value:
        return {"function": name}
    raise ValueError(
        f"save: {value!r} cannot be saved; a model consists of frozen dataclasses, "
        f"tuples, numbers, strings and functions of seqjax"
    )


def _build(described: Any, known: Mapping[str, Any], where: str) -> Any:
    """The part of a model that `_describe` described."""
    if not isinstance(described, dict):
        return described
    if "tuple" in described:
        return tuple(_build(member, known, where) for member in described["tuple"])
    name = described.get("class") or described["function"]
    if name not in known:
        raise ValueError(
            f"{where}: the model consists of {name}, which is not of seqjax; give "
            f"its class, as in load(path, classes=[{name}])"
        )
    if "function" in described:
        return known[name]
    fields = described["fields"].items()
    return known[name](**{k: _build(v, known, where) for k, v in fields})


def _input_size(model: Any, params: Any) -> int | None:
    """The width of the inputs of a cell; None of a model, which knows it."""
    if not hasattr(model, "output_size"):
        return None
    first = jax.tree.leaves(params)[0]
    return int(first.shape[0]) if np.ndim(first) else None


def _template(model: Any, input_size: int | None) -> Any:
    """The shapes and dtypes of the parameters."""
    sizes = () if input_size is None else (input_size,)
    return jax.eval_shape(lambda: model.init(jax.random.key(0), *sizes))


def _compare(arrays: Mapping[str, Any], template: Any, what: str) -> None:
    """Raise ValueError if parameters have other names or shapes than a template."""
    named, _ = jax.tree_util.tree_flatten_with_path(template)
    expected = {jax.tree_util.keystr(key): leaf.shape for key, leaf in named}
    found = {name: array.shape for name, array in arrays.items()}
    for name in sorted(expected.keys() | found.keys()):
        if expected.get(name) != found.get(name):
            raise ValueError(
                f"{what} are not those of the model: {name} is "
                f"{found.get(name, 'missing')}, expected {expected.get(name, 'none')}"
            )
