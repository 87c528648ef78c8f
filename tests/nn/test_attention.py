"""Attention against a loop in float64, masks, and gradients."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from seqjax.nn.attention import Attention, masked_softmax
from seqjax.nn.layers import matmul
from tests.parameters import drawn

SCORES = ["dot", "general", "additive"]
BATCHES = [(), (3,), (3, 2)]
S, Q = 5, 4
each_score = pytest.mark.parametrize("score", SCORES)
each_batch = pytest.mark.parametrize("batch", BATCHES, ids=str)


def draw(score, batch=(3,), dtype=np.float64, seed=0):
    """(attention, params, query [..., Q], memory [..., S, H], mask [..., S]).

    The masks have gaps, and each is True at two positions or more.
    """
    rng = np.random.default_rng(seed)
    width = Q if score == "dot" else 3
    attention = Attention(score)
    params = drawn(attention.init, Q, width, dtype=dtype, scale=1.0)
    query = jnp.asarray(rng.normal(size=(*batch, Q)), dtype)
    memory = jnp.asarray(rng.normal(size=(*batch, S, width)), dtype)
    mask = rng.random((*batch, S)) < 0.6
    mask[..., [2, 4]] = True
    mask[..., 1] = False
    return attention, params, query, memory, jnp.asarray(mask)


def attend(attention, params, query, memory, mask):
    return attention.attend(params, query, attention.keys(params, memory), memory, mask)


def by_hand(score, params, query, memory, mask):
    """The formula in float64, for one query and one position at a time."""
    w_k, w_q, v = (None if p is None else np.asarray(p, np.float64) for p in params)
    query, memory = np.asarray(query, np.float64), np.asarray(memory, np.float64)
    context = np.zeros((*query.shape[:-1], memory.shape[-1]))
    weights = np.zeros(memory.shape[:-1])
    for index in np.ndindex(query.shape[:-1]):
        q = query[index]
        parts = {}
        for s in range(memory.shape[-2]):
            m = memory[index][s]
            if score == "dot":
                value = sum(q[i] * m[i] for i in range(len(q)))
            elif score == "general":
                key = [sum(m[h] * w_k[h, a] for h in range(len(m))) for a in range(Q)]
                value = sum(q[a] * key[a] for a in range(Q))
            else:
                value = 0.0
                for a in range(Q):
                    inner = sum(m[h] * w_k[h, a] for h in range(len(m)))
                    inner += sum(q[i] * w_q[i, a] for i in range(Q))
                    value += v[a] * np.tanh(inner)
            if mask[index][s]:
                parts[s] = np.exp(value)
        for s, part in parts.items():
            weights[index][s] = part / sum(parts.values())
            context[index] += weights[index][s] * memory[index][s]
    return context, weights


@each_score
@each_batch
def test_attention_is_its_formula(x64, score, batch):
    attention, *args = draw(score, batch)
    context, weights = attend(attention, *args)
    want_context, want_weights = by_hand(score, *args)
    assert context.dtype == weights.dtype == jnp.float64
    np.testing.assert_allclose(weights, want_weights, rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(context, want_context, rtol=1e-12, atol=1e-14)
    mask = np.asarray(args[-1])
    assert 0 < mask.sum() < mask.size
    assert not np.any(np.asarray(weights)[~mask])
    np.testing.assert_allclose(np.sum(weights, axis=-1), 1, rtol=1e-14)


@each_score
@pytest.mark.parametrize(("dtype", "error"), [(jnp.float32, 1e-5), (jnp.bfloat16, 0.1)])
def test_dtypes_are_kept(score, dtype, error):
    attention, *args = draw(score, dtype=dtype)
    outputs = jax.jit(attend, static_argnums=0)(attention, *args)
    for got, want in zip(outputs, by_hand(score, *args), strict=True):
        assert got.dtype == dtype
        np.testing.assert_allclose(np.asarray(got, np.float64), want, atol=error)


@each_score
def test_keys_do_not_depend_on_the_query(x64, score):
    attention, params, query, memory, mask = draw(score, (3, 2))
    keys = attention.keys(params, memory)
    if score == "dot":
        assert keys is memory
    else:
        want = np.einsum("...h,ha->...a", memory, params.w_k)
        np.testing.assert_allclose(keys, want, rtol=1e-12, atol=1e-14)
    assert keys.shape == (3, 2, S, Q)
    # attend uses the keys that it gets: other keys give other weights.
    _, weights = attention.attend(params, query, keys, memory, mask)
    _, other = attention.attend(params, query, keys[..., ::-1, :], memory, mask)
    assert np.abs(np.asarray(weights - other)).max() > 0.01


def test_the_product_of_query_and_weights_goes_through_dot(x64):
    attention, params, query, memory, mask = draw("additive")
    keys = attention.keys(params, memory)
    seen = []

    def dot(a, w):
        seen.append((a, w))
        return matmul(a, w)

    outputs = attention.attend(params, query, keys, memory, mask, dot)
    [(a, w)] = seen
    assert a is query and w is params.w_q
    for got, want in zip(
        outputs, attend(attention, *draw("additive")[1:]), strict=True
    ):
        np.testing.assert_array_equal(got, want)


# Masks.


@each_score
@each_batch
def test_a_memory_masked_at_all_positions_gives_zeros_and_no_gradient(
    x64, score, batch
):
    attention, params, query, memory, mask = draw(score, batch)
    hidden = np.zeros(batch, bool)
    hidden[batch and 0] = True  # the first, or the only one
    mask &= ~jnp.asarray(hidden)[..., None]

    def loss(params, query, memory):
        context, weights = attend(attention, params, query, memory, mask)
        return jnp.sum(jnp.sin(context + 1)) + jnp.sum(weights**2), (context, weights)

    gradient = jax.jit(jax.grad(loss, argnums=(0, 1, 2), has_aux=True))
    grads, outputs = jax.device_get(gradient(params, query, memory))
    for array in (*outputs, *grads[1:]):
        assert not np.any(np.asarray(array)[hidden])
    for array in jax.tree.leaves((outputs, grads)):
        assert np.all(np.isfinite(array))
        assert np.any(array) != hidden.all()  # the others are as before
    for got, want in zip(
        outputs, by_hand(score, params, query, memory, mask), strict=True
    ):
        np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-14)


@each_score
@pytest.mark.parametrize("value", [0.0, -7.0, 1e30])
def test_padding_may_have_any_value(x64, score, value):
    attention, params, query, memory, mask = draw(score, (3, 2))
    changed = jnp.where(mask[..., None], memory, value)

    def loss(memory):
        context, weights = attend(attention, params, query, memory, mask)
        return jnp.sum(jnp.sin(context)), (context, weights)

    gradient = jax.jit(jax.grad(loss, has_aux=True))
    grads, outputs = gradient(memory)
    changed_grads, changed_outputs = gradient(changed)
    for got, want in zip(changed_outputs, outputs, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-14, atol=1e-16)
    np.testing.assert_allclose(changed_grads, grads, rtol=1e-12, atol=1e-16)
    assert not np.any(np.asarray(changed_grads)[~np.asarray(mask)])


@each_score
def test_a_padded_memory_is_as_the_memory_alone(x64, score):
    attention, params, query, memory, _ = draw(score, (3,))
    lengths = np.asarray([5, 2, 1])
    mask = jnp.asarray(np.arange(S) < lengths[:, None])
    context, weights = attend(attention, params, query, memory, mask)
    for i, n in enumerate(lengths):
        alone = attend(attention, params, query[i], memory[i, :n], jnp.ones(n, bool))
        np.testing.assert_allclose(context[i], alone[0], rtol=1e-14, atol=1e-16)
        np.testing.assert_allclose(weights[i, :n], alone[1], rtol=1e-14, atol=1e-16)


@pytest.mark.parametrize("value", [1e30, -1e30, np.inf, -np.inf, np.nan])
def test_a_softmax_ignores_masked_scores(value):
    scores = np.random.default_rng(0).normal(size=(4, S)).astype(np.float32)
    mask = np.asarray([[1, 0, 1, 1, 0], [0, 0, 0, 0, 1], [0] * 5, [1] * 5], bool)
    changed = jnp.asarray(np.where(mask, scores, np.float32(value)))
    mask = jnp.asarray(mask)

    @jax.jit
    def weights_and_gradient(scores):
        weights, pull = jax.vjp(lambda s: masked_softmax(s, mask), scores)
        return weights, pull(jnp.arange(20.0).reshape(4, S))[0]

    want = weights_and_gradient(jnp.asarray(scores))
    got = weights_and_gradient(changed)
    for got_part, want_part in zip(got, want, strict=True):
        np.testing.assert_array_equal(got_part, want_part)
        assert not np.any(np.asarray(got_part)[~np.asarray(mask)])
    np.testing.assert_allclose(want[0].sum(-1), [1, 1, 0, 1], rtol=1e-6)
    for row in (0, 3):
        parts = np.exp(scores[row].astype(np.float64)) * np.asarray(mask)[row]
        np.testing.assert_allclose(got[0][row], parts / parts.sum(), rtol=1e-6)
    assert np.any(want[1][0]) and np.any(want[1][3])


@pytest.mark.parametrize("level", [0.0, 1e4, -1e4])
def test_large_scores_neither_overflow_nor_vanish(level):
    scores = level + np.asarray([1.0, 3.0, 2.0])
    weights = masked_softmax(jnp.asarray(scores), jnp.asarray([True, True, False]))
    want = 1 / (1 + np.exp(np.asarray([2.0, -2.0])))
    np.testing.assert_allclose(weights, [*want, 0], rtol=1e-5)


def test_scores_of_minus_infinity_are_as_masked():
    scores = jnp.asarray([[-np.inf, 1.0, 1.0], [-np.inf] * 3])
    weights = masked_softmax(scores, jnp.ones((2, 3), bool))
    np.testing.assert_array_equal(weights, [[0, 0.5, 0.5], [0, 0, 0]])


# Gradients.


@each_score
@each_batch
def test_gradients_are_those_of_finite_differences(x64, score, batch):
    attention, params, query, memory, mask = draw(score, batch)
    check_grads(
        lambda *args: attend(attention, *args, mask),
        (params, query, memory),
        order=1,
        modes=["rev"],
        rtol=1e-6,
        atol=1e-6,
    )


# Weights.


@pytest.mark.parametrize(
    ("score", "shapes"),
    [
        ("dot", (None, None, None)),
        ("general", ((25, 16), None, None)),
        ("additive", ((25, 16), (16, 16), (16,))),
    ],
)
def test_fresh_weights(key, score, shapes):
    memory_size = 16 if score == "dot" else 25
    params = Attention(score).init(key, query_size=16, memory_size=memory_size)
    assert tuple(None if p is None else p.shape for p in params) == shapes
    arrays = [p for p in params if p is not None]
    for array in arrays:
        bound = array.shape[0] ** -0.5
        assert array.dtype == jnp.float32
        assert 0.8 * bound < np.abs(array).max() <= bound
        assert abs(np.mean(array)) < 0.25 * bound
    again = Attention(score).init(key, 16, memory_size)
    different = Attention(score).init(jax.random.key(1), 16, memory_size)
    for array, same, other in zip(
        arrays, jax.tree.leaves(again), jax.tree.leaves(different), strict=True
    ):
        np.testing.assert_array_equal(array, same)
        assert np.any(array != other)


def test_no_weight_is_drawn_twice(key):
    arrays = Attention("additive").init(key, query_size=16, memory_size=16)
    for one, other in itertools.combinations(arrays, 2):
        assert not np.isin(np.asarray(one), np.asarray(other)).any()


@pytest.mark.parametrize("score", ["Dot", "", "bilinear", None])
def test_an_unknown_score_is_refused(score):
    with pytest.raises(ValueError) as error:
        Attention(score)
    assert str(error.value) == (
        f'Attention: score must be "dot", "general" or "additive", got {score!r}'
    )


def test_the_default_score_is_additive():
    assert Attention() == Attention("additive")
    assert hash(Attention()) == hash(Attention("additive"))
    assert Attention() != Attention("dot")


def test_dot_of_different_widths_is_refused(key):
    with pytest.raises(ValueError) as error:
        Attention("dot").init(key, query_size=4, memory_size=6)
    assert str(error.value) == (
        'Attention: the score "dot" needs query and memory of equal width, got 4 and '
        '6; "general" accepts any widths'
    )
