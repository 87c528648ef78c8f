"""The compiled searches for a GPU: few kernels beside those of the model."""

from functools import partial

import jax
import jax.numpy as jnp
import pytest

import seqjax
from seqjax import decoding
from seqjax.models.seq2seq import Seq2Seq
from tests import gpu_compiler

pytestmark = pytest.mark.skipif(
    not gpu_compiler.is_installed(),
    reason='the compiler for GPUs is not installed: pip install "seqjax[gpu-compile]"',
)

V, H, T, L, B = 8000, 512, 25, 40, 32
MODEL = Seq2Seq(V, V, seqjax.GRU(H), (seqjax.GRU(H),), H, "general")


def kernels_of(run):
    """The kernels of the largest loop of `run(step, state, encoded)`."""

    def whole(params, source, lengths):
        state, encoded = MODEL.start(params, source, lengths)
        return run(partial(MODEL.step, params), state, encoded)

    params = jax.eval_shape(lambda: MODEL.init(jax.random.key(0)))
    text = gpu_compiler.compiled_text(
        whole,
        params,
        jax.ShapeDtypeStruct((T, B), jnp.int32),
        jax.ShapeDtypeStruct((B,), jnp.int32),
    )
    return max(gpu_compiler.kernels_of_loops(text), key=len)


def steps_alone(width):
    """A loop of as many model steps without a search."""

    def run(step, state, encoded):
        step = jax.vmap(jax.vmap(step, (0, 0, None)), (0, 0, 0))
        state = jax.tree.map(lambda s: jnp.stack([s] * width, axis=1), state)

        def body(_, carry):
            state, tokens = carry
            state, logits = step(state, tokens, encoded)
            # The tokens stay the same, but XLA cannot drop the computation of logits.
            return state, jnp.where(logits[..., 0] > 1e9, 3, tokens)

        return jax.lax.fori_loop(0, L, body, (state, jnp.full((B, width), 2)))

    return kernels_of(run)


OPTIONS = {"bos": 2, "eos": 3, "max_length": L}


@pytest.mark.parametrize("beam_size", [5, 10])
def test_a_beam_search_adds_few_kernels_and_moves_no_history(beam_size):
    def run(step, state, encoded):
        how = {"beam_size": beam_size, "n_best": 1, "context": encoded}
        return decoding.beam_search(step, state, **OPTIONS, **how)

    loop = kernels_of(run)
    assert len(loop) - len(steps_alone(beam_size)) <= 18, loop
    logits = B * beam_size * V
    assert sum(max(sizes) >= logits for sizes in loop.values()) <= 2, loop
    history = [name for name, sizes in loop.items() if B * beam_size * L in sizes]
    assert len(history) == 1 and "dynamic_update_slice" in history[0], history


@pytest.mark.parametrize("how", [{}, {"top_k": 16}, {"top_p": 0.9}], ids=str)
def test_sampling_adds_few_kernels(how):
    def run(step, state, encoded):
        key = jax.random.key(0)
        options = {**OPTIONS, **how, "num_samples": 5, "context": encoded}
        return decoding.sample(step, state, key, **options)

    loop = kernels_of(run)
    assert len(loop) - len(steps_alone(5)) <= 16, loop
