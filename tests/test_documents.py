"""The cell that WORKSPACE.md shows is a cell."""

import re
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import seqjax

ROOT = Path(__file__).parent.parent


def cell_class():
    """The class in the code of WORKSPACE.md."""
    text = (ROOT / "WORKSPACE.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    names = {}
    exec(code, names)
    return names["MGU"]


def numpy_mgu(params, xs):
    """The minimal gated unit as Zhou et al. write it, one step after the other."""
    w_f, w_h, b = params["w_f"], params["w_h"], params["b"]
    h, ys = np.zeros((xs.shape[1], len(w_f))), []
    for x in xs:
        x_f, x_h = np.split(x @ params["w_x"] + b, 2, axis=-1)
        f = 1 / (1 + np.exp(-(x_f + h @ w_f)))
        h = (1 - f) * h + f * np.tanh(x_h + (f * h) @ w_h)
        ys.append(h)
    return np.stack(ys)


def test_the_cell_of_15_lines_is_a_cell(x64):
    cell = cell_class()(5)
    params = jax.tree.map(
        lambda p: p.astype(jnp.float64) + 0.1, cell.init(jax.random.key(0), 3)
    )
    xs = jnp.asarray(np.random.default_rng(0).normal(size=(6, 4, 3)))
    last, ys = seqjax.unroll(cell, params, xs)
    want = numpy_mgu(jax.tree.map(np.asarray, params), np.asarray(xs))
    np.testing.assert_allclose(ys, want, atol=1e-12)
    np.testing.assert_allclose(last, want[-1], atol=1e-12)


@pytest.mark.parametrize("reverse", [False, True])
def test_its_gradients_are_those_of_the_plain_loop(reverse, x64):
    cell = seqjax.Stack((cell_class()(5), cell_class()(4)))
    params = jax.tree.map(
        lambda p: p.astype(jnp.float64) + 0.1, cell.init(jax.random.key(0), 3)
    )
    xs = jnp.asarray(np.random.default_rng(0).normal(size=(6, 4, 3)))
    lengths = jnp.asarray([6, 0, 2, 5])

    def loss(params, xs, fused):
        _, ys = seqjax.unroll(cell, params, xs, None, lengths, reverse, fused=fused)
        return jnp.sum(
            jnp.sin(ys) * jnp.arange(ys.size, dtype=ys.dtype).reshape(ys.shape)
        )

    fused, plain = (jax.grad(loss, (0, 1))(params, xs, how) for how in (True, False))
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, atol=1e-10), fused, plain
    )
