"""The language model, and the RNN with gradients written by hand."""

import dataclasses
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import seqjax
from seqjax import training
from seqjax.baselines import numpy_rnn
from seqjax.models.language_model import LanguageModel
from seqjax.nn.layers import DenseParams
from seqjax.truncation import fixed_factors
from tests.equality import assert_close
from tests.parameters import drawn

V, T, B, H = 11, 6, 3, 5
MODELS = {
    "one_hot": LanguageModel(V, seqjax.LSTM(H)),
    "embedding": LanguageModel(V, seqjax.GRU(H), embed_size=4),
    "tied": LanguageModel(V, seqjax.RNN(H), embed_size=H, tie_embeddings=True),
    "adaptive": LanguageModel(V, seqjax.GRU(H), embed_size=4, clusters=(3, 6)),
    "tied_adaptive": LanguageModel(
        V, seqjax.RNN(H), H, tie_embeddings=True, clusters=(4,)
    ),
    "mixture": LanguageModel(V, seqjax.GRU(H), 4, tie_embeddings=True, mixtures=2),
    "deep": LanguageModel(V, seqjax.Stack((seqjax.LSTM(4), seqjax.LSTM(H)), 0.3), 4),
}
every_model = pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)


@pytest.fixture
def window():
    return jnp.asarray(np.random.default_rng(0).integers(0, V, (T + 1, B)))


def test_logits_are_the_textbooks_formula(window, key):
    """H_t = phi(X_t W_xh + H_{t-1} W_hh + b_h), O_t = H_t W_hq + b_q (S8)."""
    model = LanguageModel(V, seqjax.RNN(H))
    params = drawn(model.init)
    cell, out = (
        jax.tree.map(lambda p: np.asarray(p, np.float64), p) for p in params[1:]
    )
    h, expected = np.zeros((B, H)), []
    for tokens in np.asarray(window):
        h = np.tanh(np.eye(V)[tokens] @ cell.w_x + h @ cell.w_h + cell.b)
        expected.append(h @ out.w + out.b)
    state, logits = model.apply(params, window, model.initial_state((B,)))
    np.testing.assert_allclose(logits, expected, atol=1e-6)
    np.testing.assert_allclose(state, h, atol=1e-6)


def test_one_hot_input_is_the_embedding_by_the_identity(window, key):
    one_hot = MODELS["one_hot"]
    embedded = LanguageModel(V, seqjax.LSTM(H), embed_size=V)
    params = drawn(one_hot.init)
    state = one_hot.initial_state((B,))
    expected = one_hot.apply(params, window, state)[1]
    logits = embedded.apply(params._replace(embed=jnp.eye(V)), window, state)[1]
    np.testing.assert_allclose(logits, expected, atol=1e-6)


def test_tied_softmax_scores_by_the_embeddings(window, key):
    model = MODELS["tied"]
    params = drawn(model.init)
    params = params._replace(out=jnp.arange(V, dtype=jnp.float32))
    xs = params.embed[window]
    ys = seqjax.unroll(model.cell, params.cell, xs)[1]
    expected = np.einsum("tbh,vh->tbv", ys, params.embed) + np.arange(V)
    logits = model.apply(params, window, model.initial_state((B,)))[1]
    np.testing.assert_allclose(logits, expected, atol=1e-5)
    assert len(jax.tree.leaves(params)) == 1 + 3 + 1


@every_model
def test_loss_is_the_cross_entropy_of_the_labels(model, window, key):
    params = drawn(model.init)
    state = model.initial_state((B,))
    logits = np.asarray(model.apply(params, window[:-1], state)[1], np.float64)
    log_z = np.log(np.exp(logits).sum(-1))
    label = np.take_along_axis(logits, np.asarray(window)[1:, :, None], -1)[..., 0]
    mask = np.random.default_rng(1).random((T, B)) < 0.5
    (total, count), _ = model.loss(params, window, state=state)
    np.testing.assert_allclose(total, (log_z - label).sum(), rtol=1e-6)
    assert float(count) == T * B
    (total, count), _ = model.loss(params, window, state=state, mask=mask)
    np.testing.assert_allclose(total, (log_z - label)[mask].sum(), rtol=1e-6)
    assert float(count) == mask.sum()


@every_model
def test_a_loss_by_chunks_of_the_vocabulary_is_the_loss(model, window, key, x64):
    params = drawn(model.init, dtype=jnp.float64)
    state = drawn(lambda key: model.initial_state((B,)), dtype=jnp.float64)
    chunked = dataclasses.replace(model, chunk=4)

    @jax.jit
    def both(params, state):
        def of(model):
            loss = lambda p: model.loss(p, window, key, state=state)[0]  # noqa: E731
            return jax.value_and_grad(loss, has_aux=True)(params)

        return of(chunked), of(model)

    assert_close(*both(params, state), rtol=1e-12, atol=1e-12)


def test_a_chunk_of_no_words_raises():
    with pytest.raises(ValueError, match="chunk must be at least 1, got 0"):
        LanguageModel(V, seqjax.RNN(H), chunk=0)


@every_model
def test_step_by_step_is_the_whole(model, window, key):
    params = drawn(model.init)
    state = model.initial_state((B,))
    _, logits = model.apply(params, window, state)
    for t in range(T + 1):
        state, one = model.step(params, state, window[t])
        np.testing.assert_allclose(one, logits[t], atol=1e-6)
    alone, _ = model.step(params, model.initial_state(), window[0, 0])
    assert jax.tree.leaves(alone)[0].ndim == 1


def test_dropout_needs_a_key(window, key):
    model = LanguageModel(V, seqjax.RNN(H), embed_size=4, dropout=0.5)
    params, state = drawn(model.init), model.initial_state((B,))
    run = jax.jit(model.apply)
    calm = np.asarray(run(params, window, state)[1])
    np.testing.assert_array_equal(calm, run(params, window, state)[1])
    keys = (jax.random.key(k) for k in (0, 0, 1))
    noisy = [np.asarray(run(params, window, state, key)[1]) for key in keys]
    np.testing.assert_array_equal(noisy[0], noisy[1])
    assert (noisy[0] != noisy[2]).any()
    assert (noisy[0] != calm).any()


def test_dropout_is_on_embeddings_and_on_outputs(key):
    """An RNN that copies positive inputs shows both: 3/4 of its outputs are 0."""
    cell = seqjax.RNN(40, activation="relu")
    model = LanguageModel(40, cell, embed_size=40, dropout=0.5)
    eye, zeros = jnp.eye(40), jnp.zeros(40)
    params = model.init(key)._replace(
        embed=jnp.ones((40, 40)),
        cell=cell.init(key, 40)._replace(w_x=eye, w_h=0 * eye, b=zeros),
        out=DenseParams(eye, zeros),
    )
    tokens, state = jnp.zeros((50, 4), int), model.initial_state((4,))
    logits = np.asarray(model.apply(params, tokens, state, key)[1])
    np.testing.assert_allclose((logits == 0).mean(), 0.75, atol=0.02)
    np.testing.assert_allclose(np.unique(logits), [0, 4], atol=1e-5)


@pytest.mark.parametrize(
    "cell",
    [
        seqjax.Bidirectional(seqjax.LSTM(H)),
        seqjax.Stack((seqjax.GRU(H), seqjax.Bidirectional(seqjax.GRU(H)))),
    ],
)
def test_bidirectional_cells_raise(cell):
    with pytest.raises(ValueError, match="no future to read"):
        LanguageModel(V, cell)


def test_tied_softmax_of_two_sizes_raises():
    with pytest.raises(ValueError, match="got 4 and 5"):
        LanguageModel(V, seqjax.RNN(H), embed_size=4, tie_embeddings=True)


def test_gradients_by_hand_are_those_of_jax(key, x64):
    model = LanguageModel(V, seqjax.RNN(H))
    params = drawn(model.init, dtype=jnp.float64)
    rng = np.random.default_rng(0)
    window, h = rng.integers(0, V, (T + 1, B)), rng.normal(size=(B, H))

    def mean_loss(params):
        (total, count), state = model.loss(
            params, jnp.asarray(window), state=jnp.asarray(h)
        )
        return total / count, (total, state)

    expected, (total, state) = jax.jit(jax.grad(mean_loss, has_aux=True))(params)
    ours = numpy_rnn.loss_and_grads(jax.tree.map(np.asarray, params), window, h)
    np.testing.assert_allclose(ours[0], total, rtol=1e-12)
    np.testing.assert_allclose(ours[2], state, atol=1e-12)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, atol=1e-12), ours[1], expected
    )


def test_element_wise_clip_keeps_each_gradient_within_5(key):
    params = jax.device_get(drawn(LanguageModel(V, seqjax.RNN(H)).init))
    grads = jax.tree.map(lambda p: 100 * np.sign(p) * np.abs(p) ** 0.5, params)
    moved = numpy_rnn.sgd(params, grads, learning_rate=0.1)

    def check(before, after, g):
        by_hand = [min(max(x, -5.0), 5.0) for x in g.ravel()]
        expected = before.ravel() - 0.1 * np.asarray(by_hand)
        np.testing.assert_allclose(after.ravel(), expected, rtol=1e-5, atol=1e-6)
        assert after.dtype == before.dtype

    jax.tree.map(check, params, moved, grads)


# ---------------------------------------------------------------- truncated gradients


def start(model):
    """(parameters, a random state)."""
    state = drawn(lambda key: model.initial_state((B,)), scale=1.0)
    return drawn(model.init), state


@pytest.mark.parametrize(("name", "period"), [("embedding", 1), ("deep", 4)])
def test_truncation_is_chunks_with_a_constant_state(name, period, window):
    model = MODELS[name]
    params, state = start(model)

    def whole(params):
        factors = fixed_factors(T, period)
        return model.loss(params, window, state=state, factors=factors)[0][0]

    def in_chunks(params):
        total, carry = 0.0, state
        for t in range(0, T, period):
            chunk = window[t : t + period + 1]
            (part, _), carry = model.loss(params, chunk, state=carry)
            carry = jax.lax.stop_gradient(carry)
            total += part
        return total

    both = jax.jit(lambda p: [jax.value_and_grad(f)(p) for f in (whole, in_chunks)])
    (a, da), (b, db) = both(params)
    np.testing.assert_allclose(a, b, rtol=1e-6)
    assert_close(da, db, atol=1e-5)


def test_random_truncation_is_unbiased(window, key):
    """The mean training step over all draws is that of full backpropagation."""
    model, keep = MODELS["deep"], 0.7
    params, carry = start(model)
    optimizer = optax.sgd(1.0)

    @jax.jit
    def stepped(factors):
        def loss_fn(params, carry, batch, key):
            return model.loss(params, batch, key, state=carry, factors=factors)

        state = training.init_state(params, optimizer, carry, key)
        state, _ = training.make_train_step(loss_fn, optimizer)(state, window)
        return state.params

    def step(factors):
        return jax.device_get(stepped(factors))

    full = step(np.ones(T, np.float32))
    unlike = step(np.zeros(T, np.float32))
    mean = jax.tree.map(np.zeros_like, full)
    for kept in itertools.product((0, 1), repeat=T):
        probability = np.prod([keep if k else 1 - keep for k in kept])
        one = step(np.float32(kept) / np.float32(keep))
        mean = jax.tree.map(lambda m, p: m + probability * p, mean, one)  # noqa: B023
    assert_close(mean, full, atol=1e-5)
    gap = jax.tree.map(lambda a, b: np.abs(a - b).max(), full, unlike)
    assert max(jax.tree.leaves(gap)) > 1e-3


@pytest.mark.parametrize("masked", [False, True])
def test_later_steps_than_a_length_do_not_count(window, masked):
    """The loss and the state are those of each row alone, cut at its length."""
    model, lengths = MODELS["deep"], [T, 0, 4]
    params = drawn(model.init)
    mask = jnp.asarray(np.random.default_rng(1).random((T, B)) < 0.5)
    (total, count), state = model.loss(
        params, window, lengths=jnp.asarray(lengths), mask=mask if masked else None
    )
    expected = np.zeros(2)
    for row, length in enumerate(lengths):
        own = window[: length + 1, row : row + 1]
        only = mask[:length, row : row + 1] if masked else None
        sums, last = model.loss(params, own, mask=only)
        expected += np.asarray(sums)
        assert_close(jax.tree.map(lambda s, r=row: s[r : r + 1], state), last)
    np.testing.assert_allclose([total, count], expected, rtol=1e-5)
