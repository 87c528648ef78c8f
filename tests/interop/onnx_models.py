"""Random models as ONNX graphs, compared with what onnxruntime computes.

python -m tests.interop.onnx_models --models=200
"""

import argparse
import tempfile
from pathlib import Path
from typing import Any

import jax
import numpy as np
import onnxruntime

import seqjax
from seqjax.interop import to_onnx
from seqjax.models import TaggerInputs
from tests.parameters import is_float

V, C = 11, 3


def random_cell(rng, depth=2, both=True):
    """A cell, a Stack or a Bidirectional of random kinds and sizes."""
    size = int(rng.integers(1, 9))
    plain = [
        seqjax.RNN(size, str(rng.choice(["tanh", "relu"]))),
        seqjax.GRU(size, bool(rng.integers(2))),
        seqjax.LSTM(size),
    ][rng.integers(3)]
    kind = rng.integers(4) if depth else 0
    if kind == 1:
        parts = (random_cell(rng, depth - 1, both) for _ in range(rng.integers(1, 4)))
        return seqjax.Stack(tuple(parts))
    if kind >= 2 and both:
        inner = random_cell(rng, depth - 1) if kind == 3 else plain
        return seqjax.Bidirectional(inner, str(rng.choice(["concat", "sum"])))
    return plain


def random_params(model, rng, *sizes):
    shapes = jax.eval_shape(lambda: model.init(jax.random.key(0), *sizes))
    draw = lambda a: (0.4 * rng.normal(size=a.shape)).astype(np.float32)  # noqa: E731
    assert all(map(is_float, jax.tree.leaves(shapes)))
    return jax.tree.map(draw, shapes)


def run(path, *arrays):
    """The outputs of onnxruntime."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [value.name for value in session.get_inputs()]
    dtypes = {"tensor(int64)": np.int64, "tensor(int32)": np.int32}
    given = {
        value.name: np.asarray(array, dtypes.get(value.type, np.float32))
        for value, array in zip(session.get_inputs(), arrays, strict=True)
    }
    assert len(names) == len(arrays)
    return session.run(None, given)


def sizes_of(rng):
    """(T, B, lengths of which one is T)."""
    t, b = int(rng.integers(1, 8)), int(rng.integers(1, 5))
    lengths = rng.integers(1, t + 1, b)
    lengths[rng.integers(b)] = t
    return t, b, lengths


def of_cell(rng, path):
    """The largest differences of a random cell."""
    cell, (t, b, lengths) = random_cell(rng), sizes_of(rng)
    params = random_params(cell, rng, 3)
    to_onnx(cell, params, path)
    xs = rng.normal(size=(t, b, 3)).astype(np.float32)
    (ys,) = run(path, xs, lengths)
    return difference(ys, seqjax.unroll(cell, params, xs, lengths=lengths)[1])


def of_language_model(rng, path):
    """Of two parts of a text, the state going on."""
    cell = random_cell(rng, both=False)
    options: dict[str, Any] = {"embed_size": int(rng.integers(1, 6))}
    how = rng.integers(4)
    if how == 1:
        options = {"embed_size": cell.output_size, "tie_embeddings": True}
    elif how == 2:
        options["clusters"] = (3, 7)
    elif how == 3:
        options = {}
    model, (t, b, _) = seqjax.LanguageModel(V, cell, **options), sizes_of(rng)
    params = random_params(model, rng)
    to_onnx(model, params, path)
    tokens = rng.integers(0, V, (2 * t, b))
    state, found = model.initial_state((b,)), []
    leaves = jax.tree.leaves(state)
    for part in (tokens[:t], tokens[t:]):
        logits, *leaves = run(path, part, *leaves)
        state, want = model.apply(params, part, state)
        found.append(difference(logits, want))
        found += map(difference, leaves, jax.tree.leaves(state))
    return max(found)


def of_classifier(rng, path):
    pooling = str(rng.choice(["last", "mean", "max", "attention"]))
    cell = random_cell(rng)
    try:
        model = seqjax.Classifier(V, C, cell, 4, pooling=pooling)
    except ValueError:  # "last" of directions that are added
        model = seqjax.Classifier(V, C, cell, 4, pooling="mean")
    t, b, lengths = sizes_of(rng)
    params = random_params(model, rng)
    to_onnx(model, params, path)
    tokens = rng.integers(0, V, (t, b))
    (logits,) = run(path, tokens, lengths)
    return difference(logits, model.apply(params, tokens, lengths))


def of_tagger(rng, path):
    model = seqjax.Tagger(
        *(V, ("O", "B-x", "I-x"), random_cell(rng), 4),
        crf=bool(rng.integers(2)),
        num_chars=7 * int(rng.integers(2)),
        char_size=5,
    )
    t, b, lengths = sizes_of(rng)
    params = random_params(model, rng)
    to_onnx(model, params, path)
    inputs = [rng.integers(0, V, (t, b)), lengths]
    if model.num_chars:
        inputs += [rng.integers(0, 7, (4, t, b)), rng.integers(0, 5, (t, b))]
    (logits,) = run(path, *inputs)
    return difference(logits, model.apply(params, TaggerInputs(*inputs)))


def difference(ours, theirs):
    """The largest, relative to 1 or to the size of the numbers."""
    theirs = np.asarray(theirs)
    assert ours.shape == theirs.shape
    return float(np.max(np.abs(ours - theirs) / np.maximum(1, np.abs(theirs))))


KINDS = {
    "cell": of_cell,
    "language_model": of_language_model,
    "classifier": of_classifier,
    "tagger": of_tagger,
}


def main() -> None:
    """Print the largest difference of each kind."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=int, default=200)
    number = parser.parse_args().models // len(KINDS)
    with tempfile.TemporaryDirectory() as folder:
        for kind, check in KINDS.items():
            path = Path(folder, "model.onnx")
            found = [check(np.random.default_rng(i), path) for i in range(number)]
            print(f"{number} of {kind}: differences up to {max(found):.1e}", flush=True)


if __name__ == "__main__":
    main()
