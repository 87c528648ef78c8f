"""The compiled loops of `unroll` for a GPU: few kernels, none that moves a weight."""

import jax
import jax.numpy as jnp
import pytest

import seqjax
from tests import gpu_compiler
from tests.law_cells import MGU

pytestmark = pytest.mark.skipif(
    not gpu_compiler.is_installed(),
    reason='the compiler for GPUs is not installed: pip install "seqjax[gpu-compile]"',
)

T, B, D = 70, 20, 400
CELLS = {  # cell, number of products in a step
    "lstm": (seqjax.LSTM, 1),
    "gru": (seqjax.GRU, 1),
    "rnn": (seqjax.RNN, 1),
    "mgu": (MGU, 2),  # its second product reads the result of the first
}


def kernels(cell, dtype):
    """The kernels of one step, forward and backward."""
    params = jax.eval_shape(lambda: cell.init(jax.random.key(0), D))
    params = jax.tree.map(lambda p: jax.ShapeDtypeStruct(p.shape, dtype), params)

    def loss(params, xs):
        ys = seqjax.unroll(cell, params, xs)[1].astype(jnp.float32)
        return jnp.sum(jnp.sin(ys))

    text = gpu_compiler.compiled_text(
        jax.grad(loss, (0, 1)), params, jax.ShapeDtypeStruct((T, B, D), dtype)
    )
    forward, backward = gpu_compiler.kernels_of_loops(text)
    return forward, backward


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("size", [256, 650, 768, 1150])
@pytest.mark.parametrize("name", CELLS)
def test_a_step_has_few_kernels_and_moves_no_weight(name, size, dtype):
    """A product, the pointwise part, a row that is written, an operand that is padded.

    A second product that needs the first adds a product and a pointwise kernel.
    """
    num_products = CELLS[name][1]
    for loop in kernels(CELLS[name][0](size), dtype):
        assert len(loop) <= 4 + 2 * (num_products - 1), loop
        assert check_products(loop, size) == num_products, loop


def check_products(loop, size):
    """No kernel but the products writes so much; the number of products."""
    products = [kernel for kernel in loop if "gemm" in kernel or "dot" in kernel]
    for kernel in loop.keys() - products:
        # Rows are written in place into buffers of all T steps.
        rows = [n for n in loop[kernel] if n % (T * B)]
        assert max(rows, default=0) < size * size, (kernel, loop)
    return len(products)


@pytest.mark.parametrize("size", [256, 650])
@pytest.mark.parametrize("name", ["lstm", "gru"])
def test_both_directions_are_in_one_loop(name, size):
    """A step reads a row for each direction, which is one more kernel."""
    cell = seqjax.Bidirectional(CELLS[name][0](size))
    for loop in kernels(cell, "float32"):
        assert len(loop) <= 6, loop
        assert check_products(loop, size) == 1, loop
