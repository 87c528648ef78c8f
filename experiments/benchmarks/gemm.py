"""The matrix products of a recurrent layer without the rest of the layer.

forward    Z = X W_x once, then h W_h at each of T steps
backward   dz W_h' at each of T steps, then dW_x = X' dZ, dW_h = H' dZ, dX = dZ W_x'

GH is the number of gates times H; ' is the transpose. These plain calls bound the speed
of a layer, except that oneDNN is slightly faster: it packs the weights once for all
steps.
"""

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from experiments.benchmarks import environment, timing
from experiments.benchmarks.config import Shape

GATES = {"lstm": 4, "gru": 3, "rnn": 1}

Arrays: TypeAlias = Mapping[str, Any]
Programs: TypeAlias = dict[str, Callable[[], Any]]  # project, forward, backward


def flops(sizes: Shape, gates: int) -> int:
    """Floating-point operations of all products in forward+backward.

    A third of them belong to forward.

    Args:
      sizes: (T, B, D, H).
      gates: G.
    """
    num_steps, batch_size, input_size, hidden_size = sizes
    rows = num_steps * batch_size
    return 3 * 2 * rows * gates * hidden_size * (input_size + hidden_size)


def measure(sizes: Shape, gates: int, rounds: int) -> dict[str, Any]:
    """The time of the products in JAX or in torch, whichever is faster.

    Args:
      sizes: (T, B, D, H).
      gates: G.
      rounds: timed calls.

    Returns:
      {"products": {"forward": spread, "backward": spread, "gflops"}, "peak_gflops"};
      "backward" includes forward, and the peak is the rate of X W_x alone or of all
      products, whichever is higher (for small D it is the latter).
    """
    arrays = _draw(sizes, gates)
    programs = {"jax": _jax_products(arrays)}
    if environment.installed("torch"):
        programs["torch"] = _torch_products(arrays)
    best = {}
    for kind in ("forward", "backward", "project"):
        calls = {name: calls[kind] for name, calls in programs.items()}
        spreads = timing.spreads(timing.time_calls(calls, rounds))
        best[kind] = min(spreads.values(), key=lambda spread: spread["median"])
    num_steps, batch_size, input_size, hidden_size = sizes
    projection = 2 * num_steps * batch_size * input_size * gates * hidden_size
    peak = projection / best.pop("project")["median"] / 1e9
    gflops = flops(sizes, gates) / best["backward"]["median"] / 1e9
    return {"products": best | {"gflops": gflops}, "peak_gflops": max(peak, gflops)}


def _draw(sizes: Shape, gates: int) -> dict[str, np.ndarray]:
    """xs, hs, dzs, w_x, w_h and the transposed weights, contiguous, float32."""
    num_steps, batch_size, input_size, hidden_size = sizes
    rng = np.random.default_rng(0)

    def normal(*shape: int) -> np.ndarray:
        return rng.normal(size=shape).astype(np.float32)

    w_x = normal(input_size, gates * hidden_size)
    w_h = normal(hidden_size, gates * hidden_size)
    return {
        "xs": normal(num_steps * batch_size, input_size),
        "hs": normal(num_steps, batch_size, hidden_size),
        "dzs": normal(num_steps, batch_size, gates * hidden_size),
        "w_x": w_x,
        "w_h": w_h,
        "w_x_t": np.ascontiguousarray(w_x.T),
        "w_h_t": np.ascontiguousarray(w_h.T),
    }


def _jax_products(arrays: Arrays) -> Programs:
    arrays = {name: jnp.asarray(array) for name, array in arrays.items()}

    def repeat(vs: jax.Array, w: jax.Array) -> jax.Array:
        """Compute v @ w for each v of vs [T, ...]; return the last product."""

        def body(_: jax.Array, v: jax.Array) -> tuple[jax.Array, None]:
            return v @ w, None

        last = jnp.zeros((vs.shape[1], w.shape[1]), vs.dtype)
        return jax.lax.scan(body, last, vs)[0]

    def project(a: Arrays) -> Any:
        return a["xs"] @ a["w_x"]

    def forward(a: Arrays) -> Any:
        return project(a), repeat(a["hs"], a["w_h"])

    def backward(a: Arrays) -> Any:
        dz, h = (v.reshape(-1, v.shape[-1]) for v in (a["dzs"], a["hs"]))
        deferred = a["xs"].T @ dz, h.T @ dz, dz @ a["w_x_t"]
        return forward(a), repeat(a["dzs"], a["w_h_t"]), deferred

    def blocking(function: Callable[[Arrays], Any]) -> Callable[[], Any]:
        compiled = jax.jit(function).lower(arrays).compile()
        return lambda: jax.block_until_ready(compiled(arrays))

    return {f.__name__: blocking(f) for f in (project, forward, backward)}


def _torch_products(arrays: Arrays) -> Programs:
    import torch

    a = {name: torch.as_tensor(array) for name, array in arrays.items()}
    dz, h = a["dzs"].flatten(0, 1), a["hs"].flatten(0, 1)

    def project() -> Any:
        return a["xs"] @ a["w_x"]

    def forward() -> Any:
        return project(), [v @ a["w_h"] for v in a["hs"]][-1]

    def backward() -> Any:
        forward()
        last = [v @ a["w_h_t"] for v in a["dzs"]][-1]
        return last, a["xs"].T @ dz, h.T @ dz, dz @ a["w_x_t"]

    def synchronous(function: Callable[[], Any]) -> Callable[[], Any]:
        def call() -> None:
            function()
            environment.synchronize_torch()

        return call

    return {f.__name__: synchronous(f) for f in (project, forward, backward)}
