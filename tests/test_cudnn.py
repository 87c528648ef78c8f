"""The cuDNN path as far as it goes without a GPU: JAX's own reference stands in.

`jax.experimental.rnn.lstm_ref` takes the arguments of cuDNN's LSTM and is what JAX
tests it against; here it runs in its place.
"""

import types
from functools import partial

import jax
import jax.experimental.rnn
import jax.numpy as jnp
import numpy as np
import pytest

import seqjax
from seqjax import cudnn, recurrence
from tests.gradients import assert_both_same, inputs

pytestmark = pytest.mark.optimized

CELL = seqjax.LSTM(5, forget_bias=1.0)
LENGTHS = [6, 0, 2, 5]


@pytest.fixture
def calls(monkeypatch):
    """The lengths that the LSTM of cuDNN was called with, a list for each call."""
    calls = []

    def lstm(x, h_0, c_0, weights, seq_lengths, input_size, hidden_size, **options):
        assert set(options) == {"num_layers", "dropout", "bidirectional"}
        assert seq_lengths.dtype == jnp.int32
        calls.append(np.asarray(seq_lengths).tolist())
        sizes = (input_size, hidden_size, options["num_layers"])
        weights = jax.experimental.rnn.unpack_lstm_weights(
            weights, *sizes, options["bidirectional"]
        )
        sizes = (*sizes, options["dropout"], options["bidirectional"])
        return jax.experimental.rnn.lstm_ref(
            *(x, h_0, c_0, *weights, seq_lengths, *sizes)
        )

    monkeypatch.setattr(jax.experimental.rnn, "lstm", lstm)
    return calls


@pytest.fixture
def nvidia(monkeypatch):
    """As if there were a GPU; the name of its kind can be changed."""
    device = types.SimpleNamespace(device_kind="NVIDIA H200")
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    monkeypatch.setattr(jax, "devices", lambda: [device])
    yield device
    recurrence._unroll.clear_cache()  # of what was traced for that GPU


@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["full", "lengths"])
def test_outputs_and_gradients_are_those_of_unroll(lengths, calls, x64):
    args = inputs(CELL)
    if lengths is not None:
        lengths = jnp.asarray(lengths)
        padding = jnp.arange(6)[:, None] >= lengths
        args = (args[0], jnp.where(padding[..., None], jnp.nan, args[1]), args[2])

    def both(unroll):
        outputs, pull = jax.vjp(unroll, *args)
        cotangents = jax.tree.map(
            lambda a: jnp.sin(jnp.arange(a.size, dtype=a.dtype)).reshape(a.shape),
            outputs,
        )
        return outputs, pull(cotangents)

    got = both(partial(cudnn.unroll, lengths=lengths))
    assert_both_same((got, both(partial(seqjax.unroll, CELL, lengths=lengths))))
    # It is never given a length of 0, which it would not take.
    assert calls == [[6, 6, 6, 6] if lengths is None else [6, 1, 2, 5]]


def test_on_a_cpu_it_is_neither_taken_nor_to_be_had(calls):
    params, xs, state = inputs(CELL, dtype=jnp.float32)
    reason = "there is no NVIDIA GPU"
    assert cudnn.obstacle(CELL, params, xs, state) == reason
    seqjax.unroll(CELL, params, xs, state)
    with pytest.raises(ValueError, match=f"cudnn=True, but {reason}"):
        seqjax.unroll(CELL, params, xs, state, cudnn=True)
    assert not calls


class Peephole(seqjax.LSTM):
    """A cell of another step, for all that cuDNN knows."""


OBSTACLES = {
    "LSTM, not for GRU": (seqjax.GRU(5), (4,), jnp.float32, None),
    "LSTM, not for Peephole": (Peephole(5), (4,), jnp.float32, None),
    "float32": (CELL, (4,), jnp.bfloat16, None),
    r"takes xs \[T, B, D\] .* got \(6, 3\)": (CELL, (), jnp.float32, None),
    r"got \(6, 2, 2, 3\)": (CELL, (2, 2), jnp.float32, None),
    r"got \(6, 0, 3\)": (CELL, (0,), jnp.float32, None),
    "bfloat16": (CELL, (4,), jnp.float32, "bfloat16"),
    "BF16_BF16_F32": (CELL, (4,), jnp.float32, "BF16_BF16_F32"),
    "F32_F32_F32": (CELL, (4,), jnp.float32, "F32_F32_F32"),
}


@pytest.mark.parametrize(("reason", "case"), OBSTACLES.items(), ids=OBSTACLES)
def test_what_it_cannot_run_on_a_gpu_is_said(reason, case, nvidia, calls):
    cell, batch_shape, dtype, precision = case
    params, xs, state = inputs(cell, batch_shape=batch_shape, dtype=dtype)
    with jax.default_matmul_precision(precision):
        with pytest.raises(ValueError, match=f"cudnn=True, but .*{reason}"):
            seqjax.unroll(cell, params, xs, state, cudnn=True)
        if xs.size:
            seqjax.unroll(cell, params, xs, state)
    assert not calls


def test_vmap_takes_the_scan(nvidia, calls):
    params, xs, state = inputs(CELL, batch_shape=(3, 4), dtype=jnp.float32)
    run = partial(seqjax.unroll, CELL, params)
    got = jax.vmap(run, (1, 0), (0, 1))(xs, state)
    assert not calls
    assert_both_same((got, seqjax.unroll(CELL, params, xs, state)), tolerance=1e-5)


def test_another_gpu_is_not_asked(nvidia):
    args = inputs(CELL, dtype=jnp.float32)
    assert cudnn.obstacle(CELL, *args) is None
    nvidia.device_kind = "AMD Instinct MI300X"
    assert cudnn.obstacle(CELL, *args) == "there is no NVIDIA GPU"


@pytest.mark.parametrize("wanted", [None, True])
def test_on_a_gpu_it_is_taken_for_every_lstm_that_it_can_run(wanted, nvidia, calls):
    stack = seqjax.Stack((seqjax.LSTM(4), CELL))
    for cell, times in ((CELL, 1), (stack, 2)):
        args = inputs(cell, dtype=jnp.float32)
        lengths = jnp.asarray(LENGTHS)
        got = seqjax.unroll(cell, *args, lengths, cudnn=wanted)
        assert calls == [[6, 1, 2, 5]] * times
        want = seqjax.unroll(cell, *args, lengths, cudnn=False)
        assert calls == [[6, 1, 2, 5]] * times
        assert_both_same((got, want), tolerance=1e-5)
        calls.clear()


OPTIONS = [{"reverse": True}, {"fused": False}, {"checkpoint_every": 2}]


@pytest.mark.parametrize("options", OPTIONS, ids=lambda options: next(iter(options)))
def test_on_a_gpu_the_scan_runs_what_only_the_scan_can(options, nvidia, calls):
    args = inputs(CELL, dtype=jnp.float32)
    seqjax.unroll(CELL, *args, **options)
    with pytest.raises(ValueError, match=r"cudnn=True, but .* need the scan"):
        seqjax.unroll(CELL, *args, cudnn=True, **options)
    assert not calls


def test_a_bidirectional_takes_it_forwards_only(nvidia, calls):
    cell = seqjax.Bidirectional(CELL)
    seqjax.unroll(cell, *inputs(cell, dtype=jnp.float32))
    assert calls == [[6, 6, 6, 6]]


def test_it_is_not_even_asked_for_where_it_is_forbidden(monkeypatch):
    def obstacle(*args):
        raise AssertionError("asked")

    monkeypatch.setattr(cudnn, "obstacle", obstacle)
    args = inputs(CELL, dtype=jnp.float32)
    seqjax.unroll(CELL, *args, cudnn=False)
    with pytest.raises(AssertionError, match="asked"):
        seqjax.unroll(CELL, *args)
