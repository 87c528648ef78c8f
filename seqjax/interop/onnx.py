"""Models as ONNX graphs with the operators LSTM, GRU and RNN, which runtimes fuse.

The graphs are of opset 17, in float32; the batch and the time axis are open. Needs the
package onnx: `pip install "seqjax[onnx]"`.
"""

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from seqjax import durable, models
from seqjax.cell_protocol import Params
from seqjax.interop.onnx_graph import Graph
from seqjax.interop.onnx_layers import unroll
from seqjax.nn.adaptive_softmax import AdaptiveParams
from seqjax.recurrence import Bidirectional, Stack


def to_onnx(model: Any, params: Any, path: str | Path) -> None:
    """Write a model as an ONNX file.

    The names, shapes and dtypes of inputs and outputs:

        LanguageModel   tokens [T, B] int64, state_0, state_1 ... [B, H]
                        -> logits [T, B, V], new_state_0, new_state_1 ...
        Classifier      tokens [T, B] int64, lengths [B] int32 -> logits [B, C]
        Tagger          words [T, B] int64, lengths [B] int32, with character features
                        also chars [I, T, B] and char_lengths [T, B] int64
                        -> logits [T, B, K]; a CRF scores them with the parameters crf
        cells           xs [T, B, D], lengths [B] int32 -> ys [T, B, H]

    The states are the leaves of the model's state, in their order: h of an RNN or a
    GRU, h and c of an LSTM, layer by layer. Lengths are at least 1.

    Args:
      model: a LanguageModel, a Classifier or a Tagger, or an RNN, a GRU, an LSTM, a
        Stack or a Bidirectional of these.
      params: its parameters.
      path: the file.

    Raises:
      ImportError: if the package onnx is missing.
      OSError: if the file cannot be written.
      ValueError: if a part of the model has no ONNX operator, such as a cell of your
        own; `to_stablehlo` exports any cell.

    Example:
      >>> import onnx, tempfile
      >>> path, cell = tempfile.mkdtemp() + "/gru.onnx", seqjax.GRU(4)
      >>> to_onnx(cell, cell.init(jax.random.key(0), 3), path)
      >>> graph = onnx.load(path).graph
      >>> [value.name for value in (*graph.input, *graph.output)]
      ['xs', 'lengths', 'ys']

    Source: the ONNX operators LSTM, GRU and RNN, versions 14.
    """
    graph = Graph(_library())
    params = jax.tree.map(lambda a: np.asarray(a, np.float32), params)
    if isinstance(model, models.LanguageModel):
        _language_model(graph, model, params)
    elif isinstance(model, models.Classifier):
        _classifier(graph, model, params)
    elif isinstance(model, models.Tagger):
        _tagger(graph, model, params)
    else:
        width = _width(model, params)
        xs = graph.input("xs", np.float32, ("T", "B", width))
        lengths = graph.input("lengths", np.int32, ("B",))
        ys, _ = unroll(graph, model, params, xs, lengths)
        graph.output(ys, "ys", np.float32, ("T", "B", model.output_size))
    durable.write_bytes(Path(path), graph.serialize(type(model).__name__))


def _library() -> Any:
    try:
        return importlib.import_module("onnx")
    except ImportError:
        raise ImportError(
            'to_onnx needs the package onnx: pip install "seqjax[onnx]"'
        ) from None


def _width(cell: Any, params: Params) -> int:
    """D; refuses what is no cell with operators."""
    if not hasattr(cell, "output_size"):
        raise ValueError(
            f"to_onnx: a LanguageModel, a Classifier, a Tagger or a cell was expected, "
            f"got {type(cell).__name__}; to_stablehlo exports all models"
        )
    return int(jax.tree.leaves(params)[0].shape[0])


def _language_model(graph: Graph, model: models.LanguageModel, params: Any) -> None:
    if model.mixtures is not None:
        raise ValueError(
            "to_onnx: a mixture of softmaxes is not exported; to_stablehlo exports it"
        )
    tokens = graph.input("tokens", np.int64, ("T", "B"))
    table = np.eye(model.vocab_size, dtype=np.float32)
    xs = graph.add("Gather", table if params.embed is None else params.embed, tokens)
    leaves, tree = jax.tree.flatten(jax.eval_shape(lambda: model.initial_state(())))
    names = [
        graph.input(f"state_{i}", np.float32, ("B", *leaf.shape))
        for i, leaf in enumerate(leaves)
    ]
    state = jax.tree.unflatten(tree, names)
    ys, last = unroll(graph, model.cell, params.cell, xs, None, state)
    softmax: Any = model.softmax.weights(params.out, params.embed)
    if isinstance(softmax, AdaptiveParams):
        logits = _adaptive(graph, softmax, ys)
    else:
        logits = graph.dense(softmax.w, softmax.b, ys)
    graph.output(logits, "logits", np.float32, ("T", "B", model.vocab_size))
    for i, (name, leaf) in enumerate(zip(jax.tree.leaves(last), leaves, strict=True)):
        graph.output(name, f"new_state_{i}", np.float32, ("B", *leaf.shape))


def _adaptive(graph: Graph, params: Any, ys: str) -> str:
    """The log probabilities of an adaptive softmax."""
    first = len(params.head.b) - len(params.tails)
    head = graph.add(
        "LogSoftmax", graph.dense(params.head.w, params.head.b, ys), axis=-1
    )
    parts = [graph.slice(head, 0, first, axis=2)]
    for i, tail in enumerate(params.tails):
        projected = graph.add("MatMul", ys, tail.projection)
        inner = graph.dense(tail.words.w, tail.words.b, projected)
        within = graph.add("LogSoftmax", inner, axis=-1)
        of_cluster = graph.slice(head, first + i, first + i + 1, axis=2)
        parts.append(graph.add("Add", of_cluster, within))
    return graph.add("Concat", *parts, axis=2)


def _classifier(graph: Graph, model: models.Classifier, params: Any) -> None:
    tokens = graph.input("tokens", np.int64, ("T", "B"))
    lengths = graph.input("lengths", np.int32, ("B",))
    xs = graph.add("Gather", params.embed, tokens)
    ys, _ = unroll(graph, model.cell, params.cell, xs, lengths)
    pooled = _pool(graph, model, params.pool, ys, lengths)
    logits = graph.dense(params.out.w, params.out.b, pooled)
    graph.output(logits, "logits", np.float32, ("B", model.num_labels))


def _pool(
    graph: Graph, model: models.Classifier, params: Any, ys: str, lengths: str
) -> str:
    """[T, B, H] -> [B, H]."""
    if model.pooling == "last":
        return _last(graph, model.cell, ys, lengths)
    if model.pooling == "mean":
        count = graph.unsqueeze(graph.cast(lengths, np.float32), [1])
        return graph.add("Div", graph.sum(ys, 0), count)
    real = graph.valid(ys, lengths)  # [T, B]
    if model.pooling == "max":
        masked = graph.add("Where", graph.unsqueeze(real, [2]), ys, np.float32(-np.inf))
        return graph.add("ReduceMax", masked, axes=[0], keepdims=0)
    hidden = graph.add("Tanh", graph.dense(params.key.w, params.key.b, ys))
    scores = graph.add("MatMul", hidden, params.query)
    masked = graph.add("Where", real, scores, np.float32(-np.inf))
    weights = graph.unsqueeze(graph.add("Softmax", masked, axis=0), [2])
    return graph.sum(graph.add("Mul", weights, ys), 0)


def _last(graph: Graph, cell: Any, ys: str, lengths: str) -> str:
    """The outputs at the last step; of a backward half, at the first step."""
    index = graph.add("Sub", graph.cast(lengths, np.int64), np.int64(1))
    index = graph.unsqueeze(index, [0, 2])  # [1, B, 1]
    shape = graph.add("Shape", ys)
    sizes = graph.add("Concat", np.array([1]), graph.slice(shape, 1, 3), axis=0)
    index = graph.add("Expand", index, sizes)
    last = graph.add("GatherElements", ys, index, axis=0)
    last = graph.add("Squeeze", last, np.array([0]))
    while isinstance(cell, Stack):
        cell = cell.cells[-1]
    if not isinstance(cell, Bidirectional):
        return last
    half, width = cell.cell.output_size, cell.output_size
    first = graph.add("Gather", ys, np.int64(0), axis=0)
    halves = graph.slice(last, 0, half, axis=1), graph.slice(first, half, width, axis=1)
    return graph.add("Concat", *halves, axis=1)


def _tagger(graph: Graph, model: models.Tagger, params: Any) -> None:
    words = graph.input("words", np.int64, ("T", "B"))
    lengths = graph.input("lengths", np.int32, ("B",))
    xs = graph.add("Gather", params.embed, words)
    if params.chars is not None:
        chars = graph.input("chars", np.int64, ("I", "T", "B"))
        char_lengths = graph.input("char_lengths", np.int64, ("T", "B"))
        features = _char_features(graph, params.chars, chars, char_lengths)
        xs = graph.add("Concat", xs, features, axis=2)
    ys, _ = unroll(graph, model.cell, params.cell, xs, lengths)
    logits = graph.dense(params.out.w, params.out.b, ys)
    graph.output(logits, "logits", np.float32, ("T", "B", len(model.tags)))


def _char_features(graph: Graph, params: Any, chars: str, lengths: str) -> str:
    """max_i relu(window(chars i - 1, i, i + 1)) of each word, [T, B, F]."""
    xs = graph.add("Gather", params.embed, chars)  # [I, T, B, E]
    real = graph.unsqueeze(graph.valid(chars, lengths), [3])
    xs = graph.add("Where", real, xs, np.float32(0))
    ends: Sequence[tuple[int, int]] = ((1, 0), (0, 0), (0, 1))
    shifted = [
        graph.add("Pad", xs, np.array([before, 0, 0, 0, after, 0, 0, 0]))
        for before, after in ends
    ]
    count = graph.add("Gather", graph.add("Shape", xs), np.int64(0), axis=0)
    begins = (0, 0, 1)
    parts = [
        graph.slice(part, begin, graph.add("Add", count, np.int64(begin)))
        for part, begin in zip(shifted, begins, strict=True)
    ]
    windows = graph.add("Concat", *parts, axis=3)
    ys = graph.add("Relu", graph.dense(params.window.w, params.window.b, windows))
    ys = graph.add("Where", real, ys, np.float32(0))
    return graph.add("ReduceMax", ys, axes=[0], keepdims=0)
