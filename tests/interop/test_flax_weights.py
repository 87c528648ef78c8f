"""Weights from and to flax.linen and flax.nnx: the same outputs and gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen, nnx

import seqjax
from seqjax import interop
from tests import equality
from tests.parameters import drawn

D, H, T, B = 3, 4, 6, 5
KINDS = {
    "lstm": ("OptimizedLSTMCell", seqjax.LSTM(H), {}),
    "separate_lstm": ("LSTMCell", seqjax.LSTM(H), {}),
    "gru": ("GRUCell", seqjax.GRU(H), {}),
    "rnn": ("SimpleCell", seqjax.RNN(H), {}),
    "relu": ("SimpleCell", seqjax.RNN(H, "relu"), {"activation_fn": jax.nn.relu}),
}
XS = np.random.default_rng(0).normal(size=(B, T, D))
WEIGHTS = np.random.default_rng(1).normal(size=(B, T, 2 * H))


def linen_rnn(kind, both=False):
    """(module, its parameters, drawn)."""
    name, _, options = KINDS[kind]
    make, dtype = getattr(linen, name), jnp.result_type(float)
    rnns = [linen.RNN(make(H, param_dtype=dtype, **options)) for _ in range(2)]
    module = linen.Bidirectional(*rnns) if both else rnns[0]
    init = lambda key: module.init(key, XS)["params"]  # noqa: E731
    return module, drawn(init, dtype=jnp.result_type(float))


def nnx_cell(kind, seed=0):
    """A cell whose parameters, also the biases, are drawn."""
    name, _, options = KINDS[kind]
    cell = getattr(nnx, name)(
        D, H, rngs=nnx.Rngs(seed), param_dtype=float, dtype=None, **options
    )
    state = nnx.state(cell, nnx.Param)
    rng = np.random.default_rng(seed)
    draw = lambda a: jnp.asarray(rng.normal(size=a.shape), float)  # noqa: E731
    nnx.update(cell, jax.tree.map(draw, state))
    return cell


def loss_of(run):
    """A loss of outputs [B, T, ?] as a function of (parameters, inputs)."""

    def loss(params, xs):
        ys = run(params, xs)
        return jnp.sum(WEIGHTS[..., : ys.shape[-1]] * ys)

    return jax.jit(jax.value_and_grad(loss, (0, 1)))


def ours(cell):
    def run(params, xs):
        ys = seqjax.unroll(cell, params, jnp.swapaxes(xs, 0, 1))[1]
        return jnp.swapaxes(ys, 0, 1)

    return loss_of(run)


@pytest.mark.parametrize("both", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_outputs_and_gradients_are_those_of_linen(kind, both, x64):
    module, theirs = linen_rnn(kind, both)
    activation = getattr(KINDS[kind][1], "activation", "tanh")
    cell, params = interop.from_flax(theirs, activation=activation)
    run = loss_of(lambda params, xs: module.apply({"params": params}, xs))
    value, (of_params, of_xs) = run(theirs, XS)
    found, (gradients, of_our_xs) = ours(cell)(params, XS)
    np.testing.assert_allclose(found, value, rtol=1e-12)
    np.testing.assert_allclose(of_our_xs, of_xs, rtol=1e-10, atol=1e-12)
    converted = interop.from_flax(of_params, activation=activation)[1]
    if kind == "gru":  # linen has no biases of r and z beside the state
        gradients, converted = (
            without_biases_of_gates(g) for g in (gradients, converted)
        )
    equality.assert_close(gradients, converted, rtol=1e-10, atol=1e-12)


def without_biases_of_gates(params):
    """Zeros in place of the first 2H entries of b_h, which flax does not have."""
    if isinstance(params, tuple) and not hasattr(params, "_fields"):
        return tuple(map(without_biases_of_gates, params))
    return params._replace(b_h=params.b_h.at[: 2 * H].set(0))


@pytest.mark.parametrize("kind", KINDS)
def test_outputs_and_gradients_are_those_of_nnx(kind, x64):
    flax_cell = nnx_cell(kind)
    cell, params = interop.from_flax(flax_cell)
    assert cell == KINDS[kind][1]
    graph, state = nnx.split(flax_cell)
    carry = jnp.zeros((B, H))
    carry = (carry, carry) if "lstm" in kind else carry

    def theirs(state, xs):
        rnn = nnx.RNN(nnx.merge(graph, state), rngs=False)
        return rnn(xs, initial_carry=carry)

    run = loss_of(theirs)
    value, (of_params, of_xs) = run(state, XS)
    found, (gradients, of_our_xs) = ours(cell)(params, XS)
    np.testing.assert_allclose(found, value, rtol=1e-12)
    np.testing.assert_allclose(of_our_xs, of_xs, rtol=1e-10, atol=1e-12)
    converted = interop.from_flax(
        nnx.to_pure_dict(of_params), activation=getattr(cell, "activation", "tanh")
    )[1]
    if kind == "gru":
        gradients = gradients._replace(b_h=jnp.zeros(3 * H))
    equality.assert_close(gradients, converted, rtol=1e-10, atol=1e-12)


def test_bidirectional_modules_and_rnns_of_nnx():
    rnns = [nnx.RNN(nnx_cell("gru", seed)) for seed in range(2)]
    cell, params = interop.from_flax(nnx.Bidirectional(*rnns))
    assert cell == seqjax.Bidirectional(seqjax.GRU(H))
    for rnn, own in zip(rnns, params, strict=True):
        equality.assert_same(interop.from_flax(rnn)[1], own)


@pytest.mark.parametrize("api", ["linen", "nnx"])
@pytest.mark.parametrize("both", [False, True])
@pytest.mark.parametrize("kind", ["lstm", "gru", "rnn"])
def test_a_round_trip_is_exact_and_flax_takes_it(kind, both, api):
    cell = seqjax.Bidirectional(KINDS[kind][1]) if both else KINDS[kind][1]
    params = drawn(lambda key: cell.init(key, D))
    if kind == "gru":  # what flax has: no biases of the gates r and z beside the state
        kept = H if api == "linen" else 0

        def fitted(own):
            return own._replace(b_h=own.b_h.at[: 3 * H - kept].set(0))

        params = tuple(map(fitted, params)) if both else fitted(params)
    weights = interop.to_flax(cell, params, api)
    again, restored = interop.from_flax(weights)
    assert again == cell
    equality.assert_same(restored, params)
    if api == "linen":
        module, drawn_params = linen_rnn(kind, both)
        own = weights if both else {"cell": weights}
        assert jax.tree.map(jnp.shape, own) == jax.tree.map(jnp.shape, drawn_params)
        ys = module.apply({"params": own}, XS.astype(np.float32))
    else:
        rnns = [nnx.RNN(nnx_cell(kind, seed)) for seed in range(2)]
        module = nnx.Bidirectional(*rnns) if both else rnns[0]
        nnx.update(module, weights if both else {"cell": weights})
        ys = module(XS.astype(np.float32))
    xs = jnp.asarray(XS.swapaxes(0, 1), jnp.float32)
    found = seqjax.unroll(cell, params, xs)[1]
    np.testing.assert_allclose(found.swapaxes(0, 1), ys, atol=1e-5)


def test_biases_of_gates_move_beside_the_inputs():
    cell = seqjax.GRU(H)
    params = drawn(lambda key: cell.init(key, D))
    xs = jnp.asarray(XS.swapaxes(0, 1), jnp.float32)
    restored = interop.from_flax(interop.to_flax(cell, params, "linen"))[1]
    assert not np.any(restored.b_h[: 2 * H])
    for own in (params, restored):
        ys = seqjax.unroll(cell, own, xs)[1]
        np.testing.assert_allclose(ys, seqjax.unroll(cell, params, xs)[1], atol=1e-6)
    with pytest.raises(ValueError, match='api="linen" has one'):
        interop.to_flax(cell, params, "nnx")


def test_a_list_of_modules_is_a_stack():
    cells = [nnx_cell("lstm"), nnx.GRUCell(H, 7, rngs=nnx.Rngs(0))]
    cell, params = interop.from_flax(cells, dropout=0.1)
    assert cell == seqjax.Stack((seqjax.LSTM(H), seqjax.GRU(7)), dropout=0.1)
    again = interop.from_flax(interop.to_flax(cell, params))
    assert again[0] == seqjax.Stack(cell.cells)
    equality.assert_same(again[1], params)


LSTM = interop.to_flax(seqjax.LSTM(H), drawn(lambda k: seqjax.LSTM(H).init(k, D)))
MISTAKES = {
    r"from_flax: dense_h.kernel is missing; there is x": {"x": np.ones(3)},
    r"dense_h.bias must be \[16\], got \[3\]": LSTM
    | {"dense_h": {**LSTM["dense_h"], "bias": np.ones(3)}},
    r"dense_h.kernel must be \[H, G\*H\] .* got \[4, 8\]": LSTM
    | {"dense_h": {"kernel": np.ones((4, 8))}},
    r"from_flax: more.kernel: unknown": LSTM | {"more": {"kernel": np.ones(3)}},
    r"from_flax: hf.kernel is missing": {
        "hi": {"kernel": np.ones((H, H)), "bias": np.ones(H)},
        "ii": {"kernel": np.ones((D, H))},
        "if": {"kernel": np.ones((D, H))},
        "ig": {"kernel": np.ones((D, H))},
        "io": {"kernel": np.ones((D, H))},
        **{name: {"bias": np.ones(H)} for name in ("hf", "hg", "ho")},
    },
}


@pytest.mark.parametrize("sentence", MISTAKES)
def test_weights_that_do_not_fit_are_named(sentence):
    with pytest.raises(ValueError, match=sentence) as error:
        interop.from_flax(MISTAKES[sentence])
    assert "\n" not in str(error.value)


MODULES = {
    "has settings that no cell here has": lambda: nnx.SimpleCell(
        D, H, residual=True, rngs=nnx.Rngs(0)
    ),
    "the LSTMCell has settings": lambda: nnx.LSTMCell(
        D, H, activation_fn=jax.nn.relu, rngs=nnx.Rngs(0)
    ),
    "the GRUCell has settings": lambda: nnx.GRUCell(
        D, H, gate_fn=jax.nn.tanh, rngs=nnx.Rngs(0)
    ),
    "was expected, got Linear": lambda: nnx.Linear(D, H, rngs=nnx.Rngs(0)),
}


@pytest.mark.parametrize("sentence", MODULES)
def test_modules_that_no_cell_is_like_are_refused(sentence):
    with pytest.raises(ValueError, match=sentence):
        interop.from_flax(MODULES[sentence]())
