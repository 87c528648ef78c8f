"""PyTorch's word language model: its records, and the model that it trains."""

import itertools
import json
import math

import jax
import numpy as np
import pytest

from experiments.benchmarks import word_language_model as peer
from seqjax import LSTM, LanguageModel, Stack
from seqjax.data.corpora import Corpus
from tests.commands import run

torch = pytest.importorskip("torch", reason="the benchmark is of torch")


@pytest.fixture
def small_text(monkeypatch):
    """A text of a few words in the place of WikiText-2."""
    words = np.random.default_rng(0).choice(list("abcdefgh"), 5000)
    text = "".join(f" {w}" + "\n" * (i % 9 == 8) for i, w in enumerate(words))
    corpus = Corpus("small", text, text[:900], text[900:1700], "0" * 64)
    monkeypatch.setattr(peer.corpora, "load", lambda *args: corpus)


def small_module(vocab_size=11):
    torch.manual_seed(1)
    return peer.make_module(vocab_size)


def test_every_epoch_is_recorded(tmp_path, small_text):
    path = tmp_path / "numbers.json"
    result = run(peer.main, "--epochs=4", f"--json={path}")
    assert result.code == 0, result.err
    numbers = json.loads(path.read_text())
    records = numbers["results"]
    assert [r["epoch"] for r in records] == [1, 2, 3, 4]
    assert all(r["whole"] for r in records)
    best = math.inf
    for record, following in itertools.pairwise(records):
        is_better = record["valid_perplexity"] < best
        best = min(best, record["valid_perplexity"])
        assert following["rate"] == record["rate"] / (1 if is_better else 4)
        assert following["seconds"] > record["seconds"]
    found = numbers["summary"]
    assert f"test perplexity of the best epoch: {found['test']:.2f}" in result.out
    assert found["valid"] == min(r["valid_perplexity"] for r in records)


def test_training_ends_after_its_minutes(tmp_path, small_text):
    path = tmp_path / "numbers.json"
    result = run(peer.main, "--minutes=0.0001", f"--json={path}")
    assert result.code == 0, result.err
    (record,) = json.loads(path.read_text())["results"]
    assert not record["whole"]


def test_its_model_is_the_one_of_the_recipe():
    """With copied weights, the perplexity of a text is the same."""
    module = small_module()
    cells = tuple(LSTM(peer.HIDDEN_SIZE) for _ in range(2))
    model = LanguageModel(11, Stack(cells), peer.HIDDEN_SIZE, tie_embeddings=True)
    params = model.init(jax.random.key(0))
    weights = {k: v.numpy() for k, v in module.state_dict().items()}
    layers = [
        layer._replace(
            w_x=weights[f"layers.weight_ih_l{i}"].T,
            w_h=weights[f"layers.weight_hh_l{i}"].T,
            b=weights[f"layers.bias_ih_l{i}"] + weights[f"layers.bias_hh_l{i}"],
        )
        for i, layer in enumerate(params.cell)
    ]
    params = params._replace(
        embed=weights["embed.weight"], cell=tuple(layers), out=weights["out.bias"]
    )
    tokens = np.random.default_rng(3).integers(0, 11, 700)
    (total, count), _ = model.loss(params, tokens[:, None])
    expected = peer.perplexity(module, tokens)
    np.testing.assert_allclose(np.exp(total / count), expected, rtol=1e-5)


def test_an_epoch_predicts_every_token_of_the_rows_once():
    tokens = np.random.default_rng(4).integers(0, 11, 20 * 83 + 7)
    rows = peer.rows_of(tokens)
    np.testing.assert_array_equal(rows.T.reshape(-1), tokens[: 20 * 83])
    _, count, is_whole = peer.train_epoch(small_module(), rows, 1.0, math.inf)
    assert (count, is_whole) == (20 * 82, True)


def test_an_update_is_no_longer_than_its_clipped_gradient():
    module = small_module()
    with torch.no_grad():
        module.embed.weight *= 50
    before = [p.detach().clone() for p in module.parameters()]
    tokens = np.random.default_rng(5).integers(0, 11, 20 * 36)
    peer.train_epoch(module, peer.rows_of(tokens), 2.0, math.inf)  # one minibatch
    changes = [p.detach() - q for p, q in zip(module.parameters(), before, strict=True)]
    norm = torch.cat([c.flatten() for c in changes]).norm().item()
    assert norm == pytest.approx(2.0 * peer.CLIP_NORM, rel=1e-3)
