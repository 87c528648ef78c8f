"""No random key is used for two draws: jax's own checker, over cells and models."""

import jax
import jax.numpy as jnp
import pytest

import seqjax
from seqjax import models
from seqjax.data.labeled import LabeledBatch
from tests.law_cells import ALL

GRU = seqjax.GRU(3)
PAIR = seqjax.Stack((GRU, GRU), 0.5)
STACK = seqjax.Stack((PAIR, seqjax.Bidirectional(PAIR)), 0.5)
TOKENS = jnp.ones((5, 2), int)


def unrolled(key):
    params = STACK.init(jax.random.key(0), 3)
    return seqjax.unroll(STACK, params, jnp.ones((5, 2, 3)), key=key)


def language_model_loss(key):
    model = models.LanguageModel(7, PAIR, 3, dropout=0.5)
    return model.loss(model.init(jax.random.key(0)), TOKENS, key)


def regularized_loss(key):
    cells = seqjax.Stack((seqjax.Zoneout(GRU, (0.1,)), GRU), 0.5)
    options = {"embed_dropout": 0.1, "weight_dropout": 0.5, "temporal_penalty": 1.0}
    options |= {"mixtures": 2, "latent_dropout": 0.5, "activation_penalty": 1.0}
    model = models.LanguageModel(7, cells, 3, dropout=0.5, **options)
    return model.loss(model.init(jax.random.key(0)), TOKENS, key)


def classifier_loss(key):
    model = models.Classifier(7, 2, STACK, 3, dropout=0.5, word_dropout=0.5)
    batch = LabeledBatch(TOKENS, jnp.array([5, 3]), jnp.array([0, 1]))
    return model.loss(model.init(jax.random.key(0)), batch, key)


DRAWS = {
    **{
        f"init_{name}": lambda key, c=cell: c.init(key, 3) for name, cell in ALL.items()
    },
    "init_nested": lambda key: STACK.init(key, 3),
    "dropout_between_layers": unrolled,
    "language_model": language_model_loss,
    "regularized": regularized_loss,
    "classifier": classifier_loss,
}


@pytest.mark.parametrize("name", DRAWS)
def test_no_key_is_used_twice(name):
    with jax.debug_key_reuse(True):
        jax.eval_shape(jax.jit(DRAWS[name]), jax.random.key(1))


def test_a_key_that_is_used_twice_is_seen():
    def twice(key):
        return jax.random.normal(key), jax.random.uniform(key)

    with jax.debug_key_reuse(True), pytest.raises(jax.errors.KeyReuseError):
        jax.eval_shape(jax.jit(twice), jax.random.key(1))
