"""Ensembles, against the mean of the probabilities in plain Python."""

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from seqjax import decoding
from seqjax.decoding import penalties
from tests.search_models import BOS, EOS, Rules, draw, step
from tests.search_oracle import Sentence, assert_found, log_softmax, ranked, sentence


def test_an_ensemble_is_the_mean_of_the_probabilities():
    models = [draw(seed) for seed in (13, 14, 15)]
    rules = Rules(penalty="power", strength=0.5)
    alone = [sentence(model, 1) for model in models]

    def together(states, token):
        states, logits = zip(
            *(one.step(s, token) for one, s in zip(alone, states, strict=True)),
            strict=True,
        )
        return states, np.log(np.mean([np.exp(log_softmax(x)) for x in logits], axis=0))

    want = Sentence([one.start for one in alone], together, lambda state, beta: 0.0)
    search = jax.jit(
        lambda models: decoding.exhaustive(
            decoding.ensemble([partial(step, jnp, model.params) for model in models]),
            tuple(model.state for model in models),
            bos=BOS,
            eos=EOS,
            max_length=3,
            n_best=6,
            length_penalty=penalties.power_penalty(0.5),
            context=tuple(model.context for model in models),
        )
    )
    found = jax.tree.map(lambda leaf: np.asarray(leaf[1]), search(models))
    assert_found(found, ranked(want, replace(rules, max_length=3)), 3)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_a_model_twice_is_the_model(dtype):
    model = jax.tree.map(jnp.asarray, draw(16))

    def one(state, token, context):
        state, logits = step(jnp, model.params, state, token, context)
        return state, logits.astype(dtype)

    def search(step, state, context):
        return decoding.beam_search(
            step, state, bos=BOS, eos=EOS, beam_size=3, max_length=4, context=context
        )

    _, state, context = model
    want = jax.jit(partial(search, one))(state, context)
    twice = jax.jit(partial(search, decoding.ensemble([one, one])))
    found = twice((state, state), (context, context))
    np.testing.assert_array_equal(found.tokens, want.tokens)
    np.testing.assert_allclose(found.scores, want.scores, rtol=1e-5)
