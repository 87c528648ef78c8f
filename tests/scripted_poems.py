"""Models that write what a test tells them, and small vocabularies and poems."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from seqjax.data import poems
from seqjax.data.vocab import EOS, SENTENCE_TOKENS, Vocab


def small_vocab(characters):
    """The characters from index 4 on, in their order."""
    return Vocab(characters, reserved_tokens=SENTENCE_TOKENS)


def poems_of(*contents):
    return [poems.Poem("", content) for content in contents]


class Scripted(NamedTuple):
    """A model that prefers one token always, and then these in turn."""

    tokens: tuple
    vocab_size: int
    always: int = -1  # no token

    def initial_state(self, batch_shape):
        return jnp.zeros(batch_shape, jnp.int32)

    def apply(self, params, tokens, state):
        return state, None

    def step(self, params, state, token):
        then, always = jax.nn.one_hot(
            jnp.stack([jnp.asarray(self.tokens)[state], jnp.asarray(self.always)]),
            self.vocab_size,
        )
        return state + 1, 20 * then + 40 * always


class Echo(NamedTuple):
    """A model whose poem is the last character of the title."""

    colon: int
    vocab_size: int

    def initial_state(self, batch_shape):
        return jnp.zeros(batch_shape, jnp.int32)

    def step(self, params, state, token):
        chosen = jnp.where(token == self.colon, state, EOS)
        return token, 40 * jax.nn.one_hot(chosen, self.vocab_size)
