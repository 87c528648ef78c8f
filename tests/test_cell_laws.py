"""Laws that hold for every cell, including one written for the tests alone.

Each law holds for all of `law_cells.CELLS`, and where it makes sense for Stacks and
Bidirectionals of them.
"""

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import seqjax
from tests.equality import assert_close, assert_same
from tests.gradients import assert_finite_differences
from tests.law_cells import ALL, BIDIRECTIONAL, CELLS, FORWARD, MGU, STACKS, H
from tests.parameters import drawn

T, B, D = 6, 4, 3
LENGTHS = jnp.asarray([6, 0, 2, 5])


every_cell = pytest.mark.parametrize("cell", CELLS.values(), ids=CELLS)
every_forward = pytest.mark.parametrize("cell", FORWARD.values(), ids=FORWARD)
every = pytest.mark.parametrize("cell", ALL.values(), ids=ALL)


def setup(cell, key, dtype=jnp.float32):
    """Parameters, random inputs [T, B, D] and a random state."""
    params = drawn(cell.init, D, dtype=dtype)
    rng = np.random.default_rng(0)
    xs = jnp.asarray(rng.normal(size=(T, B, D)), dtype)

    def vary(s):
        values = rng.normal(size=s.shape)
        is_float = jnp.issubdtype(s.dtype, jnp.floating)
        return jnp.asarray(values, dtype) if is_float else s + 3

    return params, xs, jax.tree.map(vary, cell.initial_state((B,)))


def scalar(last, ys):
    """A loss that depends on every output and every float of the last state."""
    weights = jnp.sin(jnp.arange(ys.size, dtype=ys.dtype)).reshape(ys.shape)
    floats = [s for s in jax.tree.leaves(last) if jnp.issubdtype(s.dtype, jnp.floating)]
    return jnp.sum(weights * ys) + sum(jnp.sum(jnp.cos(s)) for s in floats)


@pytest.mark.parametrize("cell", [*CELLS.values(), MGU(5)], ids=[*CELLS, "mgu"])
def test_every_cell_satisfies_the_protocol(cell):
    assert isinstance(cell, seqjax.Cell)
    assert hash(cell) == hash(dataclasses.replace(cell))


@pytest.mark.parametrize("member", ["output_size", "init", "initial_state", "step"])
def test_an_object_that_lacks_a_member_does_not_satisfy_the_protocol(member):
    members = {"output_size": 5} | dict.fromkeys(
        ("init", "initial_state", "project", "step"), lambda self: None
    )
    assert isinstance(type("Whole", (), members)(), seqjax.Cell)
    del members[member]
    assert not isinstance(type("Lacking", (), members)(), seqjax.Cell)


WIDTHS = {name: H for name in CELLS} | {
    "stack": H,
    "bidirectional": 2 * H,
    "bidirectional_sum": H,
    "nested": H,
}
MORE = {  # containers in containers, and the width of their ys
    "bidirectional_stack": (seqjax.Bidirectional(STACKS["stack"]), 2 * H),
    "stack_ending_in_concat": (
        seqjax.Stack((seqjax.GRU(3), BIDIRECTIONAL["bidirectional"])),
        2 * H,
    ),
    "stack_ending_in_sum": (
        seqjax.Stack((seqjax.GRU(3), BIDIRECTIONAL["bidirectional_sum"])),
        H,
    ),
    "bidirectional_of_both": (
        seqjax.Bidirectional(seqjax.Bidirectional(MGU(3)), merge="sum"),
        6,
    ),
}


@pytest.mark.parametrize(
    ("cell", "width"),
    [*((cell, WIDTHS[name]) for name, cell in ALL.items()), *MORE.values()],
    ids=[*ALL, *MORE],
)
def test_output_size_is_the_width_of_ys(cell, width, key):
    params = cell.init(key, D)
    ys = jax.eval_shape(lambda: seqjax.unroll(cell, params, jnp.zeros((T, B, D)))[1])
    assert ys.shape == (T, B, width)
    assert cell.output_size == width


class WithoutGateSize(MGU):
    gate_size = None


def test_a_gate_size_changes_no_value(key):
    params, xs, state = setup(MGU(5), key)

    def gradients(cell):
        def loss(params, xs):
            return scalar(*seqjax.unroll(cell, params, xs, state, LENGTHS))

        return jax.grad(loss, (0, 1))(params, xs)

    assert_close(gradients(MGU(5)), gradients(WithoutGateSize(5)))


@every
def test_batched_is_looped(cell, key):
    params, xs, state = setup(cell, key)
    last, ys = seqjax.unroll(cell, params, xs, state, LENGTHS)
    for b in range(B):
        row = jax.tree.map(lambda s, b=b: s[b], state)
        last_b, ys_b = seqjax.unroll(cell, params, xs[:, b], row, LENGTHS[b])
        assert_close(ys_b, ys[:, b])
        assert_close(last_b, jax.tree.map(lambda s, b=b: s[b], last))


@every
def test_any_batch_shape(cell, key):
    params, xs, state = setup(cell, key)
    last, ys = seqjax.unroll(cell, params, xs, state, LENGTHS)

    def fold(s):
        return s.reshape(2, 2, *s.shape[1:])

    last_2, ys_2 = seqjax.unroll(
        cell,
        params,
        xs.reshape(T, 2, 2, D),
        jax.tree.map(fold, state),
        LENGTHS.reshape(2, 2),
    )
    assert_close(ys_2.reshape(ys.shape), ys)
    assert_close(last_2, jax.tree.map(fold, last))


@every_forward
@pytest.mark.parametrize("cut", [1, 4])
def test_chunked_with_carried_state_is_whole(cell, key, cut):
    params, xs, state = setup(cell, key)
    last, ys = seqjax.unroll(cell, params, xs, state)
    middle, first = seqjax.unroll(cell, params, xs[:cut], state)
    end, second = seqjax.unroll(cell, params, xs[cut:], middle)
    assert_close(jnp.concatenate([first, second]), ys)
    assert_close(end, last)


@every
@pytest.mark.parametrize("padding", [0.0, 1e30, np.nan, np.inf])
def test_padded_is_unpadded_for_any_value_of_the_padding(cell, key, padding):
    params, xs, state = setup(cell, key)
    valid = jnp.arange(T)[:, None] < LENGTHS
    padded = jnp.where(valid[..., None], xs, padding)
    last, ys = seqjax.unroll(cell, params, padded, state, LENGTHS)
    for b, length in enumerate(LENGTHS.tolist()):
        row = jax.tree.map(lambda s, b=b: s[b : b + 1], state)
        alone = xs[:length, b : b + 1]
        last_b, ys_b = seqjax.unroll(cell, params, alone, row)
        assert_close(ys[:length, b : b + 1], ys_b)
        assert not ys[length:, b].any()  # exactly zero, and no nan
        assert_close(jax.tree.map(lambda s, b=b: s[b : b + 1], last), last_b)


@every
@pytest.mark.parametrize("padding", [0.7, np.nan])
def test_gradients_of_padding_are_exactly_zero_and_the_others_unchanged(
    cell, key, padding
):
    params, xs, state = setup(cell, key)
    valid = (jnp.arange(T)[:, None] < LENGTHS)[..., None]

    @jax.jit
    @partial(jax.grad, argnums=(0, 1))
    def gradients(params, xs):
        return scalar(*seqjax.unroll(cell, params, xs, state, LENGTHS))

    clean, d_clean = gradients(params, jnp.where(valid, xs, 0.0))
    grads, d_xs = gradients(params, jnp.where(valid, xs, padding))
    assert not jnp.where(valid, 0.0, d_xs).any()
    assert_close(d_xs, d_clean)
    assert_close(grads, clean)


@every
def test_length_zero_returns_the_initial_state(cell, key):
    params, xs, state = setup(cell, key)
    last, ys = seqjax.unroll(cell, params, xs, state, jnp.zeros(B, int))
    assert_same(last, state)
    assert not ys.any()


@every
def test_full_lengths_are_no_lengths(cell, key):
    params, xs, state = setup(cell, key)
    full = seqjax.unroll(cell, params, xs, state, jnp.full(B, T))
    assert_close(full, seqjax.unroll(cell, params, xs, state))


@every_forward
def test_reversed_is_flip_scan_flip_on_the_valid_part(cell, key):
    params, xs, state = setup(cell, key)
    last, ys = seqjax.unroll(cell, params, xs, state, LENGTHS, reverse=True)
    for b, length in enumerate(LENGTHS.tolist()):
        row = jax.tree.map(lambda s, b=b: s[b], state)
        last_b, ys_b = seqjax.unroll(cell, params, xs[:length, b][::-1], row)
        assert_close(ys[:length, b], ys_b[::-1])
        assert not ys[length:, b].any()
        assert_close(jax.tree.map(lambda s, b=b: s[b], last), last_b)


@every_cell
def test_hoisted_projection_is_projection_in_the_step(cell, key):
    params, xs, state = setup(cell, key)
    last, ys = seqjax.unroll(cell, params, xs, state)
    for t in range(T):
        state, y = cell.step(params, state, cell.project(params, xs[t]))
        assert_close(y, ys[t])
    assert_close(state, last)


@every_cell
def test_every_recurrent_product_goes_through_dot(cell, key):
    """With a `dot` that returns zeros, the recurrent weights have no effect."""
    params, xs, state = setup(cell, key)
    z = jax.tree.map(lambda z: z[0], cell.project(params, xs))
    seen = []

    def no_product(v, w):
        seen.append(w.shape)
        return jnp.zeros((*v.shape[:-1], w.shape[-1]), v.dtype)

    other = jax.tree.map(lambda p: p + 1.0 if p.ndim > 1 else p, params)
    first = cell.step(params, state, z, dot=no_product)
    second = cell.step(other, state, z, dot=no_product)
    assert seen
    assert_same(first, second)


@every
@pytest.mark.parametrize(
    ("lengths", "reverse"), [(None, True), (LENGTHS, False)], ids=["reverse", "lengths"]
)
def test_gradients_in_float64(cell, key, lengths, reverse, x64):
    params, xs, state = setup(cell, key, jnp.float64)
    integers = [s for s in jax.tree.leaves(state) if s.dtype != jnp.float64]
    if isinstance(cell, seqjax.RNN) and cell.activation == "relu":
        params = params._replace(b=params.b + 0.4)  # away from the kink

    def loss(params, xs, floats):
        both, ints = iter(floats), iter(integers)
        full = jax.tree.map(
            lambda s: next(both) if s.dtype == jnp.float64 else next(ints), state
        )
        return scalar(*seqjax.unroll(cell, params, xs, full, lengths, reverse))

    floats = [s for s in jax.tree.leaves(state) if s.dtype == jnp.float64]
    assert_finite_differences(loss, (params, xs, floats))


@every_forward
@pytest.mark.parametrize("t", [0, 3, T - 1])
def test_outputs_before_a_change_do_not_change(cell, key, t):
    params, xs, state = setup(cell, key)
    ys = seqjax.unroll(cell, params, xs, state)[1]
    changed = seqjax.unroll(cell, params, xs.at[t].add(1.0), state)[1]
    assert_same(changed[:t], ys[:t])
    assert (changed[t] != ys[t]).any()


@every
def test_one_compilation_for_one_shape(cell, key):
    params, xs, state = setup(cell, key)
    traces = []

    @jax.jit
    def run(params, xs, state, lengths):
        traces.append(1)
        return seqjax.unroll(cell, params, xs, state, lengths)

    run(params, xs, state, LENGTHS)
    last, _ = run(params, 2.0 * xs, state, LENGTHS // 2)
    run(params, xs, last, LENGTHS)
    assert len(traces) == 1


@every
def test_dtypes_are_kept(cell, key, x64):
    for dtype in (jnp.float32, jnp.float64):
        params, xs, _ = setup(cell, key, dtype)
        last, ys = seqjax.unroll(cell, params, xs, lengths=LENGTHS)
        assert ys.dtype == dtype
        floats = {s.dtype for s in jax.tree.leaves(last)} - {jnp.zeros((), int).dtype}
        assert floats == {jnp.dtype(dtype)}


@every
def test_leaves_of_a_state_share_no_buffer(cell):
    """A state whose leaves share memory cannot be donated to a compiled call."""
    leaves = jax.tree.leaves(cell.initial_state((B,)))
    assert len({s.unsafe_buffer_pointer() for s in leaves}) == len(leaves)
