"""Many steps in one call are the steps one by one; sums, norms, an early end."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import seqjax
from seqjax import training
from seqjax.baselines import numpy_rnn
from seqjax.data import batching
from seqjax.models.language_model import LanguageModel
from seqjax.training import loops
from tests.equality import assert_close, assert_same
from tests.training_parts import CELLS, TOKENS, B, H, T, V, copy, parts


@pytest.mark.parametrize("cell", CELLS, ids=["rnn", "deep"])
def test_loop_is_its_steps_one_by_one(cell):
    _, state, step, loop, plan = parts(cell, "adam", 0.01, dropout=0.3)
    tokens = jnp.asarray(TOKENS)
    one, total, count = copy(state), 0.0, 0.0
    for starts in plan:
        one, metrics = jax.jit(step)(one, training.windows(tokens, starts, T))
        total, count = total + metrics.total, count + metrics.count
    many, summed = loop(state, tokens, plan, 0, len(plan))
    assert_close(one.params, many.params)
    np.testing.assert_allclose(summed.total, total, rtol=1e-6)
    assert summed.count == count == len(plan) * B * T
    assert many.step == len(plan)


def test_loop_in_pieces_is_the_loop_bit_for_bit_with_one_compilation():
    _, state, _, loop, plan = parts(CELLS[1], "adam", 0.01, dropout=0.3)
    tokens, n = jnp.asarray(TOKENS), len(plan)
    whole, _ = loop(copy(state), tokens, plan, 0, n)
    pieces = state
    for begin, end in ((0, 0), (0, 3), (3, 4), (4, n)):
        pieces, _ = loop(pieces, tokens, plan, begin, end)
    assert_same(pieces, whole)
    assert loop._cache_size() == 1


def batch_parts(**settings):
    """(state, batch_loop, plan) with minibatches of two shapes, from `parts`."""
    _, state, step, _, starts = parts(CELLS[0], "adam", 0.01, **settings)
    tokens = jnp.asarray(TOKENS)
    sizes = [T if i % 3 else 2 * T for i in range(len(starts))]
    plan = [
        partial(training.windows, tokens, starts[i], size)
        for i, size in enumerate(sizes)
    ]
    return state, step, plan


def global_norm(tree):
    leaves = [np.asarray(leaf, np.float64).ravel() for leaf in jax.tree.leaves(tree)]
    return np.linalg.norm(np.concatenate(leaves))


@pytest.mark.parametrize("kind", ["train_loop", "batch_loop"])
def test_norms_are_those_of_the_parameters_and_their_last_change(kind):
    if kind == "train_loop":
        _, state, _, loop, plan = parts(CELLS[1], "adam", 0.01)
    else:
        state, step, plan = batch_parts()
        loop = training.make_batch_loop(step)
    tokens = jnp.asarray(TOKENS)
    for end in (0, 1, 2, 5):
        before, _ = loop(copy(state), tokens, plan, 0, max(0, end - 1))
        before = copy(before.params)
        after, metrics = loop(copy(state), tokens, plan, 0, end)
        change = jax.tree.map(jnp.subtract, after.params, before)
        assert global_norm(change) > 0 or end == 0
        np.testing.assert_allclose(metrics.update_norm, global_norm(change), rtol=1e-4)
        np.testing.assert_allclose(
            metrics.param_norm, global_norm(after.params), rtol=1e-5
        )


def test_batch_loop_is_its_steps_one_by_one_with_a_compilation_for_each_shape():
    state, step, plan = batch_parts(dropout=0.3)
    traced = []

    def traced_step(state, batch):
        traced.append(batch.shape)
        return step(state, batch)

    loop = training.make_batch_loop(traced_step)
    one, total, count = copy(state), 0.0, 0.0
    single = jax.jit(step)
    for make in plan[:7]:
        one, metrics = single(one, make())
        total, count = total + float(metrics.total), count + float(metrics.count)
    many, none = loop(copy(state), None, plan, 4, 4)
    assert none[:3] == (0, 0, 0) and many.step == 0
    many, _ = loop(many, None, plan, 0, 7)
    assert_same(many, one)
    many, summed = loop(copy(state), None, plan, 0, 7)
    assert summed[:3] == (total, count, float(metrics.grad_norm))
    assert all(type(number) is float for number in summed[:5])
    assert summed.skipped == 0
    assert sorted(traced) == [(T + 1, B), (2 * T + 1, B)]


@pytest.mark.parametrize("field", ["total", "grad_norm"])
def test_batch_loop_names_the_first_step_that_is_not_finite(field):
    state, step, plan = batch_parts()

    def poisoned(state, batch):
        state, metrics = step(state, batch)
        bad = jnp.where(state.step >= 4, jnp.inf, getattr(metrics, field))
        return state, metrics._replace(**{field: bad})

    loop = training.make_batch_loop(poisoned)
    state, fine = loop(state, None, plan, 0, 2)
    assert state.step == 2 and np.isfinite(fine).all()
    _, both = training.make_batch_loop(step)(copy(state), None, plan, 2, 4)
    state, summed = loop(state, None, plan, 2, 7)
    assert state.step == 4
    assert np.isinf(getattr(summed, field))
    assert summed.count == both.count


def test_batch_loop_waits_for_the_device_once_a_call(monkeypatch):
    state, step, plan = batch_parts()
    loop = training.make_batch_loop(step)
    state, _ = loop(state, None, plan[:5], 0, 0)
    made, waits = [], []

    def make(i):
        made.append(i)
        return plan[i]()

    def recording(function):
        def call(*args):
            waits.append(len(made))
            return function(*args)

        return call

    array = type(jnp.zeros(()))
    monkeypatch.setattr(jax, "device_get", recording(jax.device_get))
    monkeypatch.setattr(array, "__float__", recording(array.__float__))
    loop(state, None, [partial(make, i) for i in range(5)], 0, 5)
    assert made == list(range(5))
    assert set(waits) == {5}


def test_batch_loop_queues_a_bounded_number_of_minibatches(monkeypatch):
    """Before it makes minibatch i, minibatch i - 1 - MAX_QUEUED is done."""
    made, waited = [], []

    def step(state, batch):
        metrics = training.StepMetrics(batch.sum(), batch.size, batch[0], 0)
        return state.replace(step=state.step + 1), metrics

    def make(i):
        made.append((i, len(waited)))
        return jnp.full(2, float(i))

    def wait(metrics):
        waited.append(float(metrics.grad_norm))

    monkeypatch.setattr(jax, "block_until_ready", wait)
    _, state, *_ = parts()
    number = loops.MAX_QUEUED + 5
    plan = [partial(make, i) for i in range(number)]
    training.make_batch_loop(step)(state, None, plan, 0, number)
    assert waited == [float(i) for i in range(5)]
    queued = loops.MAX_QUEUED
    assert made == [(i, max(0, i - queued)) for i in range(number)]
    assert 1 < loops.MAX_QUEUED < 100


@pytest.mark.parametrize("kind", ["train_loop", "batch_loop"])
def test_sums_go_on_from_those_of_an_earlier_call(kind):
    """Bit for bit, and whatever the pieces."""
    if kind == "train_loop":
        _, state, _, loop, plan = parts(CELLS[0], "adam", 0.01)
    else:
        state, step, plan = batch_parts()
        loop = training.make_batch_loop(step)
    tokens, n = jnp.asarray(TOKENS), len(plan)
    _, whole = loop(copy(state), tokens, plan, 0, n, 0.0, 0.0)
    sums = (0.0, 0.0)
    for begin, end in ((0, 1), (1, 4), (4, n)):
        state, metrics = loop(state, tokens, plan, begin, end, *sums)
        sums = (float(metrics.total), float(metrics.count))
    assert [float(x) for x in metrics] == [float(x) for x in whole]


@pytest.mark.parametrize("kind", ["train_loop", "batch_loop"])
def test_the_optimizer_advances_with_every_step(kind):
    """Adam with a falling rate on (w - x)^2 / 2, by hand in float64."""

    def loss_fn(params, carry, x, key):
        return (0.5 * (params["w"] - x) ** 2, jnp.ones(())), carry

    optimizer = training.make_optimizer("adam", lambda count: 0.1 / (count + 1))
    params = {"w": jnp.zeros(())}
    state = training.init_state(params, optimizer, None, jax.random.key(0))
    xs = jnp.asarray([3.0, -1.0, 4.0, 1.0, -5.0, 9.0])
    step = training.make_train_step(loss_fn, optimizer)
    if kind == "train_loop":
        loop, plan = training.make_train_loop(step, lambda data, x: x), xs
    else:
        loop, plan = training.make_batch_loop(step), [lambda x=x: x for x in xs]
    for begin, end in ((0, 2), (2, 6)):
        state, _ = loop(state, None, plan, begin, end)
    w = m = v = 0.0
    for t, x in enumerate(xs.tolist(), 1):
        g = w - x
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
        hat = (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
        w -= 0.1 / t * hat
    np.testing.assert_allclose(state.params["w"], w, rtol=1e-5)


@pytest.mark.parametrize("field", ["total", "grad_norm"])
def test_loop_stops_at_the_first_step_that_is_not_finite(field):
    _, state, step, _, plan = parts()

    def poisoned(state, window):
        state, metrics = step(state, window)
        bad = jnp.where(state.step == 4, jnp.nan, getattr(metrics, field))
        return state, metrics._replace(**{field: bad})

    loop = training.make_train_loop(poisoned, lambda d, s: training.windows(d, s, T))
    state, summed = loop(state, jnp.asarray(TOKENS), plan, 0, len(plan))
    assert state.step == 4
    assert np.isnan(getattr(summed, field))


@pytest.mark.parametrize("kind", ["train_loop", "batch_loop"])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_skipped_minibatches_change_nothing(kind, bad):
    """Parameters, optimizer and carry are those of a run without them."""

    def loss_fn(params, carry, x, key):
        total = jnp.sum((params["w"] - x) ** 2 + carry * params["w"])
        return (total, jnp.asarray(2.0)), carry + x

    optimizer = training.make_optimizer("adam", lambda count: 0.1 / (count + 1), 1.0)
    step = training.make_train_step(loss_fn, optimizer, skip_nonfinite=True)

    def run(xs):
        params = {"w": jnp.asarray([0.5, -0.5])}
        carry, key = jnp.zeros(2), jax.random.key(0)
        state = training.init_state(params, optimizer, carry, key)
        xs = jnp.asarray(xs)
        if kind == "train_loop":
            loop, plan = training.make_train_loop(step, lambda data, x: x), xs
        else:
            loop, plan = training.make_batch_loop(step), [lambda x=x: x for x in xs]
        return loop(state, None, plan, 0, len(xs))

    good = [[3.0, 1.0], [-1.0, 2.0], [4.0, -2.0]]
    state, summed = run(good)
    mixed = [[bad, 0.0], *good[:2], [1.0, bad], [bad, bad], good[2], [0.0, bad]]
    found, with_bad = run(mixed)
    assert (int(found.step), int(with_bad.skipped)) == (7, 4)
    assert (int(state.step), int(summed.skipped)) == (3, 0)
    for name in ("params", "opt_state", "carry"):
        ours, theirs = getattr(found, name), getattr(state, name)
        jax.tree.map(np.testing.assert_array_equal, ours, theirs)
    assert (float(with_bad.total), float(with_bad.count)) == (float(summed.total), 6)
    assert float(with_bad.grad_norm) == 0.0  # of the last minibatch


@pytest.mark.parametrize("carried", [True, False])
def test_numpy_loop_is_the_jax_loop(carried):
    model = LanguageModel(V, seqjax.RNN(H))
    optimizer = training.make_optimizer("sgd", 0.5)
    state = training.init_state(
        model.init(jax.random.key(0)),
        optimizer,
        model.initial_state((B,)),
        jax.random.key(1),
    )

    def loss_fn(params, carry, window, key):
        start = carry if carried else jnp.zeros_like(carry)
        return model.loss(params, window, state=start)

    step = training.make_train_step(loss_fn, optimizer)
    loop = training.make_train_loop(step, lambda d, s: training.windows(d, s, T))
    plan = batching.sequential_partition(batching.epoch_rng(0, 0), len(TOKENS), B, T)
    by_hand = numpy_rnn.make_train_loop(0.5, T, carried)
    ours, found = by_hand(state, TOKENS, plan, 2, 9)
    middle, half = by_hand(state, TOKENS, plan, 2, 5)
    theirs, summed = loop(state, jnp.asarray(TOKENS), jnp.asarray(plan), 2, 9)
    for a, b in zip(
        jax.tree.leaves((ours.params, ours.carry, ours.step)),
        jax.tree.leaves((theirs.params, theirs.carry, theirs.step)),
        strict=True,
    ):
        np.testing.assert_allclose(a, b, atol=1e-5)
    np.testing.assert_allclose(found, summed, rtol=1e-5)
    _, rest = by_hand(middle, TOKENS, plan, 5, 9, half.total, half.count)
    assert rest[:2] == found[:2]
    unchanged, none = by_hand(ours, TOKENS, plan, 9, 9)
    assert none[:3] == (0, 0, 0) and none.update_norm == 0
    assert none.param_norm == found.param_norm and unchanged.step == ours.step
