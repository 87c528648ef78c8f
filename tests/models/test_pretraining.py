"""Pretraining of a classifier beside a language model of each direction."""

import jax
import numpy as np
import pytest

import seqjax
from seqjax.data.labeled import LabeledBatch
from seqjax.models import Classifier, LanguageModel
from seqjax.models.language_model import LanguageModelParams
from seqjax.models.pretraining import Pretraining
from tests.parameters import drawn

V, T, B, H, E = 11, 6, 4, 5, 3
LENGTHS = np.array([6, 1, 0, 4], np.int32)
GRU = seqjax.GRU(H)
CELLS = {
    "one direction": GRU,
    "both directions": seqjax.Bidirectional(GRU),
    "stack": seqjax.Stack((seqjax.LSTM(4), GRU)),
    "stack in both directions": seqjax.Bidirectional(seqjax.Stack((GRU, GRU))),
}
every_cell = pytest.mark.parametrize("cell", CELLS.values(), ids=CELLS)


def build(cell, **options):
    """(model, parameters), no two alike."""
    model = Pretraining(Classifier(V, 2, cell, E, **options))
    return model, drawn(model.init)


@pytest.fixture
def tokens():
    return np.random.default_rng(0).integers(4, V, (T, B)).astype(np.int32)


def is_both(cell):
    return isinstance(cell, seqjax.Bidirectional)


def loss_of_a_language_model(cell, params, out, embed, tokens):
    """(total, count) of documents from their first token on, padded with zeros."""
    padded = np.zeros((T, B), np.int32)
    for b, document in enumerate(tokens):
        padded[: len(document), b] = document
    model = LanguageModel(V, cell, E)
    mask = np.arange(1, T)[:, None] < LENGTHS
    params = LanguageModelParams(embed, params, out)
    return jax.jit(model.loss)(params, padded, mask=mask)[0]


@every_cell
def test_the_loss_is_that_of_a_language_model_of_each_direction(cell, tokens):
    model, params = build(cell)
    documents = [tokens[:n, b] for b, n in enumerate(LENGTHS)]
    garbage = np.where(np.arange(T)[:, None] < LENGTHS, tokens, 10**6)
    batch = LabeledBatch(garbage, LENGTHS, np.full(B, -1, np.int32))
    total, count = jax.jit(model.loss)(params, batch)
    of_cell, embed = params.classifier.cell, params.classifier.embed
    if is_both(cell):
        cell, (of_cell, of_backward) = cell.cell, of_cell
        backward = [document[::-1] for document in documents]
        arguments = of_backward, params.backward, embed, backward
        other = loss_of_a_language_model(cell, *arguments)
    else:
        other = 0, 0
    one = loss_of_a_language_model(cell, of_cell, params.forward, embed, documents)
    np.testing.assert_allclose(total, one[0] + other[0], rtol=1e-5)
    assert count == one[1] + other[1] and one[1] == 5 + 3


def test_the_gradient_reaches_both_directions_and_the_embedding_alone(tokens):
    model, params = build(CELLS["both directions"], pooling="attention")
    batch = LabeledBatch(tokens, LENGTHS, np.zeros(B, np.int32))
    grads = jax.jit(jax.grad(lambda p: model.loss(p, batch)[0]))(params)
    grads = jax.device_get(grads)
    found = grads.classifier._replace(pool=None, out=None)
    leaves = jax.tree.leaves((found, grads.forward, grads.backward))
    assert all(np.any(leaf) for leaf in leaves)
    unused = jax.tree.leaves((grads.classifier.pool, grads.classifier.out))
    assert unused and not any(np.any(leaf) for leaf in unused)


def test_dropout_is_that_of_the_classifier(tokens):
    batch = LabeledBatch(tokens, LENGTHS, np.zeros(B, np.int32))
    losses = []
    for rate in (0.0, 0.5):
        model, params = build(GRU, dropout=rate)
        loss = jax.jit(model.loss)
        losses += [loss(params, batch, jax.random.key(i))[0] for i in range(2)]
    assert losses[0] == losses[1] and losses[2] != losses[3]


HIDDEN = {
    "an upper layer reads both": seqjax.Stack((seqjax.Bidirectional(GRU), GRU)),
    "two such layers": seqjax.Stack((seqjax.Bidirectional(GRU),) * 2),
    "summed": seqjax.Bidirectional(GRU, merge="sum"),
}


@pytest.mark.parametrize("cell", HIDDEN.values(), ids=HIDDEN)
def test_a_cell_that_sees_what_it_predicts_is_refused(cell):
    with pytest.raises(ValueError, match="see the tokens that they should predict"):
        Pretraining(Classifier(V, 2, cell, E, pooling="max"))


def test_a_document_of_one_token_or_none_predicts_nothing():
    model, params = build(CELLS["both directions"])
    for length in (0, 1):
        tokens = np.full((length, B), 5, np.int32)
        lengths = np.full(B, length, np.int32)
        batch = LabeledBatch(tokens, lengths, np.zeros(B, np.int32))
        assert jax.jit(model.loss)(params, batch) == (0, 0)
