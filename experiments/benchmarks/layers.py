"""One recurrent layer in each library, from the same weights, behind one signature.

A layer knows its `cell`, the seqjax cell that is the same model, and gets its weights
in two steps, both differentiable, so that gradients come back by them:

    ours(params)    parameters shared by all arms -> parameters of `cell`
    take(params)    parameters of `cell` -> the library's own weights

`ours` is the identity unless the library has another model; `note` then says which.
"""

import dataclasses
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import seqjax


class Problem(NamedTuple):
    """What every arm is given, as NumPy arrays.

    The loss is sum(mix_state * last state) + sum(mix * ys).
    """

    params: Any
    xs: Any  # [T, B, D]
    state: Any
    mix_state: Any
    mix: Any  # [T, B, H]


def draw(cell, sizes, dtype=np.float32, seed=0):
    """A random Problem for `cell` of sizes (T, B, D, H)."""
    num_steps, batch, width, hidden = sizes
    rng = np.random.default_rng(seed)

    def normal(*shape):
        return rng.normal(size=shape).astype(dtype)

    def like(tree, scale):
        return jax.tree.map(lambda a: normal(*a.shape) * dtype(scale), tree)

    params = jax.eval_shape(lambda k: cell.init(k, width), jax.random.key(0))
    state = jax.eval_shape(lambda: cell.initial_state((batch,)))
    return Problem(
        params=like(params, 0.5 * hidden**-0.5),
        xs=normal(num_steps, batch, width),
        state=like(state, 0.5),
        mix_state=like(state, 1.0),
        mix=normal(num_steps, batch, hidden),
    )


def same(params):
    """The identity."""
    return params


@dataclasses.dataclass(frozen=True)
class JaxLayer:
    """A JAX library's: apply(weights, xs, state) -> (state, ys), as `unroll`."""

    cell: Any
    apply: Callable
    take: Callable = same
    ours: Callable = same
    note: str = ""

    def load(self, problem):
        """The layer with the problem's weights and inputs, ready to compile."""
        return JaxRun(self, problem)


class JaxRun:
    """Forward, and forward+backward in one program, compiled; weights are arguments.

    Attributes:
      compile_seconds: of forward+backward.
      temp_bytes: what XLA says forward+backward needs beside arguments and results.
    """

    def __init__(self, layer, problem):
        problem = jax.tree.map(jnp.asarray, problem)
        weights = layer.take(layer.ours(problem.params))
        self._args = weights, problem.xs, problem.state
        self._mix = problem.mix_state, problem.mix

        def loss(weights, xs, state, mix):
            results = jax.tree.leaves(layer.apply(weights, xs, state))
            pairs = zip(results, jax.tree.leaves(mix), strict=True)
            return sum(jnp.sum(a * b) for a, b in pairs)

        self._forward = jax.jit(layer.apply).lower(*self._args).compile()
        clock = time.perf_counter()
        gradient = jax.jit(jax.value_and_grad(loss, (0, 1, 2)))
        self._backward = gradient.lower(*self._args, self._mix).compile()
        self.compile_seconds = time.perf_counter() - clock
        self.temp_bytes = self._backward.memory_analysis().temp_size_in_bytes

    def forward(self):
        """(last state, ys)."""
        return jax.block_until_ready(self._forward(*self._args))

    def backward(self):
        """(loss, gradients of weights, xs and initial state)."""
        return jax.block_until_ready(self._backward(*self._args, self._mix))

    def tensors(self):
        """(last state, ys, (d_weights, d_xs, d_state))."""
        return *self.forward(), self.backward()[1]


@dataclasses.dataclass(frozen=True)
class TorchLayer:
    """torch.nn's layer; on a CPU that is oneDNN's where it has one."""

    cell: Any
    bfloat16: bool = False  # by autocast
    ours: Callable = same
    note: str = ""

    def take(self, params):
        """Transposed weights; a second bias only where it is a parameter of ours."""
        weights = {"weight_ih_l0": params.w_x.T, "weight_hh_l0": params.w_h.T}
        if isinstance(self.cell, seqjax.GRU):
            return weights | {"bias_ih_l0": params.b_x, "bias_hh_l0": params.b_h}
        return weights | {"bias_ih_l0": params.b}

    def load(self, problem):
        """The layer with the problem's weights and inputs."""
        return TorchRun(self, problem)


class TorchRun:
    """Like JaxRun, in eager torch; there is nothing to compile."""

    compile_seconds = temp_bytes = None

    def __init__(self, layer, problem):
        import torch

        self._torch, self._problem = torch, problem
        self._autocast = torch.autocast("cpu", torch.bfloat16, layer.bfloat16)
        kwargs = {"dtype": torch.from_numpy(problem.xs).dtype}
        if isinstance(layer.cell, seqjax.RNN):
            kwargs["nonlinearity"] = layer.cell.activation
        module = getattr(torch.nn, type(layer.cell).__name__)
        self._module = module(problem.xs.shape[-1], layer.cell.hidden_size, **kwargs)
        self._weights = {}
        params = jax.tree.map(jnp.asarray, problem.params)
        weights = layer.take(layer.ours(params))
        for name, parameter in self._module.named_parameters():
            if name in weights:
                parameter.data.copy_(torch.from_numpy(np.array(weights[name])))
                self._weights[name] = parameter
            else:
                parameter.data.zero_()
                parameter.requires_grad_(False)
        leaves = jax.tree.leaves(problem.state)
        self._xs = torch.from_numpy(problem.xs).requires_grad_()
        self._state = [torch.from_numpy(s)[None].requires_grad_() for s in leaves]
        mix = jax.tree.leaves((problem.mix_state, problem.mix))
        self._mix = [torch.from_numpy(m) for m in mix]

    def _run(self):
        h = self._state[0] if len(self._state) == 1 else tuple(self._state)
        with self._autocast:
            ys, last = self._module(self._xs, h)
        return (*last, ys) if isinstance(last, tuple) else (last, ys)

    def forward(self):
        """(*last state, ys)."""
        with self._torch.inference_mode():
            return self._run()

    def backward(self):
        """(loss, gradients of weights, xs and initial state in one flat tuple)."""
        loss = sum((a * b).sum() for a, b in zip(self._run(), self._mix, strict=True))
        inputs = [*self._weights.values(), self._xs, *self._state]
        return loss, self._torch.autograd.grad(loss, inputs)

    def tensors(self):
        """(last state, ys, (d_weights, d_xs, d_state)) as NumPy arrays."""
        *last, ys = (np.asarray(a.to(self._xs.dtype)) for a in self.forward())
        grads = list(map(np.asarray, self.backward()[1]))
        d_weights = {name: grads.pop(0) for name in self._weights}
        d_xs, *d_state = grads
        return self._like_ours(last), ys, (d_weights, d_xs, self._like_ours(d_state))

    def _like_ours(self, state):
        tree = jax.tree.structure(self._problem.state)
        return jax.tree.unflatten(tree, [s[0] for s in state])
