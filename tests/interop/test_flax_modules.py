"""RNN and Bidirectional of seqjax.interop give the results of flax's."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen, nnx

from seqjax import interop
from seqjax.interop import flax_loop
from seqjax.interop import linen as fast_linen
from seqjax.interop import nnx as fast_nnx
from tests import equality
from tests.parameters import drawn

D, H, T, B = 3, 4, 6, 5
XS = np.random.default_rng(0).normal(size=(B, T, D)).astype(np.float32)
LENGTHS = np.array([6, 1, 3, 5, 2])
CELLS = {
    "LSTMCell": {},
    "OptimizedLSTMCell": {},
    "GRUCell": {},
    "SimpleCell": {"activation_fn": jax.nn.relu},
}
# Each of them with and without the others, and in pairs.
OPTIONS = [
    {},
    {"return_carry": True},
    {"seq_lengths": LENGTHS},
    {"seq_lengths": LENGTHS, "return_carry": True},
    {"reverse": True, "return_carry": True, "time_major": True},
    {"reverse": True, "keep_order": True},
    {"reverse": True, "seq_lengths": LENGTHS, "return_carry": True},
    {"reverse": True, "keep_order": True, "seq_lengths": LENGTHS, "time_major": True},
    {"initial_carry": True, "return_carry": True},
    {"initial_carry": True, "seq_lengths": LENGTHS, "time_major": True},
]


def named(options):
    return "-".join(options) or "plain"


def carry_of(kind):
    rng = np.random.default_rng(3)
    h, c = jnp.asarray(rng.normal(size=(2, B, H)), jnp.float32)
    return (c, h) if "LSTM" in kind else h


def call(module, xs, kind, options):
    """The results for batch-major inputs."""
    options = dict(options)
    if options.pop("initial_carry", False):
        options["initial_carry"] = carry_of(kind)
    if "seq_lengths" in options:
        options["seq_lengths"] = jnp.asarray(options["seq_lengths"])
    return module(
        jnp.swapaxes(xs, 0, 1) if options.get("time_major") else xs, **options
    )


def total(results):
    """A loss of everything that is returned, with other weights for each number."""
    leaves = jax.tree.leaves(results)
    weights = [np.cos(np.arange(a.size, dtype=np.float32)) for a in leaves]
    return sum(jnp.vdot(w, a.reshape(-1)) for w, a in zip(weights, leaves, strict=True))


def results_of(run):
    """(results, gradients) of run(params, xs)."""

    def loss(params, xs):
        results = run(params, xs)
        return total(results), results

    return jax.jit(jax.value_and_grad(loss, (0, 1), has_aux=True))


def nnx_run(kind, options, rnn, both=False):
    """run(state, xs), and its state, drawn."""
    cells = [
        getattr(nnx, kind)(D, H, rngs=nnx.Rngs(i), **CELLS[kind]) for i in range(2)
    ]
    graph, state = nnx.split(cells)
    rng = np.random.default_rng(0)
    state = jax.tree.map(
        lambda a: jnp.asarray(0.5 * rng.normal(size=a.shape), a.dtype), state
    )

    def run(state, xs):
        cells = nnx.merge(graph, state)
        return call(rnn(*cells) if both else rnn(cells[0]), xs, kind, options)

    return run, state


def linen_run(kind, options, rnn, both=False):
    cells = [getattr(linen, kind)(H, **CELLS[kind]) for _ in range(2)]
    module = rnn(*cells) if both else rnn(cells[0])
    params = drawn(lambda key: module.init(key, XS))

    def run(params, xs):
        return call(
            lambda xs, **given: module.apply(params, xs, **given), xs, kind, options
        )

    return run, params


APIS = {
    "nnx": (nnx_run, nnx.RNN, fast_nnx.RNN),
    "linen": (linen_run, linen.RNN, fast_linen.RNN),
}


@pytest.fixture
def loops(monkeypatch):
    """The calls of the loop, so that no test compares flax with itself."""
    calls, run = [], flax_loop.run
    monkeypatch.setattr(flax_loop, "run", lambda *a: calls.append(a) or run(*a))
    return calls


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        pytest.param(kind, options, id=f"{kind}-{named(options)}")
        for kind in CELLS
        for options in (OPTIONS if kind == "OptimizedLSTMCell" else OPTIONS[::3])
    ],
)
@pytest.mark.parametrize("api", APIS)
def test_results_and_gradients_are_those_of_flax(api, kind, options, loops):
    make, theirs, ours = APIS[api]
    run, params = make(kind, options, theirs)
    (_, want), gradients = results_of(run)(params, XS)
    assert not loops
    run, params = make(kind, options, ours)
    (_, got), found = results_of(run)(params, XS)
    assert len(loops) == 1
    assert jax.tree.structure(got) == jax.tree.structure(want)
    equality.assert_close(got, want, rtol=1e-5, atol=1e-6)
    equality.assert_close(found, gradients, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("options", [OPTIONS[i] for i in (0, 1, 2, 3)], ids=named)
@pytest.mark.parametrize("kind", ["OptimizedLSTMCell", "GRUCell"])
@pytest.mark.parametrize("api", APIS)
def test_bidirectional_is_that_of_flax(api, kind, options, loops):
    make, theirs, ours = APIS[api]
    library, fast = (nnx, fast_nnx) if api == "nnx" else (linen, fast_linen)
    found = []
    for module, rnn in ((library, theirs), (fast, ours)):
        layer = lambda *cells, m=module, r=rnn: m.Bidirectional(*map(r, cells))  # noqa: E731
        run, params = make(kind, options, layer, both=True)
        found.append(results_of(run)(params, XS))
    assert len(loops) == 2
    equality.assert_close(found[1], found[0], rtol=1e-4, atol=1e-5)


def test_settings_may_be_those_of_the_module():
    """As well as of the call."""
    settings = {"time_major": True, "return_carry": True, "reverse": True}
    for library in (nnx, fast_nnx):
        cell = nnx.GRUCell(D, H, rngs=nnx.Rngs(0))
        results = library.RNN(cell, keep_order=True, **settings)(XS)
        if library is nnx:
            want = results
    equality.assert_close(results, want, rtol=1e-5, atol=1e-6)


def test_parameters_are_those_of_flax():
    """Their names and their values, so that checkpoints load."""
    for kind in CELLS:
        states = [
            nnx.state(library.RNN(getattr(nnx, kind)(D, H, rngs=nnx.Rngs(0))))
            for library in (nnx, fast_nnx)
        ]
        equality.assert_same(*map(nnx.to_pure_dict, states))

    class Model(linen.Module):
        library: object

        @linen.compact
        def __call__(self, xs):
            rnn = self.library.RNN
            xs = rnn(linen.GRUCell(H))(xs)
            both = self.library.Bidirectional(
                rnn(linen.LSTMCell(H)), rnn(linen.LSTMCell(H))
            )
            return both(xs)

    ours, theirs = (
        Model(library).init(jax.random.key(0), XS) for library in (fast_linen, linen)
    )
    equality.assert_same(ours, theirs)
    ys = [Model(library).apply(theirs, XS) for library in (fast_linen, linen)]
    equality.assert_close(*ys, rtol=1e-5, atol=1e-6)


class OwnCell(nnx.GRUCell):
    """A cell of somebody's own, which no cell here is like."""

    def __call__(self, carry, inputs):
        carry, ys = super().__call__(carry, inputs)
        return carry, 2 * ys


def nnx_cell(kind, **options):
    return getattr(nnx, kind)(D, H, rngs=nnx.Rngs(0), **options)


class Doubled(nnx.Linear):
    """An adapter of somebody's own."""

    def __call__(self, inputs):
        return 2 * super().__call__(inputs)


class Frozen(nnx.Variable):
    """A weight that is not trained."""


def with_dense(change):
    """A GRU of flax whose product with the state is changed."""
    cell = nnx_cell("GRUCell")
    dense = nnx.Linear(H, 3 * H, use_bias=False, rngs=nnx.Rngs(1))
    cell.dense_h = change(dense)
    return cell


def set_to(**changes):
    def change(dense):
        for name, value in changes.items():
            setattr(dense, name, value)
        return dense

    return change


def doubled_product(*args, **options):
    return 2 * jax.lax.dot_general(*args, **options)


OTHERS = {
    "linear_of_ones_own": lambda: with_dense(
        lambda d: Doubled(H, 3 * H, use_bias=False, rngs=nnx.Rngs(2))
    ),
    "dot_general": lambda: with_dense(set_to(dot_general=doubled_product)),
    "precision": lambda: with_dense(set_to(precision="highest")),
    "products_in_half": lambda: with_dense(set_to(dtype=jnp.float16)),
    "frozen": lambda: with_dense(lambda d: set_to(kernel=Frozen(d.kernel[...]))(d)),
    "bias_of_the_state": lambda: with_dense(
        lambda d: nnx.Linear(H, 3 * H, rngs=nnx.Rngs(3))
    ),
    "adapter": lambda: with_dense(
        lambda d: nnx.LoRALinear(
            H, 3 * H, lora_rank=2, use_bias=False, rngs=nnx.Rngs(3)
        )
    ),
    "own_cell": lambda: OwnCell(D, H, rngs=nnx.Rngs(0)),
    "gate_fn": lambda: nnx_cell("LSTMCell", gate_fn=jax.nn.hard_sigmoid),
    "activation_fn": lambda: nnx_cell("GRUCell", activation_fn=jax.nn.relu),
    "residual": lambda: nnx_cell("SimpleCell", residual=True),
    "half_inputs": lambda: nnx_cell("GRUCell"),
}


@pytest.mark.parametrize("name", OTHERS)
def test_whatever_no_cell_is_like_runs_in_flax(name, loops):
    xs = XS.astype(np.float16) if name.startswith("half") else XS
    with jax.numpy_dtype_promotion("standard"):
        results = [
            library.RNN(OTHERS[name]())(xs, return_carry=True)
            for library in (nnx, fast_nnx)
        ]
    assert not loops
    equality.assert_same(*results)


@pytest.mark.parametrize("shape", [(T, D), (2, 3, T, D)], ids=str)
def test_any_number_of_batch_axes(shape, loops):
    xs = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    cell = nnx_cell("OptimizedLSTMCell")
    results = [library.RNN(cell)(xs, return_carry=True) for library in (nnx, fast_nnx)]
    assert len(loops) == 1
    equality.assert_close(*results, rtol=1e-5, atol=1e-6)


def test_a_carry_that_is_drawn_is_that_of_flax():
    init = jax.nn.initializers.normal()
    carries = []
    for library in (nnx, fast_nnx):
        with pytest.warns(UserWarning, match="carry_init"):
            cell = nnx_cell("GRUCell", carry_init=init)
        rnn = library.RNN(cell, rngs=nnx.Rngs(5), return_carry=True)
        carries.append([rnn(XS), rnn(XS)])
    equality.assert_close(*carries, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("return_carry", [False, True])
@pytest.mark.parametrize("library", [fast_nnx, fast_linen], ids=["nnx", "linen"])
def test_an_unknown_argument_of_a_bidirectional_is_refused(library, return_carry):
    if library is fast_nnx:
        rnns = [library.RNN(nnx_cell("GRUCell")) for _ in range(2)]
        layer = library.Bidirectional(*rnns, return_carry=return_carry)
    else:
        rnns = [library.RNN(linen.GRUCell(H)) for _ in range(2)]
        layer = library.Bidirectional(*rnns, return_carry=return_carry)
    with pytest.raises(TypeError, match="seq_length"):
        layer(XS, seq_length=LENGTHS)


def test_a_fallback_forks_no_random_stream_twice():
    """Dropout after it has the mask that it has in flax."""
    counts = []
    for library in (nnx, fast_nnx):
        rngs = nnx.Rngs(5)
        with jax.numpy_dtype_promotion("standard"):
            library.RNN(nnx_cell("GRUCell"))(XS.astype(np.float16), rngs=rngs)
        counts.append(rngs.carry.count[...])
    assert counts[0] == counts[1]


def test_both_directions_draw_from_one_stream():
    init, found = jax.nn.initializers.normal(), []
    for library in (nnx, fast_nnx):
        with pytest.warns(UserWarning, match="carry_init"):
            rnns = [library.RNN(nnx_cell("GRUCell", carry_init=init)) for _ in range(2)]
        layer = library.Bidirectional(*rnns)
        found.append([layer(XS, rngs=nnx.Rngs(7)), layer(XS)])
    equality.assert_close(*found, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda rnn: nnx.Bidirectional(rnn, rnn, merge_fn=jnp.add), "merge_fn 'add'"),
        (lambda rnn: nnx.RNN(rnn.cell, reverse=True), "the RNN reads backward"),
        (
            lambda rnn: nnx.RNN(nnx_cell("GRUCell", dtype=jnp.bfloat16)),
            "another dtype than that of its weights: bfloat16",
        ),
    ],
)
def test_settings_that_a_cell_does_not_keep_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        interop.from_flax(make(nnx.RNN(nnx_cell("GRUCell"))))
