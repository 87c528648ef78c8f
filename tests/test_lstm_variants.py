"""The variants of the LSTM against the formulas of their papers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import seqjax
from tests import references

T, B, D, H = 5, 3, 6, 4


def flat(params):
    """The parameters as the references take them: each round as one matrix."""
    *weights, last = params
    if not isinstance(last, tuple):
        return params
    return [
        *weights,
        *(np.linalg.multi_dot([*ws, np.eye(ws[-1].shape[1])]) for ws in last),
    ]


CASES = {
    "layer_norm": (seqjax.LayerNormLSTM(H), references.lstm_layer_norm_step),
    "peephole": (seqjax.PeepholeLSTM(H), references.lstm_peephole_step),
    "coupled": (seqjax.CoupledLSTM(H), references.lstm_coupled_step),
    "mogrifier": (seqjax.MogrifierLSTM(H, rounds=3), references.mogrifier_step),
    "mogrifier_rank": (
        seqjax.MogrifierLSTM(H, rounds=4, rank=2),
        references.mogrifier_step,
    ),
}


def varied(tree, seed):
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda a: jnp.asarray(rng.normal(size=a.shape)), tree)


@pytest.mark.parametrize(("cell", "step"), CASES.values(), ids=CASES)
def test_a_variant_is_its_formula(cell, step, key, x64):
    params = varied(cell.init(key, D), 0)
    xs, state = varied(jnp.zeros((T, B, D)), 1), varied(cell.initial_state((B,)), 2)
    rows = [jax.tree.map(lambda s, b=b: np.asarray(s[b]), state) for b in range(B)]
    lengths = [5, 0, 3]
    expected, ys = references.unroll(step, flat(params), xs, rows, lengths)
    last, got = seqjax.unroll(cell, params, xs, state, jnp.asarray(lengths))
    np.testing.assert_allclose(got, ys, atol=1e-12)
    for b in range(B):
        np.testing.assert_allclose(last.h[b], expected[b][0], atol=1e-12)
        np.testing.assert_allclose(last.c[b], expected[b][1], atol=1e-12)


@pytest.mark.parametrize("name", ["layer_norm", "peephole", "mogrifier"])
def test_forget_bias_is_on_the_second_gate(name, key):
    cell = CASES[name][0]
    plain = cell.init(key, D).b
    more = type(cell)(H, forget_bias=3.0).init(key, D).b
    np.testing.assert_allclose(more - plain, np.repeat([0, 3, 0, 0], H), atol=1e-6)


def test_forget_bias_of_coupled_gates_is_on_the_first_gate(key):
    plain = seqjax.CoupledLSTM(H).init(key, D).b
    more = seqjax.CoupledLSTM(H, forget_bias=3.0).init(key, D).b
    np.testing.assert_allclose(more - plain, np.repeat([3, 0, 0], H), atol=1e-6)


def test_a_mogrifier_without_rounds_is_an_lstm(key):
    cell = seqjax.MogrifierLSTM(H, rounds=0)
    params = cell.init(key, D)
    xs = varied(jnp.zeros((T, B, D)), 1)
    _, got = seqjax.unroll(cell, params, xs)
    lstm = seqjax.cells.LSTMParams(*params[:3])
    _, expected = seqjax.unroll(seqjax.LSTM(H), lstm, xs)
    np.testing.assert_allclose(got, expected, atol=1e-6)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"rounds": -1}, "rounds must be at least 0, got -1"),
        ({"rank": 0}, "rank must be at least 1, got 0"),
        ({"hidden_size": 0}, "hidden_size must be at least 1, got 0"),
    ],
)
def test_wrong_settings_of_a_mogrifier_are_refused(options, named):
    with pytest.raises(ValueError, match=named):
        seqjax.MogrifierLSTM(**{"hidden_size": H, **options})


def test_a_rank_that_saves_nothing_is_refused(key):
    with pytest.raises(ValueError, match="below the widths of x and h, 3 and 4, got 3"):
        seqjax.MogrifierLSTM(H, rank=3).init(key, 3)
