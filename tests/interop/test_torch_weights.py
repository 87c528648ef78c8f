"""Weights from and to torch: the same outputs and gradients, exact both ways."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import seqjax
from seqjax import interop
from tests.parameters import drawn

D, H, T, B = 3, 4, 6, 5
KINDS = {
    "rnn": ("RNN", seqjax.RNN(H)),
    "relu": ("RNN", seqjax.RNN(H, "relu")),
    "gru": ("GRU", seqjax.GRU(H)),
    "lstm": ("LSTM", seqjax.LSTM(H)),
}


def composed(cell, layers, both):
    """The cell in so many layers and directions."""
    one = seqjax.Bidirectional(cell) if both else cell
    return seqjax.Stack((one,) * layers) if layers > 1 else one


def module_of(kind, layers, both, dtype, **options):
    torch = pytest.importorskip("torch")
    name, cell = KINDS[kind]
    if name == "RNN":
        options["nonlinearity"] = cell.activation
    torch.manual_seed(0)
    module = getattr(torch.nn, name)(
        D, H, layers, bidirectional=both, dtype=getattr(torch, dtype), **options
    )
    return torch, module


@pytest.mark.parametrize("both", [False, True])
@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_outputs_and_gradients_are_torchs(kind, layers, both, x64):
    torch, module = module_of(kind, layers, both, "float64")
    cell, params = interop.from_torch(module)
    assert cell == composed(KINDS[kind][1], layers, both)
    xs = np.random.default_rng(0).normal(size=(T, B, D))
    weights = np.random.default_rng(1).normal(size=(T, B, cell.output_size))

    def loss(params, xs):
        return jnp.sum(weights * seqjax.unroll(cell, params, xs)[1])

    ours, gradients = jax.jit(jax.value_and_grad(loss, (0, 1)))(params, jnp.asarray(xs))
    theirs_xs = torch.from_numpy(xs).requires_grad_()
    theirs = (module(theirs_xs)[0] * torch.from_numpy(weights)).sum()
    theirs.backward()
    np.testing.assert_allclose(ours, theirs.item(), rtol=1e-12)
    np.testing.assert_allclose(gradients[1], theirs_xs.grad, rtol=1e-10, atol=1e-12)
    # The first bias beside the inputs and the second beside the state get equal
    # gradients, which ours has once, but for the GRU's candidate.
    expected = interop.from_torch(
        {name: p.grad for name, p in module.named_parameters()}
    )[1]
    if kind != "gru":
        expected = jax.tree.map(lambda g: g / 2 if g.ndim == 1 else g, expected)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12),
        gradients[0],
        expected,
    )


@pytest.mark.parametrize("both", [False, True])
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("kind", KINDS)
def test_a_round_trip_is_exact_and_torch_loads_it(kind, layers, both):
    cell = composed(KINDS[kind][1], layers, both)
    params = drawn(lambda key: cell.init(key, D))
    weights = interop.to_torch(cell, params)
    again, restored = interop.from_torch(
        weights, activation=getattr(KINDS[kind][1], "activation", "tanh")
    )
    assert again == cell
    jax.tree.map(np.testing.assert_array_equal, restored, params)
    torch, module = module_of(kind, layers, both, "float32")
    module.load_state_dict({k: torch.from_numpy(v.copy()) for k, v in weights.items()})
    xs = np.random.default_rng(0).normal(size=(T, B, D)).astype(np.float32)
    with torch.no_grad():
        theirs = module(torch.from_numpy(xs))[0].numpy()
    ours = seqjax.unroll(cell, params, jnp.asarray(xs))[1]
    np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_a_module_keeps_its_dropout_and_may_have_no_biases():
    torch, module = module_of("lstm", 2, False, "float32", bias=False, dropout=0.3)
    cell, params = interop.from_torch(module)
    assert cell.dropout == 0.3
    assert not np.any(params[0].b)
    xs = np.random.default_rng(0).normal(size=(T, B, D)).astype(np.float32)
    module.eval()
    with torch.no_grad():
        theirs = module(torch.from_numpy(xs))[0].numpy()
    np.testing.assert_allclose(seqjax.unroll(cell, params, xs)[1], theirs, atol=1e-6)


@pytest.mark.parametrize("name", ["RNNCell", "GRUCell", "LSTMCell"])
def test_cells_of_torch(name):
    torch = pytest.importorskip("torch")
    module = getattr(torch.nn, name)(D, H)
    cell, params = interop.from_torch(module)
    xs = np.random.default_rng(0).normal(size=(1, B, D)).astype(np.float32)
    with torch.no_grad():
        theirs = module(torch.from_numpy(xs[0]))
    theirs = theirs[0] if isinstance(theirs, tuple) else theirs
    np.testing.assert_allclose(seqjax.unroll(cell, params, xs)[1][0], theirs, atol=1e-6)


def test_the_layer_of_a_whole_model_is_found_by_its_prefix():
    cell = seqjax.LSTM(H)
    params = drawn(lambda key: cell.init(key, D))
    own = {f"encoder.rnn.{k}": v for k, v in interop.to_torch(cell, params).items()}
    whole = {**own, "decoder.weight": np.ones((2, 2))}
    _, restored = interop.from_torch(whole, "encoder.rnn.")
    jax.tree.map(np.testing.assert_array_equal, restored, params)
    for wrong in ("", "encoder."):
        with pytest.raises(
            ValueError, match=rf'prefix="{wrong}"; expected prefix="encoder.rnn."$'
        ):
            interop.from_torch(whole, wrong)


@pytest.mark.parametrize("source", ["lstm.safetensors", None, [1]])
def test_what_is_no_state_dict_is_refused(source):
    with pytest.raises(TypeError, match=r"got \w+; read_weights reads a file"):
        interop.from_torch(source)


def test_an_activation_is_that_of_an_rnn():
    with pytest.raises(ValueError, match=r"LSTM\(.*\) has no activation relu"):
        interop.from_torch(weights(), activation="relu")


def test_a_whole_module_says_what_its_state_dict_does_not():
    torch = pytest.importorskip("torch")
    whole = torch.nn.ModuleDict(
        {
            "plain": torch.nn.RNN(D, H, 2, "relu", dropout=0.25),
            "head": torch.nn.Linear(H, 2),
        }
    )
    cell, _ = interop.from_torch(whole, "plain.")
    assert cell == interop.from_torch(whole["plain"])[0]
    assert cell.dropout == 0.25 and cell.cells[0].activation == "relu"


def test_no_direction_of_a_layer_is_left_out():
    cell = seqjax.Bidirectional(seqjax.LSTM(H))
    cell = seqjax.Stack((cell, cell))
    found = interop.to_torch(cell, drawn(lambda key: cell.init(key, D)))
    found = {k: v for k, v in found.items() if not k.endswith("_l1_reverse")}
    with pytest.raises(ValueError, match="weight_hh_l1_reverse is missing"):
        interop.from_torch(found)


def weights(**changes):
    cell = seqjax.LSTM(H)
    found = interop.to_torch(cell, drawn(lambda key: cell.init(key, D)))
    found |= changes
    return {k: v for k, v in found.items() if v is not None}


MISTAKES = {
    r"from_torch: weight_hh_l0 is missing; there is bias_hh_l0": {"weight_hh_l0": None},
    r"bias_hh_l0 is missing": {"bias_hh_l0": None},
    r"bias_hh_l0 must hold floats, got int32": {
        "bias_hh_l0": np.zeros(4 * H, np.int32)
    },
    r"weight_ih_l0 must be \[16, any\], got \[12, 3\]": {
        "weight_ih_l0": np.ones((12, D))
    },
    r"weight_hh_l0 must be \[G\*H, H\] with G = 1 .* got \[4, 16\]": {
        "weight_hh_l0": np.ones((H, 4 * H))
    },
    r"bias_ih_l0 must be \[16\], got \[15\]": {"bias_ih_l0": np.ones(15)},
    r"from_torch: weight_ih_l2: unknown": {"weight_ih_l2": np.ones((16, H))},
    r"weight_hr_l0: LSTMs with projections are not": {"weight_hr_l0": np.ones((2, H))},
}


@pytest.mark.parametrize("sentence", MISTAKES)
def test_weights_that_do_not_fit_are_named(sentence):
    with pytest.raises(ValueError, match=sentence) as error:
        interop.from_torch(weights(**MISTAKES[sentence]))
    assert "\n" not in str(error.value)


def test_layers_of_other_widths_are_refused():
    wide = interop.to_torch(seqjax.LSTM(H), drawn(lambda k: seqjax.LSTM(H).init(k, 9)))
    second = {k.replace("_l0", "_l1"): v for k, v in wide.items()}
    with pytest.raises(
        ValueError, match=r"weight_ih_l1 must be \[16, 4\], got \[16, 9\]"
    ):
        interop.from_torch(weights(**second))


CELLS = {
    "reset_after=True": seqjax.GRU(H, reset_after=False),
    'merge must be "concat"': seqjax.Bidirectional(seqjax.GRU(H), "sum"),
    "the layers must be alike": seqjax.Stack((seqjax.GRU(H), seqjax.LSTM(H))),
    "the layers must be RNNs": seqjax.Bidirectional(seqjax.Stack((seqjax.GRU(H),))),
}


@pytest.mark.parametrize("sentence", CELLS)
def test_what_torch_does_not_have_is_refused(sentence):
    cell = CELLS[sentence]
    with pytest.raises(ValueError, match=sentence):
        interop.to_torch(cell, drawn(lambda key: cell.init(key, D)))
