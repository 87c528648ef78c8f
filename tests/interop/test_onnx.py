"""ONNX graphs give the results of the models, as onnxruntime computes them."""

import dataclasses
import sys
from typing import Any

import jax
import numpy as np
import onnx
import pytest

import seqjax
from seqjax.interop import to_onnx
from tests.interop.onnx_models import KINDS, random_params


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("kind", KINDS)
def test_random_models(kind, seed, tmp_path):
    """`python -m tests.interop.onnx_models` makes more."""
    rng = np.random.default_rng(1000 + seed)
    assert KINDS[kind](rng, tmp_path / "model.onnx") < 1e-5


@pytest.mark.parametrize(
    ("cell", "operators"),
    [
        (seqjax.LSTM(4), {"LSTM": 1}),
        (seqjax.Bidirectional(seqjax.GRU(4)), {"GRU": 1}),
        (seqjax.Stack((seqjax.RNN(4), seqjax.LSTM(4))), {"RNN": 1, "LSTM": 1}),
    ],
    ids=["lstm", "bidirectional", "stack"],
)
def test_the_operators_are_the_native_ones(cell, operators, tmp_path):
    rng = np.random.default_rng(0)
    to_onnx(cell, random_params(cell, rng, 3), tmp_path / "cell.onnx")
    nodes = onnx.load(tmp_path / "cell.onnx").graph.node
    found = [n.op_type for n in nodes if n.op_type in ("LSTM", "GRU", "RNN", "Loop")]
    assert {name: found.count(name) for name in set(found)} == operators


@dataclasses.dataclass(frozen=True)
class Own:
    """A cell of somebody's own."""

    output_size: int = 4

    def init(self, key: jax.Array, input_size: int) -> Any:
        return {"w": jax.random.normal(key, (input_size, self.output_size))}


def test_what_onnx_does_not_have_is_refused(tmp_path):
    cell = seqjax.Stack((Own(), seqjax.GRU(3)))
    params = cell.init(jax.random.key(0), 3)
    sentence = r"no operator for the cell Own\(.*to_stablehlo exports any cell"
    with pytest.raises(ValueError, match=sentence):
        to_onnx(cell, params, tmp_path / "x")
    with pytest.raises(ValueError, match="was expected, got dict; to_stablehlo"):
        to_onnx({}, {}, tmp_path / "x")
    assert list(tmp_path.iterdir()) == []


def test_without_the_package_the_error_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ImportError, match=r'pip install "seqjax\[onnx\]"'):
        to_onnx(seqjax.GRU(2), {}, tmp_path / "x")
