"""The matrix products of a recurrent layer and nothing else, as plain calls.

A layer comes near this or, with weights packed once for all steps, as oneDNN does,
slightly below.

forward    Z = X W_x once, then h W_h at each of T steps
backward   dz W_h' at each of T steps, then dW_x = X' dZ, dW_h = H' dZ, dX = dZ W_x'

GH is the number of gates times H; ' is the transpose.
"""

import jax
import jax.numpy as jnp
import numpy as np

from experiments.benchmarks import timing

GATES = {"lstm": 4, "gru": 3, "rnn": 1}


def flops(sizes, gates):
    """Of the products of forward+backward; a third of them are the forward's."""
    num_steps, batch, width, hidden = sizes
    return 3 * 2 * num_steps * batch * gates * hidden * (width + hidden)


def measure(sizes, gates, rounds):
    """The products by the better of JAX and torch, and the machine's peak.

    The peak is the rate of X W_x alone, or of all products where D is so small that
    theirs is higher.

    Returns:
      {"products": {"forward", "backward" (both): spreads, "gflops"}, "peak_gflops"}.
    """
    arrays = _draw(sizes, gates)
    programs = {"jax": _jax_products(arrays)}
    if timing.installed("torch"):
        programs["torch"] = _torch_products(arrays)
    best = {}
    for kind in ("forward", "backward", "project"):
        calls = {name: timing.warmed(calls[kind]) for name, calls in programs.items()}
        seconds = timing.take_turns(calls, rounds)
        spreads = [timing.spread(times) for times in seconds.values()]
        best[kind] = min(spreads, key=lambda times: times["median"])
    num_steps, batch, width, hidden = sizes
    projected = 2 * num_steps * batch * width * gates * hidden
    peak = projected / best.pop("project")["median"] / 1e9
    gflops = flops(sizes, gates) / best["backward"]["median"] / 1e9
    return {"products": best | {"gflops": gflops}, "peak_gflops": max(peak, gflops)}


def _draw(sizes, gates):
    """xs, hs, dzs, w_x, w_h and their transposes, contiguous, float32."""
    num_steps, batch, width, hidden = sizes
    rng = np.random.default_rng(0)

    def normal(*shape):
        return rng.normal(size=shape).astype(np.float32)

    w_x, w_h = normal(width, gates * hidden), normal(hidden, gates * hidden)
    return {
        "xs": normal(num_steps * batch, width),
        "hs": normal(num_steps, batch, hidden),
        "dzs": normal(num_steps, batch, gates * hidden),
        "w_x": w_x,
        "w_h": w_h,
        "w_x_t": np.ascontiguousarray(w_x.T),
        "w_h_t": np.ascontiguousarray(w_h.T),
    }


def _jax_products(arrays):
    arrays = jax.tree.map(jnp.asarray, arrays)

    def repeat(vs, w):
        """The last of the products v w, each of them computed."""

        def body(_, v):
            return v @ w, None

        last = jnp.zeros((vs.shape[1], w.shape[1]), vs.dtype)
        return jax.lax.scan(body, last, vs)[0]

    def project(a):
        return a["xs"] @ a["w_x"]

    def forward(a):
        return project(a), repeat(a["hs"], a["w_h"])

    def backward(a):
        dz, h = (v.reshape(-1, v.shape[-1]) for v in (a["dzs"], a["hs"]))
        deferred = a["xs"].T @ dz, h.T @ dz, dz @ a["w_x_t"]
        return forward(a), repeat(a["dzs"], a["w_h_t"]), deferred

    def blocked(function):
        compiled = jax.jit(function).lower(arrays).compile()
        return lambda: jax.block_until_ready(compiled(arrays))

    return {f.__name__: blocked(f) for f in (project, forward, backward)}


def _torch_products(arrays):
    import torch

    a = {name: torch.from_numpy(array) for name, array in arrays.items()}
    dz, h = a["dzs"].flatten(0, 1), a["hs"].flatten(0, 1)

    def project():
        return a["xs"] @ a["w_x"]

    def forward():
        return project(), [v @ a["w_h"] for v in a["hs"]][-1]

    def backward():
        forward()
        last = [v @ a["w_h_t"] for v in a["dzs"]][-1]
        return last, a["xs"].T @ dz, h.T @ dz, dz @ a["w_x_t"]

    return {f.__name__: f for f in (project, forward, backward)}
