"""One recurrent layer in JAX or in PyTorch, with one interface for all libraries.

A layer has a `cell`, the seqjax cell that computes the same function. Shared parameters
become the weights of its library in two differentiable steps:

    params of `cell` = adapt(shared params)
    weights = convert(params of `cell`)

so that the chain rule gives the gradients of the shared parameters. `adapt` is the
identity unless the library computes another function; `note` then names the difference.
"""

import dataclasses
import time
from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

import seqjax
from experiments.benchmarks import environment
from experiments.benchmarks.config import Shape, StandardCell

Params: TypeAlias = Any  # the parameters of a seqjax cell
Weights: TypeAlias = Any  # the parameters of a library's layer, a pytree
State: TypeAlias = Any  # the state of a seqjax cell
# (last state, ys, (gradient of weights, gradient of xs, gradient of the initial state))
Tensors: TypeAlias = tuple[State, Any, tuple[Weights, Any, State]]


class Problem(NamedTuple):
    """The inputs of every arm, as NumPy arrays.

    loss = sum(state_coefficients * last state) + sum(ys_coefficients * ys)
    """

    params: Params
    xs: np.ndarray  # [T, B, D]
    state: State
    state_coefficients: State
    ys_coefficients: np.ndarray  # [T, B, H]


def draw(
    cell: StandardCell,
    sizes: Shape,
    dtype: type[np.float32 | np.float64] = np.float32,
    seed: int = 0,
) -> Problem:
    """A random Problem.

    Args:
      cell: a cell of width H.
      sizes: (T, B, D, H).
      dtype: of all arrays.
      seed: random seed.
    """
    num_steps, batch_size, input_size, hidden_size = sizes
    rng = np.random.default_rng(seed)

    def normal(*shape: int) -> np.ndarray:
        return rng.normal(size=shape).astype(dtype)

    def like(tree: Any, scale: float) -> Any:
        return jax.tree.map(lambda a: normal(*a.shape) * dtype(scale), tree)

    params = jax.eval_shape(lambda k: cell.init(k, input_size), jax.random.key(0))
    state = jax.eval_shape(lambda: cell.initial_state((batch_size,)))
    return Problem(
        params=like(params, 0.5 * hidden_size**-0.5),
        xs=normal(num_steps, batch_size, input_size),
        state=like(state, 0.5),
        state_coefficients=like(state, 1.0),
        ys_coefficients=normal(num_steps, batch_size, hidden_size),
    )


def identity(params: Params) -> Params:
    """The parameters, unchanged."""
    return params


@dataclasses.dataclass(frozen=True)
class JaxLayer:
    """A layer of a JAX library: `apply(weights, xs, state) -> (state, ys)`."""

    cell: StandardCell
    apply: Callable[[Weights, jax.Array, State], tuple[State, jax.Array]]
    convert: Callable[[Params], Weights] = identity
    adapt: Callable[[Params], Params] = identity
    note: str = ""

    def load(self, problem: Problem, dtype: str | None = None) -> "LoadedJaxLayer":
        """The layer with the weights and inputs of a problem, compiled.

        Args:
          problem: the inputs.
          dtype: of all arrays; None leaves that of the problem.
        """
        return LoadedJaxLayer(self, problem, dtype)


class LoadedJaxLayer:
    """Two compiled programs, forward and forward+backward; weights are arguments.

    Attributes:
      compile_seconds: the compile time of forward+backward.
      temp_bytes: the memory of forward+backward by XLA's count, without arguments and
        results; None if XLA gives no count.
    """

    def __init__(
        self, layer: JaxLayer, problem: Problem, dtype: str | None = None
    ) -> None:
        problem = jax.tree.map(lambda a: jnp.asarray(a, dtype or a.dtype), problem)
        weights = layer.convert(layer.adapt(problem.params))
        self._args = weights, problem.xs, problem.state
        self._coefficients = problem.state_coefficients, problem.ys_coefficients

        def loss(
            weights: Weights, xs: jax.Array, state: State, coefficients: Any
        ) -> Any:
            results = jax.tree.leaves(layer.apply(weights, xs, state))
            pairs = zip(results, jax.tree.leaves(coefficients), strict=True)
            return sum(jnp.sum(a * b, dtype=_of_sums(a)) for a, b in pairs)

        self._forward = jax.jit(layer.apply).lower(*self._args).compile()
        start = time.perf_counter()
        gradient = jax.jit(jax.value_and_grad(loss, (0, 1, 2)))
        self._backward = gradient.lower(*self._args, self._coefficients).compile()
        self.compile_seconds: float | None = time.perf_counter() - start
        memory = self._backward.memory_analysis()
        self.temp_bytes: int | None = (
            None if memory is None else memory.temp_size_in_bytes
        )

    def forward(self) -> tuple[State, jax.Array]:
        """(last state, ys)."""
        return jax.block_until_ready(self._forward(*self._args))

    def backward(self) -> tuple[jax.Array, tuple[Weights, jax.Array, State]]:
        """(loss, gradients of weights, xs and initial state)."""
        return jax.block_until_ready(self._backward(*self._args, self._coefficients))

    def tensors(self) -> Tensors:
        """(last state, ys, (d_weights, d_xs, d_state))."""
        return *self.forward(), self.backward()[1]


def _of_sums(a: jax.Array) -> Any:
    return jnp.promote_types(a.dtype, jnp.float32)


@dataclasses.dataclass(frozen=True)
class TorchLayer:
    """A layer of torch.nn, which calls oneDNN on CPUs where oneDNN has the layer.

    `bfloat16` computes products in bfloat16, by torch.autocast.
    """

    cell: StandardCell
    bfloat16: bool = False
    adapt: Callable[[Params], Params] = identity
    note: str = ""

    def convert(self, params: Params) -> Weights:
        """Transposed weights, and a second bias only if the seqjax cell has one."""
        weights = {"weight_ih_l0": params.w_x.T, "weight_hh_l0": params.w_h.T}
        if isinstance(self.cell, seqjax.GRU):
            return weights | {"bias_ih_l0": params.b_x, "bias_hh_l0": params.b_h}
        return weights | {"bias_ih_l0": params.b}

    def load(self, problem: Problem, dtype: str | None = None) -> "LoadedTorchLayer":
        """The layer with the weights and inputs of a problem; see `JaxLayer.load`."""
        return LoadedTorchLayer(self, problem, dtype)


class LoadedTorchLayer:
    """The interface of LoadedJaxLayer in eager torch, which does not compile."""

    compile_seconds: float | None = None
    temp_bytes: int | None = None

    def __init__(
        self, layer: TorchLayer, problem: Problem, dtype: str | None = None
    ) -> None:
        import torch

        self._torch, self._problem = torch, problem
        kind = dtype or str(problem.xs.dtype)
        self._dtype = getattr(torch, kind)
        device = torch.get_default_device().type
        self._autocast = torch.autocast(device, torch.bfloat16, layer.bfloat16)
        self._module = _torch_module(layer.cell, problem.xs.shape[-1], self._dtype)
        self._weights: dict[str, Any] = {}
        params = jax.tree.map(jnp.asarray, problem.params)
        weights = layer.convert(layer.adapt(params))
        for name, parameter in self._module.named_parameters():
            if name in weights:
                parameter.data.copy_(self._tensor(weights[name]))
                self._weights[name] = parameter
            else:
                parameter.data.zero_()
                parameter.requires_grad_(False)
        leaves = jax.tree.leaves(problem.state)
        self._xs = self._tensor(problem.xs).requires_grad_()
        self._state = [self._tensor(s)[None].requires_grad_() for s in leaves]
        coefficients = problem.state_coefficients, problem.ys_coefficients
        self._coefficients = list(map(self._tensor, jax.tree.leaves(coefficients)))

    def _tensor(self, array: Any) -> Any:
        return self._torch.as_tensor(np.array(array)).to(self._dtype)

    def _run(self) -> tuple[Any, ...]:
        h = self._state[0] if len(self._state) == 1 else tuple(self._state)
        with self._autocast:
            ys, last = self._module(self._xs, h)
        return (*last, ys) if isinstance(last, tuple) else (last, ys)

    def forward(self) -> tuple[Any, ...]:
        """(*last state, ys)."""
        with self._torch.inference_mode():
            results = self._run()
        environment.synchronize_torch()
        return results

    def backward(self) -> tuple[Any, tuple[Any, ...]]:
        """(loss, gradients of weights, xs and initial state in one flat tuple)."""
        pairs = zip(self._run(), self._coefficients, strict=True)
        kind = self._torch.promote_types(self._dtype, self._torch.float32)
        loss: Any = sum((a * b).sum(dtype=kind) for a, b in pairs)
        inputs = [*self._weights.values(), self._xs, *self._state]
        gradients = self._torch.autograd.grad(loss, inputs)
        environment.synchronize_torch()
        return loss, gradients

    def tensors(self) -> Tensors:
        """(last state, ys, (d_weights, d_xs, d_state)) as NumPy arrays."""
        kind = self._torch.promote_types(self._dtype, self._torch.float32)
        *last, ys = (np.asarray(a.to(kind).cpu()) for a in self.forward())
        grads = [np.asarray(a.to(kind).cpu()) for a in self.backward()[1]]
        d_weights = {name: grads.pop(0) for name in self._weights}
        d_xs, *d_state = grads
        return self._to_state(last), ys, (d_weights, d_xs, self._to_state(d_state))

    def _to_state(self, leaves: list[np.ndarray]) -> State:
        tree = jax.tree.structure(self._problem.state)
        return jax.tree.unflatten(tree, [leaf[0] for leaf in leaves])


def _torch_module(cell: StandardCell, input_size: int, dtype: Any) -> Any:
    """The layer of torch.nn with its own random weights."""
    import torch

    kwargs: dict[str, Any] = {"dtype": dtype}
    if isinstance(cell, seqjax.RNN):
        kwargs["nonlinearity"] = cell.activation
    module = getattr(torch.nn, type(cell).__name__)
    return module(input_size, cell.hidden_size, **kwargs)


Layer: TypeAlias = JaxLayer | TorchLayer
LoadedLayer: TypeAlias = LoadedJaxLayer | LoadedTorchLayer
