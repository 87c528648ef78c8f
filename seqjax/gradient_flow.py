"""Gradients of a loss with respect to the state after every step of a recurrence.

Their norms show how far back in time a gradient flows before it vanishes or explodes.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax

from seqjax.cell_protocol import Cell, Params, State
from seqjax.recurrence import Bidirectional, Stack, initial_state
from seqjax.truncation import scale_gradient


def state_gradients(
    cell: Cell,
    params: Params,
    xs: jax.Array,
    loss: Callable[[State], jax.Array],
    factors: jax.Array | None = None,
) -> tuple[State, Params]:
    """dL/ds_t of the state s_t after every step, and the gradient of the parameters.

        s_t = f(x_t, s_{t-1}) + e_t,   L = loss(s_T),   dL/ds_t = dL/de_t at e = 0

    Args:
      cell: a cell; not a Stack or a Bidirectional.
      params: parameters, as `cell.init` returns them.
      xs: inputs [T, ..., D].
      loss: maps the last state to a scalar L. With a sum over the batch, the result
        holds the gradient of each sequence separately.
      factors: xi [T], which scale the gradient into the state before each step, as in
        `truncation`; None is 1 for all steps.

    Returns:
      (state_grads, param_grads): a pytree like the state with leaves [T, ..., H], and
      a pytree like params.

    Raises:
      ValueError: the cell is a Stack or a Bidirectional.

    Example:
      >>> cell = seqjax.GRU(8)
      >>> params, xs = cell.init(jax.random.key(0), 3), jnp.ones((20, 2, 3))
      >>> grads, _ = state_gradients(cell, params, xs, lambda h: jnp.sum(h**2))
      >>> norms = jnp.linalg.norm(grads, axis=-1)  # of dL/dh_t
      >>> norms.shape
      (20, 2)
    """
    if isinstance(cell, Stack | Bidirectional):
        raise ValueError(
            f"state_gradients: needs a cell with one state per step, got a "
            f"{type(cell).__name__}"
        )
    if factors is None:
        factors = jnp.ones(len(xs))
    start = initial_state(cell, params, xs.shape[1:-1])
    zeros = jax.tree.map(lambda s: jnp.zeros((len(xs), *s.shape), s.dtype), start)

    def loss_of(perturbations: State, params: Params) -> jax.Array:
        def step(state: State, inputs: tuple) -> tuple[State, None]:
            z, factor, perturbation = inputs
            state = jax.tree.map(lambda s: scale_gradient(s, factor), state)
            state, _ = cell.step(params, state, z)
            return jax.tree.map(jnp.add, state, perturbation), None

        inputs = (cell.project(params, xs), factors, perturbations)
        return loss(lax.scan(step, start, inputs)[0])

    return jax.grad(loss_of, (0, 1))(zeros, params)
