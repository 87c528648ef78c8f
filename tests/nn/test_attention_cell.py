"""The attention cell against its formula, plain autodiff and the `Cell` protocol."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import seqjax
from seqjax.nn.attention import Attention
from seqjax.nn.attention_cell import AttentionCell
from tests.gradients import assert_both_same

HIDDEN = 4
each_score = pytest.mark.parametrize("score", ["dot", "general", "additive"])


@each_score
def test_it_is_a_cell(score, key):
    cell = AttentionCell(seqjax.LSTM(HIDDEN), Attention(score), 3, HIDDEN)
    assert isinstance(cell, seqjax.Cell)
    params, xs = cell.init(key, 3), jnp.ones((5, 2, 3))
    last, ys = seqjax.unroll(cell, params, xs, lengths=jnp.asarray([5, 2]))
    assert ys.shape == (5, 2, cell.output_size) == (5, 2, 3)
    assert jax.tree.structure(last) == jax.tree.structure(cell.initial_state((2,)))


@each_score
def test_the_initial_state_is_that_of_a_memory_masked_at_all_positions(score, key):
    cell = AttentionCell(seqjax.GRU(HIDDEN), Attention(score), 3, HIDDEN)
    params, xs = cell.init(key, 3), jnp.ones((5, 2, 3))
    memory, mask = jnp.ones((2, 7, HIDDEN)), jnp.zeros((2, 7), bool)
    state = cell.start(params, jnp.zeros((2, HIDDEN)), memory, mask)
    want = seqjax.unroll(cell, params, xs, state)[1]
    np.testing.assert_allclose(seqjax.unroll(cell, params, xs)[1], want, atol=1e-6)


@each_score
@pytest.mark.parametrize("feeding", [False, True])
def test_gradients_are_those_of_plain_autodiff(score, feeding, x64):
    cell = AttentionCell(seqjax.GRU(HIDDEN), Attention(score), 5, HIDDEN, feeding)
    rng = np.random.default_rng(0)

    def normal(*shape):
        return jnp.asarray(rng.normal(size=shape))

    params = jax.tree.map(
        lambda p: normal(*p.shape),
        jax.eval_shape(lambda: cell.init(jax.random.key(0), 3)),
    )
    memory, xs, h = normal(2, 7, HIDDEN), normal(5, 2, 3), normal(2, HIDDEN)
    mask = jnp.arange(7) < jnp.asarray([[7], [4]])

    def gradients(fused):
        def loss(params, memory, xs, h):
            state = cell.start(params, h, memory, mask)
            last, ys = seqjax.unroll(cell, params, xs, state, fused=fused)
            return jnp.sum(jnp.sin(ys)) + jnp.sum(jnp.cos(last.cell))

        return jax.jit(jax.grad(loss, (0, 1, 2, 3)))(params, memory, xs, h)

    assert_both_same((gradients(True), gradients(False)))


def test_a_step_is_its_formula(x64):
    cell = AttentionCell(seqjax.RNN(HIDDEN), Attention("general"), 3, 5)
    rng = np.random.default_rng(0)
    template = jax.eval_shape(lambda: cell.init(jax.random.key(0), 2))
    params = jax.tree.map(lambda p: rng.normal(size=p.shape), template)
    memory, x = rng.normal(size=(6, 5)), rng.normal(size=2)
    h, feed = rng.normal(size=HIDDEN), rng.normal(size=3)
    mask = np.arange(6) < 4
    rnn = params.cell
    new = np.tanh(x @ rnn.w_x + feed @ params.w_feed + h @ rnn.w_h + rnn.b)
    scores = memory[:4] @ params.attention.w_k @ new
    weights = np.exp(scores) / np.exp(scores).sum()
    context = weights @ memory[:4]
    want = np.tanh(new @ params.w_state + context @ params.w_context + params.b)

    params = jax.tree.map(jnp.asarray, params)
    state = cell.start(params, jnp.asarray(h), jnp.asarray(memory), jnp.asarray(mask))
    state = state._replace(feed=jnp.asarray(feed))
    z = cell.project(params, jnp.asarray(x)[None])[0]
    state, y, found = cell.step_with_weights(params, state, z)
    np.testing.assert_allclose(y, want, atol=1e-12)
    np.testing.assert_allclose(state.feed, want, atol=1e-12)
    np.testing.assert_allclose(state.cell, new, atol=1e-12)
    np.testing.assert_allclose(found, [*weights, 0, 0], atol=1e-12)
