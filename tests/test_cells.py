"""The cells against the formulas, torch, flax and haiku, and their initial weights."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import seqjax
from tests import references
from tests.gradients import assert_finite_differences

T, B, D, H = 7, 4, 3, 5
CASES = {
    "rnn": (seqjax.RNN(H), references.rnn_step),
    "rnn_relu": (seqjax.RNN(H, activation="relu"), references.rnn_relu_step),
    "gru": (seqjax.GRU(H), references.gru_step),
    "gru_textbook": (seqjax.GRU(H, reset_after=False), references.gru_textbook_step),
    "lstm": (seqjax.LSTM(H), references.lstm_step),
}
case = pytest.mark.parametrize(("cell", "step"), CASES.values(), ids=CASES)


def inputs(seed=0):
    return np.random.default_rng(seed).normal(size=(T, B, D))


def random_state(cell, seed=1):
    """A random state, and the same as a list of states, one per sequence."""
    rng = np.random.default_rng(seed)
    state = jax.tree.map(
        lambda s: jnp.asarray(rng.normal(size=s.shape), s.dtype),
        cell.initial_state((B,)),
    )
    rows = [
        jax.tree.map(lambda s, b=b: np.asarray(s[b], np.float64), state)
        for b in range(B)
    ]
    return state, rows


@case
@pytest.mark.parametrize("reverse", [False, True])
def test_cell_is_its_formula(cell, step, reverse, key):
    params = cell.init(key, D)
    xs, lengths = inputs(), [7, 0, 3, 1]
    state, rows = random_state(cell)
    expected, expected_ys = references.unroll(step, params, xs, rows, lengths, reverse)
    last, ys = seqjax.unroll(
        cell, params, jnp.asarray(xs, jnp.float32), state, jnp.asarray(lengths), reverse
    )
    np.testing.assert_allclose(ys, expected_ys, atol=1e-6)
    for b in range(B):
        jax.tree.map(
            lambda got, want, b=b: np.testing.assert_allclose(got[b], want, atol=1e-6),
            tuple(last) if isinstance(last, tuple) else last,
            tuple(expected[b]) if isinstance(expected[b], tuple) else expected[b],
        )


@case
def test_gradient_is_that_of_finite_differences(cell, step, key, x64):
    params = jax.tree.map(lambda p: p.astype(jnp.float64), cell.init(key, D))
    xs, lengths = jnp.asarray(inputs()), jnp.asarray([7, 0, 3, 1])
    state = jax.tree.map(lambda s: s.astype(jnp.float64), random_state(cell)[0])
    weights = jnp.asarray(np.random.default_rng(2).normal(size=(T, B, H)))

    def loss(params, xs, state):
        last, ys = seqjax.unroll(cell, params, xs, state, lengths)
        return jnp.sum(weights * ys) + sum(jnp.sum(s**2) for s in jax.tree.leaves(last))

    if getattr(cell, "activation", "") == "relu":  # away from the kink
        params = params._replace(b=params.b + 0.3)
    assert_finite_differences(loss, (params, xs, state), eps=1e-6)


def torch_layer(name, params, **kwargs):
    """torch's layer with our weights: it stores them transposed and has two biases."""
    torch = pytest.importorskip("torch")
    layer = getattr(torch.nn, name)(D, H, **kwargs)
    zeros = np.zeros(params.w_x.shape[1], np.float32)
    b_x = getattr(params, "b", None)
    b_x, b_h = (params.b_x, params.b_h) if b_x is None else (b_x, zeros)
    with torch.no_grad():
        for theirs, ours in (
            (layer.weight_ih_l0, params.w_x.T),
            (layer.weight_hh_l0, params.w_h.T),
            (layer.bias_ih_l0, b_x),
            (layer.bias_hh_l0, b_h),
        ):
            theirs.copy_(torch.from_numpy(np.array(ours)))
    return torch, layer


@pytest.mark.parametrize(
    ("name", "kwargs", "cell"),
    [
        ("RNN", {}, seqjax.RNN(H)),
        ("RNN", {"nonlinearity": "relu"}, seqjax.RNN(H, activation="relu")),
        ("GRU", {}, seqjax.GRU(H)),
        ("LSTM", {}, seqjax.LSTM(H)),
    ],
)
def test_outputs_and_gradients_are_torchs(name, kwargs, cell, key):
    params = cell.init(key, D)
    torch, layer = torch_layer(name, params, **kwargs)
    xs = inputs().astype(np.float32)
    weights = np.random.default_rng(2).normal(size=(T, B, H)).astype(np.float32)

    def loss(params, xs):
        return jnp.sum(seqjax.unroll(cell, params, xs)[1] * weights)

    grads, d_xs = jax.grad(loss, argnums=(0, 1))(params, jnp.asarray(xs))
    torch_xs = torch.from_numpy(xs).requires_grad_()
    torch_ys, _ = layer(torch_xs)
    (torch_ys * torch.from_numpy(weights)).sum().backward()

    close = {"rtol": 1e-5, "atol": 1e-5}
    ys = seqjax.unroll(cell, params, jnp.asarray(xs))[1]
    np.testing.assert_allclose(ys, torch_ys.detach(), **close)
    np.testing.assert_allclose(d_xs, torch_xs.grad, **close)
    np.testing.assert_allclose(grads.w_x, layer.weight_ih_l0.grad.T, **close)
    np.testing.assert_allclose(grads.w_h, layer.weight_hh_l0.grad.T, **close)
    b_x = grads.b_x if name == "GRU" else grads.b
    np.testing.assert_allclose(b_x, layer.bias_ih_l0.grad, **close)
    if name == "GRU":
        np.testing.assert_allclose(grads.b_h, layer.bias_hh_l0.grad, **close)


def test_last_states_are_torchs(key):
    cell = seqjax.LSTM(H)
    params = cell.init(key, D)
    torch, layer = torch_layer("LSTM", params)
    xs = inputs().astype(np.float32)
    last, _ = seqjax.unroll(cell, params, jnp.asarray(xs))
    _, (h, c) = layer(torch.from_numpy(xs))
    np.testing.assert_allclose(last.h, h[0].detach(), atol=1e-6)
    np.testing.assert_allclose(last.c, c[0].detach(), atol=1e-6)


def check_flax(cell, params, name, flax_params):
    """Our outputs are those of flax's cell `name` with these weights."""
    nn = pytest.importorskip("flax.linen")
    xs = jnp.asarray(inputs(), jnp.float32)
    layer = nn.RNN(getattr(nn, name)(H), time_major=True)
    expected = layer.apply({"params": {"cell": flax_params}}, xs)
    np.testing.assert_allclose(seqjax.unroll(cell, params, xs)[1], expected, atol=1e-6)


def check_haiku(cell, params, name, haiku_params):
    """Our outputs are those of haiku's core `name` with these weights."""
    hk = pytest.importorskip("haiku")
    xs = jnp.asarray(inputs(), jnp.float32)

    def forward(xs):
        core = getattr(hk, name)(H)
        return hk.dynamic_unroll(core, xs, core.initial_state(B))[0]

    with jax.numpy_dtype_promotion("standard"):
        expected = hk.without_apply_rng(hk.transform(forward)).apply(haiku_params, xs)
    np.testing.assert_allclose(seqjax.unroll(cell, params, xs)[1], expected, atol=1e-6)


def gates(array, order):
    """Blocks of the last axis [G*H] by gate name."""
    return dict(zip(order, jnp.split(array, len(order), axis=-1), strict=True))


def test_rnn_is_flaxs(key):
    cell = seqjax.RNN(H)
    params = cell.init(key, D)
    flax_params = {"i": {"kernel": params.w_x, "bias": params.b}}
    flax_params["h"] = {"kernel": params.w_h}
    check_flax(cell, params, "SimpleCell", flax_params)


def test_lstm_is_flaxs(key):
    cell = seqjax.LSTM(H)
    params = cell.init(key, D)
    w_x, w_h, b = (gates(p, "ifgo") for p in params)
    flax_params = {f"i{g}": {"kernel": w_x[g]} for g in "ifgo"}
    flax_params |= {f"h{g}": {"kernel": w_h[g], "bias": b[g]} for g in "ifgo"}
    check_flax(cell, params, "OptimizedLSTMCell", flax_params)


def test_gru_is_flaxs(key):
    cell = seqjax.GRU(H)
    params = cell.init(key, D)
    # flax has one bias for r and one for z, where our b_x and b_h add up.
    params = params._replace(b_h=params.b_h.at[: 2 * H].set(0.0))
    w_x, w_h, b_x, b_h = (gates(p, "rzn") for p in params)
    flax_params = {f"i{g}": {"kernel": w_x[g], "bias": b_x[g]} for g in "rzn"}
    flax_params |= {f"h{g}": {"kernel": w_h[g]} for g in "rz"}
    flax_params["hn"] = {"kernel": w_h["n"], "bias": b_h["n"]}
    check_flax(cell, params, "GRUCell", flax_params)


def test_relu_rnn_is_haikus(key):
    cell = seqjax.RNN(H, activation="relu")
    params = cell.init(key, D)
    haiku_params = {
        "vanilla_rnn/linear": {"w": params.w_x, "b": params.b},
        "vanilla_rnn/linear_1": {"w": params.w_h, "b": jnp.zeros(H)},
    }
    check_haiku(cell, params, "VanillaRNN", haiku_params)


def test_lstm_is_haikus(key):
    cell = seqjax.LSTM(H)
    params = cell.init(key, D)
    w_x, w_h, b = (gates(p, "ifgo") for p in params)
    order = "igfo"  # haiku also adds 1 to the forget gate
    weights = jnp.concatenate(
        [jnp.concatenate([w[g] for g in order], axis=-1) for w in (w_x, w_h)]
    )
    bias = jnp.concatenate([b[g] - (1.0 if g == "f" else 0.0) for g in order])
    check_haiku(cell, params, "LSTM", {"lstm/linear": {"w": weights, "b": bias}})


def test_textbook_gru_is_haikus(key):
    cell = seqjax.GRU(H, reset_after=False)
    params = cell.init(key, D)
    # haiku has gates z r a and h' = (1 - z) h + z a, so its z is our z negated.
    w_i, w_h, b = (
        jnp.concatenate([-w["z"], w["r"], w["n"]], axis=-1)
        for w in (gates(p, "rzn") for p in params)
    )
    check_haiku(cell, params, "GRU", {"gru": {"w_i": w_i, "w_h": w_h, "b": b}})


def test_other_gru_convention_is_the_same_model(key):
    """h' = (1 - z) h + z n with the weights of z negated, by hand."""
    cell = seqjax.GRU(H, reset_after=False)
    params = cell.init(key, D)
    negate = np.repeat([1.0, -1.0, 1.0], H)

    def other_step(params, h, x):
        w_x, w_h, b = (p * negate for p in params)
        size = len(h)
        a = x @ w_x[:, : 2 * size] + h @ w_h[:, : 2 * size] + b[: 2 * size]
        r, z = references.sigmoid(a[:size]), references.sigmoid(a[size:])
        reset = (r * h) @ w_h[:, 2 * size :]
        n = np.tanh(x @ w_x[:, 2 * size :] + reset + b[2 * size :])
        h = (1.0 - z) * h + z * n
        return h, h

    xs = inputs()
    rows = [np.zeros(H)] * B
    _, expected = references.unroll(other_step, params, xs, rows, [T] * B)
    ys = seqjax.unroll(cell, params, jnp.asarray(xs, jnp.float32))[1]
    np.testing.assert_allclose(ys, expected, atol=1e-6)


@case
def test_default_weights_are_torchs_uniform(cell, step, key):
    wide = dataclasses.replace(cell, hidden_size=100)
    for p in wide.init(key, 200):
        assert jnp.abs(p).max() <= 0.1
        np.testing.assert_allclose(p.std(), 0.1 / np.sqrt(3), rtol=0.15)
        np.testing.assert_allclose(p.mean(), 0.0, atol=0.02)


def test_orthogonal_weights_are_orthogonal_gate_by_gate(key):
    cell = seqjax.LSTM(H, w_h_init=jax.nn.initializers.orthogonal())
    for w in gates(cell.init(key, D).w_h, "ifgo").values():
        np.testing.assert_allclose(w @ w.T, np.eye(H), atol=1e-5)


def test_normal_weights_have_the_given_standard_deviation(key):
    normal = jax.nn.initializers.normal(0.01)
    params = seqjax.RNN(200, w_x_init=normal, w_h_init=normal).init(key, 300)
    np.testing.assert_allclose([params.w_x.std(), params.w_h.std()], 0.01, rtol=0.02)


def test_forget_bias_is_added_to_the_forget_gate_alone(key):
    plain = seqjax.LSTM(H).init(key, D)
    raised = seqjax.LSTM(H, forget_bias=1.0).init(key, D)
    expected = np.repeat([0.0, 1.0, 0.0, 0.0], H)
    np.testing.assert_allclose(raised.b - plain.b, expected, atol=1e-6)
    np.testing.assert_array_equal(raised.w_h, plain.w_h)


@case
def test_cells_are_frozen_hashable_and_printable(cell, step):
    same = dataclasses.replace(cell)
    assert hash(same) == hash(cell)
    assert same == cell
    assert repr(cell).startswith(f"{type(cell).__name__}(hidden_size=5")
    with pytest.raises(dataclasses.FrozenInstanceError):
        cell.hidden_size = 6


@pytest.mark.parametrize("cell", [seqjax.RNN, seqjax.GRU, seqjax.LSTM])
@pytest.mark.parametrize("size", [0, -1])
def test_hidden_size_below_one_is_refused(cell, size):
    with pytest.raises(ValueError, match=f"hidden_size must be at least 1, got {size}"):
        cell(size)


def test_unknown_activation_is_refused():
    with pytest.raises(ValueError, match="'gelu'"):
        seqjax.RNN(H, activation="gelu")
