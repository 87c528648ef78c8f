"""Models as StableHLO programs, which run without the code of the model.

A program holds the parameters. The sizes of the batch and of the time axis stay open.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import export

from seqjax import durable, models, recurrence

PLATFORMS = ("cpu", "cuda", "tpu")


class Signature(NamedTuple):
    """What a program computes.

    Attributes:
      run: arrays -> a tuple of arrays.
      shapes: of the arguments, such as "t, b".
      dtypes: of the arguments.
    """

    run: Callable[..., tuple[jax.Array, ...]]
    shapes: tuple[str, ...]
    dtypes: tuple[Any, ...]


def to_stablehlo(
    model: Any, params: Any, path: str | Path, platforms: Sequence[str] = PLATFORMS
) -> None:
    """Write a model and its parameters as one StableHLO program.

    The program's arguments and results, each an array:

        LanguageModel   tokens [T, B], the leaves of the state -> logits [T, B, V], the
                        leaves of the new state
        Classifier      tokens [T, B], lengths [B] -> logits [B, C]
        Tagger          words [T, B], lengths [B], with character features also chars
                        [I, T, B] and char_lengths [T, B] -> logits [T, B, K], the most
                        probable tags [T, B]
        CTCModel        features [T, B, D], lengths [B] -> logits [T', B, V], steps [B]
        Seq2Seq         source [S, B], lengths [B], decoder inputs [T, B] -> logits
                        [T, B, V]
        forecasters     history [tau, B, D] -> [horizon, B, D, K]
        cells           xs [T, B, D], lengths [B] -> ys [T, B, H], the leaves of the
                        last state

    Integers are int32. Sizes in capitals are fixed by the model, but for T, S, I and B.

    Args:
      model: a model, a cell (also of your own), a Stack or a Bidirectional.
      params: its parameters.
      path: the file.
      platforms: of XLA, on which the program can run.

    Raises:
      OSError: if the file cannot be written.
      ValueError: if the model is of none of these classes.

    Example:
      >>> import tempfile
      >>> path = tempfile.mkdtemp() + "/classifier.stablehlo"
      >>> model = seqjax.Classifier(500, 2, seqjax.GRU(16), embed_size=8)
      >>> to_stablehlo(model, model.init(jax.random.key(0)), path)
      >>> run = from_stablehlo(path)
      >>> run(np.zeros((9, 3), np.int32), np.array([9, 4, 2], np.int32))[0].shape
      (3, 2)

    Source: the documentation of `jax.export`.
    """
    signature = signature_of(model, params)
    scope = export.SymbolicScope()
    arguments = [
        jax.ShapeDtypeStruct(export.symbolic_shape(shape, scope=scope), dtype)
        for shape, dtype in zip(signature.shapes, signature.dtypes, strict=True)
    ]
    exported = export.export(jax.jit(signature.run), platforms=platforms)(*arguments)
    durable.write_bytes(Path(path), bytes(exported.serialize()))


def from_stablehlo(path: str | Path) -> Callable[..., tuple[jax.Array, ...]]:
    """The function that `to_stablehlo` wrote; it needs jax, but no code of the model.

    Args:
      path: the file.

    Returns:
      run(*arrays) -> a tuple of arrays, compiled once for each shape.

    Raises:
      ImportError: if the package flatbuffers is missing.
      OSError: if the file cannot be read.
      ValueError: if it is no such program, or was written by a newer jax.

    Example:
      >>> import tempfile
      >>> path, cell = tempfile.mkdtemp() + "/gru.stablehlo", seqjax.GRU(4)
      >>> to_stablehlo(cell, cell.init(jax.random.key(0), 3), path)
      >>> run = from_stablehlo(path)
      >>> ys, h = run(np.ones((5, 2, 3), np.float32), np.array([5, 2], np.int32))
      >>> ys.shape, h.shape  # [T, B, H], [B, H]
      ((5, 2, 4), (2, 4))
    """
    with open(path, "rb") as file:
        content = file.read()
    try:
        exported = export.deserialize(bytearray(content))
    except ImportError:
        raise
    except Exception as error:  # of flatbuffers, of any class
        reason = str(error).split("\n")[0]
        raise ValueError(f"{path}: no whole program of jax.export: {reason}") from None
    return jax.jit(exported.call)


def signature_of(model: Any, params: Any) -> Signature:
    """What the program of a model computes.

    Raises:
      ValueError: if the model has no program.
    """
    ints = jnp.int32
    if isinstance(model, models.LanguageModel):
        return _language_model(model, params)
    if isinstance(model, models.Classifier):

        def classify(tokens: jax.Array, lengths: jax.Array) -> tuple[jax.Array, ...]:
            return (model.apply(params, tokens, lengths),)

        return Signature(classify, ("t, b", "b"), (ints, ints))
    if isinstance(model, models.Tagger):
        return _tagger(model, params)
    if isinstance(model, models.CTCModel):

        def recognize(xs: jax.Array, lengths: jax.Array) -> tuple[jax.Array, ...]:
            return model.apply(params, xs, lengths)

        shape = f"{model.stacking}*t, b, {model.input_size}"
        return Signature(recognize, (shape, "b"), (_dtype(params), ints))
    if isinstance(model, models.Seq2Seq):

        def score(
            source: jax.Array, lengths: jax.Array, inputs: jax.Array
        ) -> tuple[jax.Array, ...]:
            return (model.apply(params, source, lengths, inputs),)

        return Signature(score, ("s, b", "b", "t, b"), (ints, ints, ints))
    if isinstance(model, models.RecursiveForecaster | models.DirectForecaster):

        def forecast(history: jax.Array) -> tuple[jax.Array, ...]:
            return (model.apply(params, history),)

        shape = f"{model.tau}, b, {model.num_features}"
        return Signature(forecast, (shape,), (_dtype(params),))
    if hasattr(model, "output_size"):

        def unroll(xs: jax.Array, lengths: jax.Array) -> tuple[jax.Array, ...]:
            state, ys = recurrence.unroll(model, params, xs, lengths=lengths)
            return ys, *jax.tree.leaves(state)

        size = jax.tree.leaves(params)[0].shape[0]
        return Signature(unroll, (f"t, b, {size}", "b"), (_dtype(params), ints))
    raise ValueError(
        f"to_stablehlo: a model or a cell was expected, got {type(model).__name__}; "
        f"jax.export exports any function"
    )


def _language_model(model: models.LanguageModel, params: Any) -> Signature:
    state = jax.eval_shape(lambda: model.initial_state(()))
    leaves, tree = jax.tree.flatten(state)

    def predict(tokens: jax.Array, *state: jax.Array) -> tuple[jax.Array, ...]:
        last, logits = model.apply(params, tokens, jax.tree.unflatten(tree, state))
        return logits, *jax.tree.leaves(last)

    shapes = (f"b, {', '.join(map(str, leaf.shape))}" for leaf in leaves)
    dtypes = (leaf.dtype for leaf in leaves)
    return Signature(predict, ("t, b", *shapes), (jnp.int32, *dtypes))


def _tagger(model: models.Tagger, params: Any) -> Signature:
    def tag(
        words: jax.Array, lengths: jax.Array, *chars: jax.Array
    ) -> tuple[jax.Array, ...]:
        logits = model.apply(params, models.TaggerInputs(words, lengths, *chars))
        return logits, model.predict(params, logits, lengths)[0]

    shapes: tuple[str, ...] = ("t, b", "b")
    if model.num_chars:
        shapes = (*shapes, "i, t, b", "t, b")
    return Signature(tag, shapes, (jnp.int32,) * len(shapes))


def _dtype(params: Any) -> Any:
    return jax.tree.leaves(params)[0].dtype
