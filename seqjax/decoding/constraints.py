"""Constraints on a step function: acrostics."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from seqjax.decoding.hypotheses import State, Step, batch_size


class AcrosticState(NamedTuple):
    inner: State  # the state of the unconstrained step
    line: jax.Array  # [B] int32, the number of lines begun so far


def acrostic(
    step: Step, state: State, initials: ArrayLike, breaks: ArrayLike, eos: int
) -> tuple[Step, State]:
    """Constrain a step function of `decoding` to an acrostic.

    Line i can only begin with initials[i], and no sequence ends before all initials
    have occurred. A line begins at the start and after each token of `breaks`.

    Args:
      step: (state, token) -> (state, logits [V]) for one hypothesis.
      state: the state before the first token, leaves [B, ...].
      initials: integers [N]; N may be 0.
      breaks: bool [V], the tokens that end a line.
      eos: the token that ends a sequence.

    Returns:
      (step, state) for `decoding.sample` or another search. A forced token has
      probability 1, so the scores are those of the free tokens.

    Example:
      >>> def step(state, token):  # tokens: a, b, the end of a line, the end
      ...     return state, jnp.zeros(4)
      >>> breaks = jnp.array([False, False, True, False])
      >>> step, state = acrostic(step, jnp.zeros((1, 1)), [1, 0], breaks, eos=3)
      >>> found = seqjax.decoding.greedy(step, state, bos=3, eos=3, max_length=2)
      >>> found.tokens[0, 0].tolist()  # the first line begins with b
      [1, 0]
    """
    initials = jnp.asarray(initials, jnp.int32)
    breaks = jnp.asarray(breaks)
    number = len(initials)
    batch = batch_size(state)
    if number == 0:
        return step, state

    def constrained(
        state: AcrosticState, token: jax.Array
    ) -> tuple[AcrosticState, jax.Array]:
        inner, logits = step(state.inner, token)
        begins = (state.line == 0) | breaks[token]
        initial = initials[jnp.clip(state.line, 0, number - 1)]
        vocab = jnp.arange(len(logits))
        wrong = begins & (state.line < number) & (vocab != initial)
        line = state.line + begins.astype(jnp.int32)
        too_early = (vocab == eos) & (line < number)
        logits = jnp.where(wrong | too_early, -jnp.inf, logits)
        return AcrosticState(inner, line), logits

    return constrained, AcrosticState(state, jnp.zeros(batch, jnp.int32))
