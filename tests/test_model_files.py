"""Saved models are loaded as they were, and whatever is wrong with a folder is said."""

import dataclasses
import errno
import json
import os
import subprocess
import sys
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import seqjax
from seqjax import models
from seqjax.models import seq2seq
from seqjax.nn import forecast_heads
from tests import equality
from tests.parameters import drawn
from tests.sealed import seal

GRU, BOTH = seqjax.GRU(4), seqjax.Bidirectional(seqjax.LSTM(3))
STACK = seqjax.Stack((seqjax.RNN(4, "relu"), BOTH, seqjax.GRU(5, False)), 0.1, True)
MODELS = {
    "language_model": seqjax.LanguageModel(9, STACK.cells[0], 4, dropout=0.2),
    "tied": seqjax.LanguageModel(9, GRU, 4, tie_embeddings=True),
    "one_hot": seqjax.LanguageModel(9, GRU),
    "adaptive": seqjax.LanguageModel(9, GRU, 4, clusters=(3, 6)),
    "seq2seq": seqjax.Seq2Seq(9, 8, BOTH, (GRU, GRU), 4, attention="general"),
    "classifier": seqjax.Classifier(9, 3, BOTH, 4, pooling="attention"),
    "pretraining": models.Pretraining(seqjax.Classifier(9, 3, BOTH, 4)),
    "tagger": seqjax.Tagger(9, ("O", "B-x", "I-x"), BOTH, 4, num_chars=7),
    "softmax_tagger": seqjax.Tagger(9, ("O",), BOTH, 4, crf=False),
    "ctc_model": seqjax.CTCModel(6, STACK, 5, stacking=2),
    "recursive": models.RecursiveForecaster(
        GRU, 4, 2, 3, normalize=forecast_heads.by_last, head=forecast_heads.Gaussian()
    ),
    "direct": models.DirectForecaster(GRU, 4, 2, 3, head=forecast_heads.Quantiles()),
}
CELLS = {
    "rnn": seqjax.RNN(4, "relu"),
    "gru": seqjax.GRU(4, reset_after=False),
    "lstm": seqjax.LSTM(4, forget_bias=1.0),
    "stack": STACK,
    "bidirectional": seqjax.Bidirectional(GRU, merge="sum"),
}


@pytest.mark.parametrize("name", MODELS)
def test_a_model_is_loaded_as_it_was(name, tmp_path):
    model, extra = MODELS[name], {"vocab": ["a", "ä", "\n"], "nested": {"x": [1, 2.5]}}
    params = drawn(model.init)
    seqjax.save(tmp_path / "model", model, params, extra)
    loaded = seqjax.load(tmp_path / "model")
    assert loaded.model == model and loaded.extra == extra
    assert jax.tree.structure(loaded.params) == jax.tree.structure(params)
    equality.assert_same(loaded.params, params)


@pytest.mark.parametrize("name", CELLS)
def test_a_cell_is_loaded_as_it_was(name, tmp_path):
    params = drawn(lambda key: CELLS[name].init(key, 3))
    seqjax.save(tmp_path / "cell", CELLS[name], params)
    loaded = seqjax.load(tmp_path / "cell")
    assert loaded.model == CELLS[name] and loaded.extra == {}
    equality.assert_same(loaded.params, params)


def test_every_model_is_tried():
    tried = {type(model) for model in MODELS.values()}
    classes = {getattr(models, n) for n in models.__all__}
    assert {c for c in classes if hasattr(c, "init")} - {seq2seq.Seq2Seq} <= tried


@dataclasses.dataclass(frozen=True)
class Own:
    """A cell of somebody's own."""

    output_size: int
    scale: float = 2.0

    def init(self, key: jax.Array, input_size: int) -> Any:
        return {"w": jax.random.normal(key, (input_size, self.output_size))}


def test_a_class_of_ones_own_is_given_to_load(tmp_path):
    cell = seqjax.Stack((Own(4, scale=3.0), GRU))
    params = cell.init(jax.random.key(0), 3)
    seqjax.save(tmp_path / "own", cell, params)
    with pytest.raises(ValueError, match=r"consists of Own, .* classes=\[Own\]"):
        seqjax.load(tmp_path / "own")
    loaded = seqjax.load(tmp_path / "own", classes=[Own])
    assert loaded.model == cell
    equality.assert_same(loaded.params, params)


def test_another_process_needs_nothing_but_the_folder(tmp_path):
    model = MODELS["classifier"]
    params = drawn(model.init)
    tokens, lengths = np.array([[1, 2], [3, 4]]), np.array([2, 1])
    seqjax.save(tmp_path / "model", model, params)
    code = (
        "import sys, numpy as np, seqjax\n"
        "model, params, _ = seqjax.load(sys.argv[1])\n"
        f"logits = model.apply(params, np.array({tokens.tolist()}), "
        f"np.array({lengths.tolist()}))\n"
        "print([m for m in sys.modules if m.startswith('experiments')])\n"
        "np.save(sys.argv[1] + '/out.npy', logits)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "model"], capture_output=True, text=True
    )
    assert done.stdout == "[]\n", done.stderr
    found = np.load(tmp_path / "model" / "out.npy")
    np.testing.assert_allclose(found, model.apply(params, tokens, lengths), atol=1e-6)


def test_a_saved_model_is_replaced_as_a_whole(tmp_path, monkeypatch):
    path = tmp_path / "folder" / "model"
    seqjax.save(path, GRU, drawn(lambda key: GRU.init(key, 3)), {"number": 1})

    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space left"):
            seqjax.save(path, GRU, drawn(lambda key: GRU.init(key, 3)))
    assert seqjax.load(path).extra == {"number": 1}
    seqjax.save(path, GRU, drawn(lambda key: GRU.init(key, 5)), {"number": 2})
    assert seqjax.load(path).extra == {"number": 2}
    assert [p.name for p in path.parent.iterdir()] == ["model"]


class Bad(NamedTuple):
    model: Any
    params: Any
    sentence: str


OF_GRU = drawn(lambda key: GRU.init(key, 3))
BAD = {
    "lambda": Bad(
        models.DirectForecaster(GRU, 4, 2, 3, normalize=lambda x: (x, x)),
        None,
        "cannot be saved; a model consists of frozen dataclasses",
    ),
    "missing": Bad(seqjax.LSTM(4), OF_GRU, "the parameters are not those of the model"),
    "other_sizes": Bad(seqjax.GRU(5), OF_GRU, r"\.b_h is \(12,\), expected \(15,\)"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_saved_is_said_and_nothing_is_written(name, tmp_path):
    model, params, sentence = BAD[name]
    with pytest.raises(ValueError, match=sentence):
        seqjax.save(tmp_path / "model", model, params)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("how", ["torn", "missing", "no_sums", "no_folder", "no_model"])
def test_a_damaged_folder_is_named(how, tmp_path):
    path = tmp_path / "model"
    seqjax.save(path, GRU, OF_GRU)
    params = path / "params.safetensors"
    if how == "torn":
        params.write_bytes(params.read_bytes()[:-1])
    elif how == "missing":
        params.unlink()
    elif how == "no_sums":
        (path / "SHA256SUMS").unlink()
    elif how == "no_model":
        (path / "model.json").unlink()
        seal(path)
    else:
        path = tmp_path / "other"
    with pytest.raises(ValueError, match=r"is damaged|holds no saved model") as error:
        seqjax.load(path)
    assert str(path) in str(error.value) and "\n" not in str(error.value)


def change(path, **changes):
    described = json.loads((path / "model.json").read_text()) | changes
    (path / "model.json").write_text(json.dumps(described))
    seal(path)


def test_a_newer_format_is_refused(tmp_path):
    seqjax.save(tmp_path / "model", GRU, OF_GRU)
    change(tmp_path / "model", format=2)
    with pytest.raises(ValueError, match="has format 2, of a newer version"):
        seqjax.load(tmp_path / "model")


def test_parameters_of_another_model_are_refused(tmp_path):
    seqjax.save(tmp_path / "model", GRU, OF_GRU)
    change(tmp_path / "model", input_size=4)
    sentence = r"model: the parameters are not those of the model: \.w_x is \(3, 12\)"
    with pytest.raises(ValueError, match=sentence):
        seqjax.load(tmp_path / "model")


def test_dtypes_are_kept(tmp_path):
    params = jax.tree.map(lambda a: a.astype(jnp.bfloat16), OF_GRU)
    seqjax.save(tmp_path / "model", GRU, params)
    equality.assert_same(seqjax.load(tmp_path / "model").params, params)
