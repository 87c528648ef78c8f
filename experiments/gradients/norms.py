"""Norms of dL/dh_t for L = <u, h_T>, with full and truncated backpropagation."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.common.backprop import BackpropConfig
from experiments.gradients.networks import Network
from seqjax import truncation
from seqjax.gradient_flow import state_gradients

DRAWS = 1000  # random truncations whose mean gradient is measured
SHOWN = 20  # random truncations that are shown one by one
PERIOD, KEEP = 20, 0.95  # of the truncations, unless the settings give others
DISTANCES = (0, 1, 10, 20, 50, 100, 200, 500)  # in summary.json, and the largest


class Norms(NamedTuple):
    """Norms of gradients at distances T - t = 0, 1, ... from L = <u, h_T>."""

    hidden: np.ndarray  # [T], of dL/dh_t, mean over sequences
    memory: np.ndarray | None  # [T], of dL/dc_t of an LSTM
    of_parameters: float  # global norm of the gradient of the mean L
    clip_factor: float  # by which gradient clipping multiplies all gradients

    @property
    def per_step(self) -> float:
        """The factor per step over the second half of the distances."""
        half = (len(self.hidden) - 1) // 2
        near, far = self.hidden[half], self.hidden[-1]
        steps = len(self.hidden) - 1 - half
        return float((far / near) ** (1 / steps)) if near > 0 else 0.0

    def summary(self) -> dict[str, Any]:
        """The entries of summary.json."""
        last = len(self.hidden) - 1
        at = [*(d for d in DISTANCES if d < last), last]
        return {
            "norm_by_distance": {str(d): float(self.hidden[d]) for d in at},
            "factor_per_step": self.per_step,
            "parameter_gradient_norm": self.of_parameters,
            "clip_factor": self.clip_factor,
        }


def measure_norms(network: Network, seed: int, clip_norm: float) -> Norms:
    """The Norms of full backpropagation.

    Args:
      network: the network.
      seed: seed of u.
      clip_norm: theta of gradient clipping; 0 does not clip.
    """
    num_steps, batch_size = network.xs.shape[:2]
    states, of_params = _make_gradients(network, seed)(jnp.ones(num_steps))
    squares = sum(np.sum(np.asarray(g, np.float64) ** 2) for g in of_params)
    of_parameters = float(np.sqrt(squares)) / batch_size
    memory = _norms(states.c) if hasattr(states, "c") else None
    factor = min(1.0, clip_norm / max(of_parameters, 1e-30)) if clip_norm else 1.0
    return Norms(_norms(_hidden(states)), memory, of_parameters, factor)


def measure_truncated(
    network: Network, backprop: BackpropConfig, seed: int
) -> dict[str, np.ndarray]:
    """{kind of backpropagation: norms [T], or [SHOWN, T] of single draws}.

    Args:
      network: the network.
      backprop: the period and the probability of the truncations, where given.
      seed: seed of u and of the random truncations.
    """
    gradients, num_steps = _make_gradients(network, seed), len(network.xs)
    period = backprop.backprop_steps or PERIOD
    keep = backprop.backprop_keep or KEEP
    keys = jax.random.split(jax.random.key(seed), DRAWS)

    def draw(key: jax.Array) -> jax.Array:
        factors = truncation.random_factors(key, num_steps, keep)
        return _hidden(gradients(factors)[0])

    def add(total: jax.Array, key: jax.Array) -> tuple[jax.Array, None]:
        return total + draw(key) / DRAWS, None

    # One draw at a time: all of them would take gigabytes.
    mean, _ = jax.lax.scan(add, jnp.zeros_like(draw(keys[0])), keys)
    full = gradients(jnp.ones(num_steps))[0]
    fixed = gradients(truncation.fixed_factors(num_steps, period))[0]
    return {
        "full": _norms(_hidden(full)),
        f"truncated every {period} steps": _norms(_hidden(fixed)),
        f"randomized (keep {keep:g}), single draws": np.stack(
            [_norms(draw(key)) for key in keys[:SHOWN]]
        ),
        f"randomized, mean gradient of {DRAWS:,} draws": _norms(mean),
    }


def norms_table(found: Mapping[str, Norms], truncated: Mapping[str, np.ndarray]) -> str:
    """Tab-separated values: one line per distance, one column per curve."""
    columns = {}
    for name, norms in found.items():
        columns[name] = norms.hidden
        columns[f"{name}, clipped"] = norms.hidden * norms.clip_factor
        if norms.memory is not None:
            columns[f"{name}, memory c"] = norms.memory
    for name, curves in truncated.items():
        columns[f"by {name}"] = np.atleast_2d(curves)[0]
    lines = ["\t".join(["distance", *columns])]
    for d, row in enumerate(zip(*columns.values(), strict=True)):
        lines.append("\t".join([str(d), *(f"{x:.6g}" for x in row)]))
    return "\n".join(lines) + "\n"


def _make_gradients(network: Network, seed: int) -> Callable[[jax.Array], Any]:
    """xi [T] -> (dL/ds_t, gradient of the parameters) of L = sum_b <u_b, h_T,b>."""
    cell, params, xs = network
    shape = (xs.shape[1], cell.output_size)
    u = jax.random.normal(jax.random.key(seed), shape, xs.dtype)
    u = u / jnp.linalg.norm(u, axis=-1, keepdims=True)  # [B, H]

    @jax.jit
    def gradients(params: Any, xs: jax.Array, factors: jax.Array) -> Any:
        def loss(state: Any) -> jax.Array:
            return jnp.sum(u * _hidden(state))

        return state_gradients(cell, params, xs, loss, factors)

    return lambda factors: gradients(params, xs, factors)


def _hidden(state: Any) -> jax.Array:
    """h of a state, which is h itself for an RNN and a GRU."""
    return getattr(state, "h", state)


def _norms(gradients: Any) -> np.ndarray:
    """dL/ds [T, B, H] -> the mean norm at each distance [T]."""
    gradients = np.asarray(gradients, np.float64)  # squares of 1e-25 underflow float32
    return np.linalg.norm(gradients, axis=-1).mean(axis=1)[::-1]
