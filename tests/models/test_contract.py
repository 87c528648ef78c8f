"""The contract of all models: init, apply, and loss as (total, count)."""

import dataclasses
import inspect
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import seqjax
from seqjax import models
from seqjax.baselines import MLP, LinearAR
from seqjax.data import buckets, labeled
from seqjax.models.decoder_inputs import shift_right
from tests.equality import assert_same

VOCAB, T, B, D = 9, 6, 3, 2
LENGTHS = np.array([6, 0, 4], np.int32)
GRU = seqjax.GRU(4)
BOTH = seqjax.Bidirectional(GRU)
RNG = np.random.default_rng(0)
TOKENS = RNG.integers(4, VOCAB, (T, B)).astype(np.int32)
WINDOW = RNG.normal(size=(7, B, D)).astype(np.float32)
FEATURES = RNG.normal(size=(T, B, D)).astype(np.float32)
LABELS = np.array([[1, 1, 2], [2, 1, 1]], np.int32)


class Case(NamedTuple):
    model: Any
    batch: Any
    inputs: tuple  # of `apply`
    count: int
    state: Any = None  # of models with a carried state
    params: Any = None  # of models without `init`
    has_dropout: bool = True


def forecaster(model, **options):
    history, num_rows = WINDOW[: model.tau], len(WINDOW) - model.tau
    return Case(model, WINDOW, (history,), num_rows * B * D, **options)


def language_model():
    model = models.LanguageModel(VOCAB, GRU, embed_size=5, dropout=0.5)
    state = model.initial_state((B,))
    return Case(model, TOKENS, (TOKENS, state), (T - 1) * B, state)


def seq2seq(attention):
    model = models.Seq2Seq(
        VOCAB, VOCAB, BOTH, (GRU, GRU), 5, attention=attention, dropout=0.5
    )
    batch = buckets.PairBatch(TOKENS, LENGTHS, TOKENS, np.array([6, 3, 0], np.int32))
    return Case(model, batch, (TOKENS, LENGTHS, shift_right(TOKENS)), 9)


def classifier():
    model = models.Classifier(VOCAB, 3, BOTH, 5, pooling="attention", dropout=0.5)
    batch = labeled.LabeledBatch(TOKENS, LENGTHS, np.array([2, -1, 0], np.int32))
    return Case(model, batch, (TOKENS, LENGTHS), 2)


def pretraining():
    model = models.Pretraining(models.Classifier(VOCAB, 3, BOTH, 5, dropout=0.5))
    batch = labeled.LabeledBatch(TOKENS, LENGTHS, np.array([2, -1, 0], np.int32))
    return Case(model, batch, (TOKENS, LENGTHS), 2 * (5 + 3))


def tagger(crf):
    model = models.Tagger(VOCAB, ("O", "B", "I"), BOTH, 5, crf=crf, dropout=0.5)
    inputs = models.TaggerInputs(TOKENS, LENGTHS)
    return Case(model, models.TaggerBatch(inputs, TOKENS % 3), (inputs,), 10)


def ctc_model():
    model = models.CTCModel(3, BOTH, D, dropout=0.5)
    batch = models.CTCBatch(FEATURES, LENGTHS, LABELS, np.array([2, 0, 1], np.int32))
    return Case(model, batch, (FEATURES, LENGTHS), 3)


LINEAR = LinearAR(4, 3)
CASES = {
    "language_model": language_model(),
    "seq2seq": seq2seq(None),
    "seq2seq_attention": seq2seq("general"),
    "classifier": classifier(),
    "pretraining": pretraining(),
    "tagger_softmax": tagger(crf=False),
    "tagger_crf": tagger(crf=True),
    "ctc_model": ctc_model(),
    "recursive_forecaster": forecaster(
        models.RecursiveForecaster(seqjax.Stack((GRU, GRU), 0.5), 4, 3, D)
    ),
    "direct_forecaster": forecaster(models.DirectForecaster(GRU, 4, 3, D, dropout=0.5)),
    "mlp": forecaster(MLP(4, 3), has_dropout=False),
    "linear": forecaster(
        LINEAR,
        params=jax.tree.map(jnp.float32, LINEAR.fit(RNG.normal(size=(20, D)))),
        has_dropout=False,
    ),
}
every_case = pytest.mark.parametrize("case", CASES.values(), ids=CASES)


def params_of(case):
    return case.params or case.model.init(jax.random.key(0))


def loss_of(case, params, key=None):
    """(total, count); the state after the batch is dropped."""
    if case.state is None:
        return case.model.loss(params, case.batch, key)
    loss, state = case.model.loss(params, case.batch, key, state=case.state)
    assert jax.tree.structure(state) == jax.tree.structure(case.state)
    return loss


def test_every_exported_model_is_in_this_test():
    exported = {getattr(models, name) for name in models.__all__}
    exported = {cls for cls in exported if dataclasses.is_dataclass(cls)}
    assert exported <= {type(case.model) for case in CASES.values()}


@every_case
def test_a_model_is_a_hashable_value(case):
    assert dataclasses.is_dataclass(case.model)
    assert case.model == dataclasses.replace(case.model)
    assert hash(case.model) == hash(dataclasses.replace(case.model))
    with pytest.raises(dataclasses.FrozenInstanceError):
        case.model.cell = None


@every_case
def test_signatures(case):
    """Options of the loss are keyword-only."""
    signature = inspect.signature(case.model.loss).parameters.values()
    names = [p.name for p in signature if p.kind is not p.KEYWORD_ONLY]
    assert names == ["params", "batch", "key"]
    assert list(signature)[2].default is None
    of_apply = inspect.signature(case.model.apply).parameters
    assert next(iter(of_apply)) == "params" and of_apply["key"].default is None
    if case.params is None:
        assert next(iter(inspect.signature(case.model.init).parameters)) == "key"


@every_case
def test_loss_is_a_total_and_a_count(case):
    total, count = jax.jit(partial(loss_of, case))(params_of(case))
    assert total.shape == count.shape == ()
    assert total.dtype == count.dtype == jnp.float32
    assert np.isfinite(total) and float(total) > 0
    assert float(count) == case.count


@every_case
def test_a_key_turns_dropout_on(case):
    """Without a key, loss and outputs are deterministic."""
    params = params_of(case)
    loss, apply = jax.jit(partial(loss_of, case)), jax.jit(case.model.apply)
    assert loss(params) == loss(params)
    first, second = (apply(params, *case.inputs) for _ in range(2))
    assert_same(first, second)
    totals = [
        float(loss(params, jax.random.key(k))[0]) if k is not None else loss(params)[0]
        for k in (None, 0, 0, 1)
    ]
    assert totals[1] == totals[2]
    assert (len({float(total) for total in totals}) == 3) == case.has_dropout


@every_case
def test_gradients_are_finite(case):
    params = params_of(case)
    grads = jax.jit(jax.grad(lambda p: loss_of(case, p)[0]))(params)
    assert jax.tree.structure(grads) == jax.tree.structure(params)
    leaves = jax.tree.leaves(grads)
    assert all(np.isfinite(leaf).all() for leaf in leaves)
    if isinstance(case.model, models.Pretraining):  # its classifier predicts no label
        grads = grads._replace(classifier=grads.classifier._replace(out=None))
    assert all(np.any(leaf) for leaf in jax.tree.leaves(grads))
