"""A tiny recurrent model with attention, and every search of `decoding` applied to it.

The logits depend on all tokens read so far, through state leaves of several kinds, so
that a hypothesis with the state of another gets different numbers.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from seqjax import decoding
from seqjax.decoding import penalties

BOS, EOS = 0, 1
HIDDEN, SOURCE, PAST = 7, 11, 12


class Model(NamedTuple):
    params: Any
    state: Any  # [B, ...]
    context: Any  # [B, ...]


def step(xp, params, state, token, context):
    """(state, logits [V]) in xp, which is jax.numpy or numpy."""
    h, attended, (count, past) = state
    h = xp.tanh(params["embed"][token] + h @ params["w"])
    weights = xp.where(context["mask"], xp.exp(context["memory"] @ h), 0.0)
    weights = weights / weights.sum()
    h = xp.tanh(h + weights @ context["memory"])
    past = xp.where(xp.arange(PAST) == count, token, past)
    hashed = ((past + 1) * xp.arange(1, PAST + 1)).sum() + 5 * count
    logits = h @ params["out"] + params["table"][hashed % len(params["table"])]
    vocab = xp.arange(len(logits))
    logits = logits + xp.where(vocab == EOS, context["eager"], 0.0)
    logits = logits + xp.where(vocab == token, context["sticky"], 0.0)
    return (h, attended + weights, (count + 1, past)), logits


def draw(seed, vocab_size=4, num_sentences=3, eager=0.0, sticky=0.0):
    """A random model.

    Args:
      eager: added to the logit of eos; a number, or one per sentence.
      sticky: added to the logit of the last token, likewise.
    """
    rng = np.random.default_rng(seed)

    def normal(*shape):
        return rng.normal(size=shape).astype(np.float32)

    batch = num_sentences
    params = {
        "embed": normal(vocab_size, HIDDEN),
        "w": normal(HIDDEN, HIDDEN) / 2,
        "out": normal(HIDDEN, vocab_size),
        "table": normal(11, vocab_size),
    }
    past = np.zeros(batch, np.int32), np.full((batch, PAST), -1, np.int32)
    state = normal(batch, HIDDEN), np.zeros((batch, SOURCE), np.float32), past
    context = {
        "memory": normal(batch, SOURCE, HIDDEN),
        "mask": np.arange(SOURCE) < rng.integers(1, SOURCE + 1, (batch, 1)),
        "eager": np.broadcast_to(np.float32(eager), batch),
        "sticky": np.broadcast_to(np.float32(sticky), batch),
    }
    return Model(params, state, context)


def rows(model, index):
    """The model with a selection of its sentences."""
    return model._replace(
        state=jax.tree.map(lambda leaf: leaf[index], model.state),
        context=jax.tree.map(lambda leaf: leaf[index], model.context),
    )


# name: the function of the library, and the formula.
PENALTIES = {
    "none": (lambda a: penalties.no_penalty, lambda a, p, n: p),
    "power": (penalties.power_penalty, lambda a, p, n: p / n**a),
    "gnmt": (penalties.gnmt_penalty, lambda a, p, n: p / ((5 + n) / 6) ** a),
    "reward": (penalties.word_reward, lambda a, p, n: p + a * n),
}


@dataclass(frozen=True)
class Rules:
    """The options of a search."""

    max_length: int = 4
    penalty: str = "none"
    strength: float = 0.0
    beta: float = 0.0  # of the coverage
    min_length: int = 0
    ngram: int = 0
    prefix: Any = None  # one list per sentence


# name: the function and its default width.
SEARCHES = {
    "greedy": (decoding.greedy, {}),
    "sample": (decoding.sample, {"num_samples": 5}),
    "beam_search": (decoding.beam_search, {"beam_size": 3}),
    "exhaustive": (decoding.exhaustive, {"n_best": 6}),
}
every_search = pytest.mark.parametrize("name", SEARCHES)


def find(name, model, rules, *, key=0, early_stopping=True, **how):
    """Hypotheses as NumPy arrays; one compilation for all models of one shape."""
    prefix = rules.prefix
    if prefix is None:
        prefix = np.full((len(model.context["mask"]), rules.max_length), -1)
    how = {**SEARCHES[name][1], **how}
    found = compiled_find(
        model,
        dict(
            key=jax.random.key(key),
            early_stopping=early_stopping,
            kind=list(PENALTIES).index(rules.penalty),
            strength=np.float32(rules.strength),
            beta=np.float32(rules.beta),
            min_length=rules.min_length,
            prefix=np.asarray(prefix, np.int32),
        ),
        name=name,
        max_length=rules.max_length,
        ngram=rules.ngram,
        how=tuple(how.items()),
    )
    slots = how.get("n_best") or how.get("beam_size") or how.get("num_samples") or 1
    assert found.tokens.shape == (*found.scores.shape, rules.max_length)
    assert found.scores.shape == found.lengths.shape == (len(prefix), slots)
    assert [a.dtype for a in found] == [jnp.int32, jnp.float32, jnp.int32]
    return jax.tree.map(np.asarray, found)


@partial(jax.jit, static_argnames=("name", "max_length", "ngram", "how"))
def compiled_find(model, traced, *, name, max_length, ngram, how):
    def length_penalty(log_prob, length):
        made = [make(traced["strength"]) for make, _ in PENALTIES.values()]
        scores = jnp.broadcast_arrays(*(f(log_prob, length) for f in made))
        return jnp.stack(scores)[traced["kind"]]

    def coverage(state, context):
        return penalties.gnmt_coverage(traced["beta"])(state[1], context["mask"])

    how = dict(how)
    if name == "beam_search":
        how["early_stopping"] = traced["early_stopping"]
    return SEARCHES[name][0](
        partial(step, jnp, model.params),
        model.state,
        *([traced["key"]] if name == "sample" else []),
        bos=BOS,
        eos=EOS,
        max_length=max_length,
        length_penalty=length_penalty,
        coverage=coverage,
        min_length=traced["min_length"],
        no_repeat_ngram=ngram,
        prefix=traced["prefix"],
        context=model.context,
        **how,
    )
