"""What XLA makes of the gradient of `unroll`: products, copies and memory.

These tests read compiled text, since what they guard shows in no value: a weight
gradient that is carried through the loop, a product made twice, a copied buffer.
T, B, D and H are primes, so that a shape says what an array is.
"""

import functools

import jax
import jax.numpy as jnp
import pytest

import seqjax
from tests import hlo, quick
from tests.test_fused import MGU

pytestmark = pytest.mark.optimized

T, B, D, H = 37, 11, 13, 17
CELLS = {  # (cell, shapes of its recurrent weights, [T, B, H] arrays it has to keep)
    # The gates, which come in the place of the projections, and h before each step.
    "rnn": (seqjax.RNN(H), [(H, H)], 1 + 1),
    # The same, and c after each step and before it.
    "lstm": (seqjax.LSTM(H), [(H, 4 * H)], 4 + 1 + 2),
    # Projections and products apart, since a reset gate stands between, and h.
    "gru": (seqjax.GRU(H), [(H, 3 * H)], 3 + 3 + 1),
    # Likewise, and r * h, the other left operand.
    "gru_textbook": (seqjax.GRU(H, False), [(H, 2 * H), (H, H)], 3 + 3 + 2),
    "mgu": (MGU(H), [(H, H), (H, H)], 2 + 2 + 2),
}
every = pytest.mark.parametrize("name", CELLS)


@functools.cache
def gradient(name, fused=True, lengths=False):
    """Its operations, and its temporary memory as a number of [T, B, H] arrays."""
    cell, *_ = CELLS[name]
    params = cell.init(jax.random.key(0), D)
    args = (params, jnp.zeros((T, B, D)), cell.initial_state((B,)))
    lengths = jnp.full(B, T) if lengths else None

    def outputs(*args):
        return seqjax.unroll(cell, *args, lengths, fused=fused)

    @jax.jit
    def run(args, cotangents):
        values, pull = jax.vjp(outputs, *args)
        return values, pull(cotangents)

    program = run.lower(args, jax.eval_shape(outputs, *args)).compile()
    memory = program.memory_analysis().temp_size_in_bytes
    return hlo.operations(program.as_text()), memory / (4 * T * B * H)


def products(name, fused=True):
    """Shapes of the products in the loops, and of those outside."""
    dots = [o for o in gradient(name, fused)[0] if o.kind == "dot"]
    inside = sorted(o.shape for o in dots if o.in_loop)
    return inside, sorted(o.shape for o in dots if not o.in_loop)


def of_weights(name, shapes):
    """Those shapes that are of a recurrent weight, which comes before its transpose."""
    weights = CELLS[name][1]
    return sorted(w for s in shapes for w in {s, s[::-1]} if w in weights)


@every
def test_a_weight_has_one_gradient_product_and_it_is_after_the_loop(name):
    inside, outside = products(name)
    assert of_weights(name, inside) == []
    assert of_weights(name, outside) == sorted(CELLS[name][1])


@every
def test_the_plain_loop_has_them_within(name):
    """What the test above would miss if it read the text wrong."""
    inside, outside = products(name, fused=False)
    assert of_weights(name, inside) == sorted(CELLS[name][1])
    assert of_weights(name, outside) == []


@every
def test_a_step_makes_each_product_once_forwards_and_once_backwards(name):
    inside, _ = products(name)
    _, weights, _ = CELLS[name]
    assert inside == sorted([(B, g) for _, g in weights] + [(B, h) for h, _ in weights])


@pytest.mark.parametrize(
    ("name", "lengths"), [*((name, False) for name in CELLS), ("lstm", True)]
)
def test_no_step_copies_a_buffer_and_nothing_copies_the_gates(name, lengths):
    copies = [o for o in gradient(name, True, lengths)[0] if o.kind in hlo.COPIES]
    assert not [o for o in copies if o.in_loop and o.size >= T * B * H]
    assert not [o for o in copies if o.size > T * B * H]  # those of H start empty


@every
def test_memory_is_for_what_has_to_be_kept_and_less_than_the_plain_loop_takes(name):
    kept = CELLS[name][2]
    _, memory = gradient(name)
    assert memory < kept + 1.3  # one more that XLA sets aside, weights and single rows
    assert memory < 0.75 * gradient(name, fused=False)[1]


def test_programs_here_are_compiled_as_users_do(monkeypatch):
    """Not with the options of tests/quick.py, as tests/test_quick.py has it."""
    monkeypatch.setitem(quick.OPTIONS, "xla_no_such_option", 0)
    assert float(jax.jit(lambda x: x + 1)(1.0)) == 2.0
