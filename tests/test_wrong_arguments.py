"""Arguments that do not fit: support, or one error that names what does not fit."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import seqjax
from seqjax import decoding, models, nn
from seqjax.gradient_flow import state_gradients
from seqjax.truncation import truncated_unroll
from tests.equality import assert_close
from tests.law_cells import ALL, CELLS

B, D = 3, 2
KEY = jax.random.key(0)
XS = jnp.asarray(np.random.default_rng(0).normal(size=(3, B, D)), jnp.float32)
GRU = seqjax.GRU(2)


WIDE = jnp.ones((4, B, 7))
WIDTHS = {
    **{
        name: lambda cell=cell: seqjax.unroll(cell, cell.init(KEY, 3), WIDE)
        for name, cell in CELLS.items()
        if name != "own"
    },
    "dense": lambda: nn.dense(nn.dense_init(KEY, 3, 2), WIDE),
    "stack": lambda: seqjax.unroll(ALL["stack"], ALL["stack"].init(KEY, 3), WIDE),
    "ctc_model": lambda: models.CTCModel(3, GRU, 3).apply(
        models.CTCModel(3, GRU, 3).init(KEY), WIDE, jnp.full(B, 4)
    ),
    "direct_forecaster": lambda: models.DirectForecaster(GRU, 4, 2, 3).apply(
        models.DirectForecaster(GRU, 4, 2, 3).init(KEY), WIDE
    ),
}


@pytest.mark.parametrize("run", WIDTHS.values(), ids=WIDTHS)
def test_a_width_that_does_not_fit_is_named(run):
    with pytest.raises(ValueError, match=r"\(3, \d+\), got xs \(4, 3, 7\)|and w \(3,"):
        run()


def three_steps(cell, dtype=jnp.float32):
    params = jax.tree.map(lambda p: p.astype(dtype), cell.init(KEY, D))
    return params, XS.astype(dtype), cell.initial_state((B,))


every_cell = pytest.mark.parametrize("cell", ALL.values(), ids=ALL)


@every_cell
@pytest.mark.parametrize("batch_shape", [(B + 1,), (1,), (), (B, 1)])
def test_a_state_of_another_batch_is_refused(cell, batch_shape):
    params, xs, _ = three_steps(cell)
    with pytest.raises(ValueError, match=r"batch of shape \(3,\), the state.* got \("):
        seqjax.unroll(cell, params, xs, cell.initial_state(batch_shape))


@every_cell
def test_a_state_of_another_structure_is_refused(cell):
    params, xs, state = three_steps(cell)
    with pytest.raises(ValueError, match="structure of cell"):
        seqjax.unroll(cell, params, xs, {"state": state})


@every_cell
@pytest.mark.parametrize("fused", [True, False])
def test_a_state_of_another_dtype_is_refused(cell, fused):
    params, xs, state = three_steps(cell)
    state = jax.tree.map(lambda s: s.astype(jnp.bfloat16), state)
    with (
        jax.numpy_dtype_promotion("standard"),
        pytest.raises(TypeError, match=r"is bfloat16 .* but a step makes it float32"),
    ):
        seqjax.unroll(cell, params, xs, state, fused=fused)


@every_cell
def test_inputs_and_parameters_of_two_dtypes_promote(cell):
    """As if both were float32, with the values that bfloat16 has."""
    params, xs, _ = three_steps(cell)
    small = jax.tree.map(lambda p: p.astype(jnp.bfloat16), (params, xs))
    rounded = jax.tree.map(lambda p: p.astype(jnp.float32), small)
    lengths = jnp.asarray([3, 0, 2])
    with jax.numpy_dtype_promotion("standard"):
        for mixed, alike in (
            ((small[0], xs), (rounded[0], xs)),
            ((params, small[1]), (params, rounded[1])),
        ):
            found = seqjax.unroll(cell, *mixed, lengths=lengths)
            want = seqjax.unroll(cell, *alike, lengths=lengths)
            assert found[1].dtype == jnp.float32
            assert_close(found, want, atol=1e-5)


def test_truncation_checks_its_state_and_factors():
    params, xs, _ = three_steps(GRU)
    with pytest.raises(ValueError, match=r"must have shape \(3, 2\), got \(4, 2\)"):
        truncated_unroll(GRU, params, xs, jnp.ones(3), jnp.zeros((4, 2)))
    with pytest.raises(ValueError, match=r"factors must be \[T\] = \(3,\), got \(4,\)"):
        truncated_unroll(GRU, params, xs, jnp.ones(4))


# ---------------------------------------------------------------- derivatives


def derivatives(loss, params):
    """Ways to forward-mode and second derivatives."""
    return {
        "jvp": lambda: jax.jvp(loss, (params,), (params,)),
        "jvp in jit": lambda: jax.jit(
            lambda p: jax.jvp(loss, (p,), (p,)),
        )(params),
        "jacfwd": lambda: jax.jacfwd(loss)(params),
        "hessian": lambda: jax.hessian(loss)(params),
    }


def test_the_fused_loop_names_the_way_to_forward_mode():
    params, xs, _ = three_steps(GRU)

    def loss(params, fused=True):
        return jnp.sum(seqjax.unroll(GRU, params, xs, fused=fused)[1] ** 2)

    for run in derivatives(loss, params).values():
        with pytest.raises(TypeError, match=r"call unroll\(..., fused=False\)"):
            run()
    plain = derivatives(partial(loss, fused=False), params)["jvp"]()
    gradient = jax.grad(loss)(params)
    products = [jnp.vdot(g, p) for g, p in zip(gradient, params, strict=True)]
    assert_close(plain[1], sum(products), rtol=1e-5)


# ---------------------------------------------------------------- searches


def bigram(state, token):
    return state, jnp.log(jnp.asarray([[0.1, 0.6, 0.3], [0.5, 0.1, 0.4], [0.3] * 3]))[
        token
    ]


def with_context(state, token, context):
    return bigram(state, token)


SEARCHES = {
    "beam_search": partial(decoding.beam_search, beam_size=2),
    "greedy": decoding.greedy,
    "exhaustive": decoding.exhaustive,
    "sample": lambda step, state, **o: decoding.sample(step, state, KEY, **o),
}
every_search = pytest.mark.parametrize("search", SEARCHES.values(), ids=SEARCHES)
OPTIONS = {"bos": 0, "eos": 2, "max_length": 3}


@every_search
@pytest.mark.parametrize("state", [(), None, {}, []])
def test_an_empty_state_has_no_number_of_sentences(search, state):
    with pytest.raises(ValueError, match=r"at least one array \[B, ...\].*got"):
        search(bigram, state, **OPTIONS)


@every_search
def test_states_contexts_and_prefixes_of_two_batch_sizes_are_refused(search):
    two, three = jnp.zeros((2, 1)), jnp.zeros((3, 1))
    begin = "must begin with the number of sentences B, got shapes"
    with pytest.raises(ValueError, match=begin):
        search(bigram, (two, three), **OPTIONS)
    with pytest.raises(ValueError, match=begin):
        search(bigram, (two, jnp.zeros(())), **OPTIONS)
    with pytest.raises(ValueError, match=begin):
        search(with_context, two, context=three, **OPTIONS)
    for prefix in (jnp.zeros((3, 1), int), jnp.zeros(2, int), jnp.zeros((2, 1))):
        with pytest.raises(ValueError, match=r"integers \[B, P\] with B = 2, got"):
            search(bigram, two, prefix=prefix, **OPTIONS)


# ---------------------------------------------------------------- both directions


BOTH = seqjax.Bidirectional(GRU)
REFUSED = {
    "decoder": (lambda c: models.Seq2Seq(3, 3, GRU, (GRU, c), 2), "future to read"),
    "language_model": (lambda c: models.LanguageModel(3, c), "future to read"),
    "direct": (lambda c: models.DirectForecaster(c, 4, 2, D), "values to be forecast"),
    "recursive": (
        lambda c: models.RecursiveForecaster(c, 4, 2, D),
        "values to be forecast",
    ),
    "truncated": (
        lambda c: truncated_unroll(c, c.init(KEY, D), XS, jnp.ones(3)),
        "must not be bidirectional",
    ),
    "gradients": (
        lambda c: state_gradients(c, c.init(KEY, D), XS, jnp.sum),
        "one state per step",
    ),
}


@pytest.mark.parametrize("cell", [BOTH, seqjax.Stack((GRU, BOTH))], ids=["one", "two"])
@pytest.mark.parametrize(("make", "reason"), REFUSED.values(), ids=list(REFUSED))
def test_a_bidirectional_cell_is_refused_where_there_is_no_future(make, reason, cell):
    with pytest.raises(ValueError, match=reason):
        make(cell)


def test_a_decoder_is_a_tuple_of_cells():
    for decoder, got in (((), "got none"), (seqjax.Stack((GRU,)), "Stack")):
        with pytest.raises(ValueError, match=got):
            models.Seq2Seq(3, 3, GRU, decoder, 2)
    with pytest.raises(ValueError, match="a Stack in it"):
        models.Seq2Seq(3, 3, GRU, (seqjax.Stack((GRU,)),), 2)
