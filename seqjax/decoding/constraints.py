"""Steps that say nothing but given characters where the lines of a poem begin."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp


class AcrosticState(NamedTuple):
    inner: Any  # the state of the step within
    line: jax.Array  # [B] int32, lines begun so far


def acrostic(step, state, initials, breaks, eos):
    """A step function for `decoding`, and its first state, that hold to an acrostic.

    Where line i begins, only initials[i] may come; no sequence ends before all have
    come. Lines begin at the start and after a token of `breaks`.

    Args:
      step: (state, token) -> (state, logits [V]), for one hypothesis.
      state: the state before the first token, leaves [B, ...].
      initials: integers [N], N may be 0.
      breaks: bool [V], which tokens end a line.
      eos: the token that ends a sequence.

    Returns:
      (step, state), to be given to `decoding.sample` or another search. What forces a
      token gives it the probability 1: the scores are of all the others.

    Example:
      >>> step, state = acrostic(step, state, vocab.encode("春江"), breaks, EOS)
      >>> found = decoding.sample(step, state, key, bos=BOS, eos=EOS, max_length=100)
    """
    initials = jnp.asarray(initials, jnp.int32)
    breaks = jnp.asarray(breaks)
    number = len(initials)
    batch = len(jax.tree.leaves(state)[0])
    if number == 0:
        return step, state

    def constrained(state, token):
        inner, logits = step(state.inner, token)
        begins = (state.line == 0) | breaks[token]
        here = jnp.clip(state.line, 0, number - 1)
        vocab = jnp.arange(len(logits))
        other = begins & (state.line < number) & (vocab != initials[here])
        line = state.line + begins.astype(jnp.int32)
        early = (vocab == eos) & (line < number)
        logits = jnp.where(other | early, -jnp.inf, logits)
        return AcrosticState(inner, line), logits

    return constrained, AcrosticState(state, jnp.zeros(batch, jnp.int32))
