"""The compiled gradient of `unroll`: its products, copies and memory.

These tests read the compiled program, because these faults change no value: a weight
gradient that is carried through the loop, a product computed twice, a copied buffer.
T, B, D and H are primes, so that the shape of an array identifies it.
"""

import functools

import jax
import jax.numpy as jnp
import pytest

import seqjax
from seqjax.nn.regularization import drop_connect
from tests import hlo, quick
from tests.law_cells import MGU

T, B, D, H = 37, 11, 13, 17
CELLS = {  # (cell, shapes of its recurrent weights, [T, B, H] arrays it must keep)
    # The gates, which overwrite the projections, and h before each step.
    "rnn": (seqjax.RNN(H), [(H, H)], 1 + 1),
    # The same, and c after each step and before it.
    "lstm": (seqjax.LSTM(H), [(H, 4 * H)], 4 + 1 + 2),
    # Projections and products separately, because of the reset gate, and h.
    "gru": (seqjax.GRU(H), [(H, 3 * H)], 3 + 3 + 1),
    # Likewise, and r * h, the other left operand.
    "gru_textbook": (seqjax.GRU(H, False), [(H, 2 * H), (H, H)], 3 + 3 + 2),
    "mgu": (MGU(H), [(H, H), (H, H)], 2 + 2 + 2),
}
every = pytest.mark.parametrize("name", CELLS)
# The weights of these are made before the loop, or come with masks drawn before it.
REGULARIZED = {
    "drop_connect": (seqjax.LSTM(H), [(H, 4 * H)]),
    "weight_norm": (seqjax.WeightNorm(seqjax.LSTM(H)), [(H, 4 * H)]),
    "zoneout": (seqjax.Zoneout(seqjax.LSTM(H), (0.5,)), [(H, 4 * H)]),
    "mogrifier": (seqjax.MogrifierLSTM(H, rounds=1), [(D, 4 * H), (H, D), (H, 4 * H)]),
}


@functools.cache
def gradient(name, fused=True, lengths=False):
    """Operations, and temporary memory as a number of [T, B, H] arrays."""
    cell, *_ = (CELLS | REGULARIZED)[name]
    key = jax.random.key(1) if name in REGULARIZED else None
    params = cell.init(jax.random.key(0), D)
    args = (params, jnp.zeros((T, B, D)), cell.initial_state((B,)))
    lengths = jnp.full(B, T) if lengths else None

    def outputs(params, *args):
        if name == "drop_connect":
            params = drop_connect(key, params, 0.5)
        return seqjax.unroll(cell, params, *args, lengths, key=key, fused=fused)

    @quick.optimized
    def run(args, cotangents):
        values, pull = jax.vjp(outputs, *args)
        return values, pull(cotangents)

    program = run.lower(args, jax.eval_shape(outputs, *args)).compile()
    memory = program.memory_analysis().temp_size_in_bytes
    return hlo.operations(program.as_text()), memory / (4 * T * B * H)


def products(name, fused=True):
    """Shapes of the products inside the loops, and of those outside."""
    dots = [o for o in gradient(name, fused)[0] if o.kind == "dot"]
    inside = sorted(o.shape for o in dots if o.in_loop)
    return inside, sorted(o.shape for o in dots if not o.in_loop)


def of_weights(name, shapes):
    """The shapes of recurrent weights or of their transposes, as that of the weight."""
    weights = (CELLS | REGULARIZED)[name][1]
    return sorted(w for s in shapes for w in {s, s[::-1]} if w in weights)


@pytest.mark.parametrize("name", CELLS | REGULARIZED)
def test_a_weight_has_one_gradient_product_and_it_is_after_the_loop(name):
    inside, outside = products(name)
    assert of_weights(name, inside) == []
    assert of_weights(name, outside) == sorted((CELLS | REGULARIZED)[name][1])


@every
def test_the_plain_loop_has_them_inside(name):
    """A check of the test above: it finds such products where they exist."""
    inside, outside = products(name, fused=False)
    assert of_weights(name, inside) == sorted(CELLS[name][1])
    assert of_weights(name, outside) == []


@every
def test_a_step_computes_each_product_once_forward_and_once_backward(name):
    inside, _ = products(name)
    _, weights, _ = CELLS[name]
    assert inside == sorted([(B, g) for _, g in weights] + [(B, h) for h, _ in weights])


@pytest.mark.parametrize(
    ("name", "lengths"), [*((name, False) for name in CELLS), ("lstm", True)]
)
def test_no_step_copies_a_buffer_and_nothing_copies_the_gates(name, lengths):
    copies = [o for o in gradient(name, True, lengths)[0] if o.kind in hlo.COPIES]
    assert not [o for o in copies if o.in_loop and o.size >= T * B * H]
    assert not [o for o in copies if o.size > T * B * H]  # [T, B, H]: empty buffers


@every
def test_memory_holds_what_must_be_kept_and_is_below_that_of_the_plain_loop(name):
    kept = CELLS[name][2]
    _, memory = gradient(name)
    assert memory < kept + 1.3  # one more of XLA's own, weights and single rows
    assert memory < 0.75 * gradient(name, fused=False)[1]
