"""One step, many steps in one call, truncation, evaluation."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import seqjax
from seqjax import training
from seqjax.baselines import numpy_rnn
from seqjax.data import batching
from seqjax.models.language_model import LanguageModel

V, B, T, H = 7, 2, 5, 4
TOKENS = np.random.default_rng(0).integers(0, V, 103).astype(np.int32)
CELLS = [seqjax.RNN(H), seqjax.Stack((seqjax.LSTM(H), seqjax.GRU(3)), dropout=0.2)]


@pytest.fixture(autouse=True)
def standard_promotion():
    """optax's adam raises a float to an integer step."""
    with jax.numpy_dtype_promotion("standard"):
        yield


def parts(cell=CELLS[0], name="sgd", rate=0.5, clip=1.0, dropout=0.0):
    """(model, state, train_step, train_loop, plan) of a small language model."""
    model = LanguageModel(V, cell, embed_size=3, dropout=dropout)
    optimizer = training.make_optimizer(name, rate, clip)
    state = training.init_state(
        model.init(jax.random.key(0)),
        optimizer,
        model.initial_state((B,)),
        jax.random.key(1),
    )
    step = training.make_train_step(
        lambda p, carry, window, key: model.loss(p, window, carry, key), optimizer
    )
    loop = training.make_train_loop(step, lambda d, s: training.windows(d, s, T))
    rng = batching.epoch_rng(0, 0)
    plan = batching.sequential_partition(rng, len(TOKENS), B, T)
    return model, state, step, loop, jnp.asarray(plan)


def copy(tree):
    return jax.tree.map(jnp.copy, tree)


def assert_same(a, b):
    assert jax.tree.structure(a) == jax.tree.structure(b)
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        if jnp.issubdtype(x.dtype, jax.dtypes.prng_key):
            x, y = jax.random.key_data(x), jax.random.key_data(y)
        np.testing.assert_array_equal(x, y)


@pytest.mark.parametrize("theta", [0.01, 1e6, None])
def test_sgd_step_is_the_clipped_gradient_times_the_rate(theta):
    """g <- min(1, theta / ||g||) g over the global norm (S10)."""
    model, state, step, _, plan = parts(rate=0.3, clip=theta)
    window = training.windows(jnp.asarray(TOKENS), plan[0], T)

    def mean_loss(params):
        (total, count), _ = model.loss(params, window, state.carry)
        return total / count

    grads = jax.grad(mean_loss)(state.params)
    squares = [np.sum(np.asarray(g, np.float64) ** 2) for g in jax.tree.leaves(grads)]
    norm = np.sqrt(np.sum(squares))
    factor = 1.0 if theta is None else min(1.0, theta / norm)
    after, metrics = step(state, window)
    np.testing.assert_allclose(metrics.grad_norm, norm, rtol=1e-5)
    jax.tree.map(
        lambda p, g, q: np.testing.assert_allclose(q, p - 0.3 * factor * g, atol=1e-6),
        state.params,
        grads,
        after.params,
    )
    assert after.step == 1


def test_learning_rate_scale_scales_the_step():
    _, state, step, _, plan = parts()
    window = training.windows(jnp.asarray(TOKENS), plan[0], T)
    whole = step(state, window)[0].params
    halved = step(state.replace(learning_rate_scale=jnp.asarray(0.5)), window)[0].params
    jax.tree.map(
        lambda p, a, b: np.testing.assert_allclose(b - p, (a - p) / 2, atol=1e-6),
        state.params,
        whole,
        halved,
    )


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw"])
def test_optimizers_are_torchs(name):
    torch = pytest.importorskip("torch")
    decay = {"weight_decay": 0.1} if name == "adamw" else {}
    ours = training.make_optimizer(name, 0.02, None, **decay)
    start = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)
    theirs = torch.nn.Parameter(torch.from_numpy(start.copy()))
    classes = {"sgd": "SGD", "adam": "Adam", "adamw": "AdamW"}
    optimizer = getattr(torch.optim, classes[name])([theirs], lr=0.02, **decay)
    params, opt_state = jnp.asarray(start), ours.init(jnp.asarray(start))
    for k in range(5):
        updates, opt_state = ours.update(jnp.cos(params + k), opt_state, params)
        params = optax.apply_updates(params, updates)
        theirs.grad = torch.cos(theirs.detach() + k)
        optimizer.step()
    np.testing.assert_allclose(params, theirs.detach(), atol=1e-6)


def test_wrong_optimizers_are_refused():
    with pytest.raises(ValueError, match="'lion'"):
        training.make_optimizer("lion", 0.1)
    with pytest.raises(ValueError, match="needs adamw, got 'sgd'"):
        training.make_optimizer("sgd", 0.1, weight_decay=0.1)


@pytest.mark.parametrize("cell", CELLS, ids=["rnn", "deep"])
def test_loop_is_its_steps_one_by_one(cell):
    _, state, step, loop, plan = parts(cell, "adam", 0.01, dropout=0.3)
    tokens = jnp.asarray(TOKENS)
    one, total, count = copy(state), 0.0, 0.0
    for starts in plan:
        one, metrics = jax.jit(step)(one, training.windows(tokens, starts, T))
        total, count = total + metrics.total, count + metrics.count
    many, summed = loop(state, tokens, plan, 0, len(plan))
    for a, b in zip(
        jax.tree.leaves(one.params), jax.tree.leaves(many.params), strict=True
    ):
        np.testing.assert_allclose(a, b, atol=1e-6)
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


def test_state_is_carried_but_no_gradient_crosses_a_minibatch():
    """Truncated BPTT: minibatch 2 starts from minibatch 1's state as a constant."""
    model, state, step, _, plan = parts(rate=0.0)
    tokens = jnp.asarray(TOKENS)
    first, second = (training.windows(tokens, starts, T) for starts in plan[:2])
    state, _ = step(state, first)
    _, carry = model.loss(state.params, first, model.initial_state((B,)))
    np.testing.assert_allclose(state.carry, carry, atol=1e-6)
    _, metrics = step(state, second)

    def truncated(params):
        (total, count), _ = model.loss(params, second, jax.lax.stop_gradient(carry))
        return total / count

    def through(params):
        _, carry = model.loss(params, first, model.initial_state((B,)))
        (total, count), _ = model.loss(params, second, carry)
        return total / count

    norm = optax.tree.norm(jax.grad(truncated)(state.params))
    np.testing.assert_allclose(metrics.grad_norm, norm, rtol=1e-5)
    other = optax.tree.norm(jax.grad(through)(state.params))
    assert abs(other - norm) > 1e-4


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


def test_windows_are_the_slices():
    tokens = jnp.asarray(TOKENS)
    starts = jnp.asarray([0, 13, 97])
    got = training.windows(tokens, starts, T)
    for column, start in zip(got.T, starts.tolist(), strict=True):
        np.testing.assert_array_equal(column, TOKENS[start : start + T + 1])
    past = training.windows(tokens, jnp.asarray([100]), T)[:, 0]
    np.testing.assert_array_equal(past, [*TOKENS[100:], *[TOKENS[-1]] * 3])


@pytest.mark.parametrize("rows", [1, 3, 4])
@pytest.mark.parametrize("steps", [1, 5, 200])
def test_evaluation_is_the_rows_unrolled_whole(rows, steps):
    """Every token but the first is scored once, its row's state carried throughout."""
    model, state, *_ = parts(CELLS[1])
    evaluate = training.make_evaluate(
        lambda p, carry, window, mask: model.loss(p, window, carry, None, mask),
        model.initial_state,
        steps,
    )
    plan = batching.whole_text(len(TOKENS), rows, steps)
    got = evaluate(state.params, jnp.asarray(TOKENS), *map(jnp.asarray, plan))
    length = -(-(len(TOKENS) - 1) // rows)
    total = count = 0.0
    for begin in range(0, len(TOKENS) - 1, length):
        row = jnp.asarray(TOKENS[begin : begin + length + 1])[:, None]
        (t, c), _ = model.loss(state.params, row, model.initial_state((1,)))
        total, count = total + t, count + c
    np.testing.assert_allclose(got[0], total, rtol=1e-5)
    assert got[1] == count == len(TOKENS) - 1


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
        return model.loss(params, window, start)

    step = training.make_train_step(loss_fn, optimizer)
    loop = training.make_train_loop(step, lambda d, s: training.windows(d, s, T))
    plan = batching.sequential_partition(batching.epoch_rng(0, 0), len(TOKENS), B, T)
    by_hand = numpy_rnn.make_train_loop(0.5, T, carried)
    ours, (total, count, norm) = by_hand(state, TOKENS, plan, 2, 9)
    theirs, summed = loop(state, jnp.asarray(TOKENS), jnp.asarray(plan), 2, 9)
    for a, b in zip(
        jax.tree.leaves((ours.params, ours.carry, ours.step)),
        jax.tree.leaves((theirs.params, theirs.carry, theirs.step)),
        strict=True,
    ):
        np.testing.assert_allclose(a, b, atol=1e-5)
    np.testing.assert_allclose((total, count, norm), summed, rtol=1e-5)
