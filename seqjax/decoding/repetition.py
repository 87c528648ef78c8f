"""A penalty on tokens that a sequence has already."""

from typing import Any

import jax
import jax.numpy as jnp

from seqjax.decoding.hypotheses import State, Step


def repetition_penalty(
    step: Step, state: State, seen: jax.Array, penalty: float
) -> tuple[Step, State]:
    """A step whose logits are lower for tokens that were read before.

        logits[v] / penalty where logits[v] > 0, else logits[v] * penalty, for seen v

    The state of the new step is the old one with the tokens that were seen.

    Args:
      step: the step of a model.
      state: its state, leaves [B, ...].
      seen: booleans [B, V], tokens to penalize from the start. Without a batch, as in
        `stream`, [V].
      penalty: at least 1, which changes nothing.

    Returns:
      (step, state) for a search.

    Raises:
      ValueError: if the penalty is below 1.

    Example:
      >>> logits = jnp.array([0.0, 2.0, 1.8])
      >>> step = lambda state, token: (state, logits)
      >>> step, state = repetition_penalty(step, jnp.zeros(1), jnp.zeros(3, bool), 1.5)
      >>> (_, seen), penalized = step(state, jnp.array(1))
      >>> penalized.argmax().item(), seen.tolist()
      (2, [False, True, False])

    Source: Keskar et al., "CTRL", 2019, arXiv:1909.05858, section 4.1.
    """
    if penalty < 1:
        raise ValueError(f"a repetition penalty must be at least 1, got {penalty}")

    def penalized(state: Any, token: jax.Array, *context: Any) -> Any:
        inner, seen = state
        seen = seen.at[token].set(True)
        inner, logits = step(inner, token, *context)
        lower = jnp.where(logits > 0, logits / penalty, logits * penalty)
        return (inner, seen), jnp.where(seen, lower, logits)

    return penalized, (state, seen)
