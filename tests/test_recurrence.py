"""Stack, Bidirectional, and the arguments that `unroll` refuses."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import seqjax
from seqjax.engine.run_cell import run_cell
from seqjax.recurrence import is_bidirectional
from tests import quick, references

T, B, D = 6, 4, 3


@pytest.fixture
def xs():
    return jnp.asarray(np.random.default_rng(0).normal(size=(T, B, D)), jnp.float32)


def test_stack_is_its_layers_one_after_the_other(xs, key):
    lower, upper = seqjax.LSTM(5), seqjax.GRU(4)
    stack = seqjax.Stack((lower, upper))
    params = stack.init(key, D)
    last, ys = seqjax.unroll(stack, params, xs)
    lower_last, middle = seqjax.unroll(lower, params[0], xs)
    upper_last, expected = seqjax.unroll(upper, params[1], middle)
    np.testing.assert_allclose(ys, expected, atol=1e-6)
    np.testing.assert_allclose(last[0].c, lower_last.c, atol=1e-6)
    np.testing.assert_allclose(last[1], upper_last, atol=1e-6)
    assert stack.output_size == 4


@settings(deadline=None, max_examples=15)
@given(data=st.data())
def test_any_shape_and_any_lengths_are_the_loops(data):
    num_steps, batch, inputs, hidden = (
        data.draw(st.integers(low, high), name)
        for low, high, name in ((0, 7, "T"), (1, 4, "B"), (1, 4, "D"), (1, 5, "H"))
    )
    lengths = data.draw(
        st.lists(st.integers(0, num_steps), min_size=batch, max_size=batch)
    )
    reverse = data.draw(st.booleans())
    rng = np.random.default_rng(num_steps)
    cell = seqjax.GRU(hidden)
    params = cell.init(jax.random.key(1), inputs)
    xs = rng.normal(size=(num_steps, batch, inputs)).astype(np.float32)
    rows = [np.zeros(hidden)] * batch
    expected, expected_ys = references.unroll(
        references.gru_step, params, xs, rows, lengths, reverse
    )
    run = quick.optimized(partial(seqjax.unroll, cell, reverse=reverse))
    last, ys = run(params, jnp.asarray(xs), lengths=jnp.asarray(lengths, int))
    np.testing.assert_allclose(last, expected, atol=1e-6)
    assert ys.shape == (num_steps, batch, hidden)
    np.testing.assert_allclose(
        ys, 0.0 if expected_ys is None else expected_ys, atol=1e-6
    )


def test_layers_have_different_weights(key):
    params = seqjax.Stack((seqjax.LSTM(5), seqjax.LSTM(5))).init(key, 5)
    assert not jnp.allclose(params[0].w_h, params[1].w_h)


@pytest.mark.parametrize("merge", ["concat", "sum"])
def test_bidirectional_joins_both_directions(xs, key, merge):
    cell = seqjax.RNN(5)
    both = seqjax.Bidirectional(cell, merge)
    params = both.init(key, D)
    lengths = jnp.asarray([6, 0, 2, 5])
    (forward, backward), ys = seqjax.unroll(both, params, xs, lengths=lengths)
    last_f, ys_f = seqjax.unroll(cell, params[0], xs, lengths=lengths)
    last_b, ys_b = seqjax.unroll(cell, params[1], xs, lengths=lengths, reverse=True)
    join = jnp.concatenate([ys_f, ys_b], -1) if merge == "concat" else ys_f + ys_b
    np.testing.assert_allclose(ys, join, atol=1e-6)
    np.testing.assert_allclose(forward, last_f, atol=1e-6)
    np.testing.assert_allclose(backward, last_b, atol=1e-6)
    assert both.output_size == ys.shape[-1]


def test_bidirectional_is_torchs(xs, key):
    torch = pytest.importorskip("torch")
    both = seqjax.Bidirectional(seqjax.LSTM(5))
    params = both.init(key, D)
    layer = torch.nn.LSTM(D, 5, bidirectional=True)
    with torch.no_grad():
        for suffix, p in zip(("", "_reverse"), params, strict=True):
            for name, value in (
                ("weight_ih_l0", p.w_x.T),
                ("weight_hh_l0", p.w_h.T),
                ("bias_ih_l0", p.b),
                ("bias_hh_l0", jnp.zeros_like(p.b)),
            ):
                getattr(layer, name + suffix).copy_(torch.from_numpy(np.array(value)))
        expected = layer(torch.from_numpy(np.array(xs)))[0]
    np.testing.assert_allclose(seqjax.unroll(both, params, xs)[1], expected, atol=1e-6)


def test_dropout_is_between_the_layers_only_and_only_with_a_key(xs, key):
    """At rate 1/2 the second layer reads doubled values and zeros."""
    doubling = seqjax.RNN(5, activation="relu")
    stack = seqjax.Stack((doubling, doubling), dropout=0.5)
    params = stack.init(key, D)
    eye = jnp.eye(5)
    params = (
        params[0],
        params[1]._replace(w_x=eye, w_h=0 * eye, b=jnp.zeros(5)),
    )
    _, below = seqjax.unroll(doubling, params[0], xs)
    _, ys = seqjax.unroll(stack, params, xs, key=key)
    dropped = ys == 0
    np.testing.assert_allclose(ys, jnp.where(dropped, 0.0, 2 * below), rtol=1e-6)
    share = jnp.mean(dropped[below > 0])
    assert 0.2 < share < 0.8
    np.testing.assert_allclose(seqjax.unroll(stack, params, xs)[1], below, rtol=1e-6)
    single = seqjax.Stack((doubling,), dropout=0.5)
    with_key = seqjax.unroll(single, params[:1], xs, key=key)[1]
    np.testing.assert_allclose(with_key, below, rtol=1e-6)
    other = seqjax.unroll(stack, params, xs, key=jax.random.key(1))[1]
    assert (other != ys).any()


@pytest.mark.parametrize(
    ("cell", "answer"),
    [
        (seqjax.LSTM(2), False),
        (seqjax.Stack((seqjax.LSTM(2),)), False),
        (seqjax.Bidirectional(seqjax.LSTM(2)), True),
        (seqjax.Stack((seqjax.LSTM(2), seqjax.Bidirectional(seqjax.GRU(2)))), True),
    ],
)
def test_is_bidirectional_searches_stacks(cell, answer):
    assert is_bidirectional(cell) is answer


def test_wrong_shapes_are_named(xs, key):
    cell = seqjax.RNN(5)
    params = cell.init(key, D)
    with pytest.raises(ValueError, match=r"xs must be \[T, ..., D\], got shape \(3,\)"):
        seqjax.unroll(cell, params, xs[0, 0])
    with pytest.raises(ValueError, match=r"batch shape of xs, \(4,\), got \(3,\)"):
        seqjax.unroll(cell, params, xs, lengths=jnp.asarray([1, 2, 3]))
    with pytest.raises(ValueError, match="lengths must be integers, got float32"):
        seqjax.unroll(cell, params, xs, lengths=jnp.full(4, 2.0))


def test_wrong_containers_are_refused():
    with pytest.raises(ValueError, match="at least one cell"):
        seqjax.Stack(())
    with pytest.raises(ValueError, match=r"dropout must be in \[0, 1\), got 1"):
        seqjax.Stack((seqjax.RNN(2),), dropout=1.0)
    assert hash(seqjax.Stack([seqjax.RNN(2)])) == hash(seqjax.Stack((seqjax.RNN(2),)))
    with pytest.raises(ValueError, match="'mean'"):
        seqjax.Bidirectional(seqjax.RNN(2), merge="mean")


def test_a_second_call_does_not_compile_again(xs, key):
    """Outside jit too: an eager unroll in a notebook compiles once per shape."""
    run_cell.clear_cache()
    params = seqjax.GRU(5).init(key, D)
    seqjax.unroll(seqjax.GRU(5), params, xs)
    compiled = run_cell._cache_size()
    seqjax.unroll(seqjax.GRU(5), params, 2 * xs)
    assert run_cell._cache_size() == compiled
    seqjax.unroll(seqjax.GRU(5), params, xs[1:])
    assert run_cell._cache_size() == compiled + 1
