"""Ensembles: several models decoded as one."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from seqjax.decoding.hypotheses import Context, State, Step


def ensemble(steps: Sequence[Step]) -> Step:
    """A step function that averages the probabilities of several models.

        log P(y) = log mean_m softmax(logits_m)[y]

    Args:
      steps: step functions (state, token, context) -> (state, logits [V]) with the same
        vocabulary.

    Returns:
      A step function whose state and context are tuples, one entry per model. Its
      logits are log P + log M for M models, float32 [V]. It raises ValueError if one of
      the tuples has another length.

    Example:
      >>> def sure(state, token, context):
      ...     return state, jnp.log(jnp.array([0.9, 0.1]))
      >>> def unsure(state, token, context):
      ...     return state, jnp.zeros(2)
      >>> step = ensemble([sure, unsure])
      >>> states, logits = step((None, None), jnp.array(0), (None, None))
      >>> np.asarray(jax.nn.softmax(logits)).round(2)
      array([0.7, 0.3], dtype=float32)
    """

    def step(
        states: tuple[State, ...], token: jax.Array, contexts: tuple[Context, ...]
    ) -> tuple[tuple[State, ...], jax.Array]:
        results = [
            step(state, token, context)
            for step, state, context in zip(steps, states, contexts, strict=True)
        ]
        logits = jnp.stack([logits.astype(jnp.float32) for _, logits in results])
        log_probs = jax.nn.log_softmax(logits)
        states = tuple(state for state, _ in results)
        return states, jax.nn.logsumexp(log_probs, axis=0)

    return step
