"""Laws of all searches, against the reference in plain Python."""

import math
from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.search_models import (
    BOS,
    EOS,
    HIDDEN,
    SEARCHES,
    SOURCE,
    Rules,
    compiled_find,
    draw,
    every_search,
    find,
    rows,
    step,
)
from tests.search_oracle import EVERY_PENALTY, assert_agrees, log_softmax, ngrams


@every_search
def test_every_penalty_and_coverage(name):
    best = []
    for seed, rules in enumerate(EVERY_PENALTY):
        assert_agrees(name, draw(seed, eager=[0.0, 1.5, -1.5]), rules)
        best.append(find(name, draw(99), rules).tokens[:, 0].tolist())
    if name in ("beam_search", "exhaustive"):
        assert best.count(best[0]) < len(best)  # the penalties change the result


# Free choices; a forced repetition; a forced eos before the minimum length.
PREFIX = [[-1, 2, -1, 2], [3, 3, 3, -1], [2, EOS, 3, 3]]


@pytest.mark.parametrize("ngram", [0, 1, 2, 3])
@every_search
def test_every_constraint(name, ngram):
    model = draw(5, eager=-2.0, sticky=4.0)
    loose = find(name, model, Rules()).tokens
    for rules in [
        Rules(),
        Rules(min_length=2),
        Rules(min_length=3, penalty="power", strength=1.0),
        Rules(prefix=PREFIX),
        Rules(prefix=PREFIX, min_length=4),
        Rules(prefix=[[3, 2, 2, 2], [2, 2, -1, -1], [0, -1, -1, 2]]),
    ]:
        assert_agrees(name, model, replace(rules, ngram=ngram))
    if ngram:  # without the rule, n-grams are repeated here
        repeated = [ngrams(t, ngram) for t in loose.reshape(-1, 4).tolist()]
        assert any(len(set(grams)) < len(grams) for grams in repeated)


@pytest.mark.parametrize("name", ["greedy", "beam_search"])
def test_a_prefix_shorter_or_longer_than_the_sequences(name):
    model = draw(6, eager=-2.0)
    for prefix in [[[2], [-1], [3]], [[2, 0, 0, 2, 3, 3], [-1] * 6, [3] * 6]]:
        assert_agrees(name, model, Rules(prefix=prefix))


@every_search
def test_forbidden_sequences_are_never_returned(name):
    """Three words, no repetition, and no eos before the fifth token."""
    model, rules = draw(7), Rules(ngram=1, min_length=4)
    found = assert_agrees(name, model, rules)
    assert np.isneginf(found.scores).all() and not found.lengths.any()
    # One sentence has an allowed sequence, the others none; then all have a few.
    one = replace(rules, prefix=[[-1] * 4, [-1, -1, -1, EOS], [-1] * 4])
    found = assert_agrees(name, model, one)
    assert found.lengths.any(axis=1).tolist() == [False, True, False]
    few = replace(rules, prefix=[[2, 2, 3, 3], [2, EOS, 0, 0], [2, 0, 3, -1]])
    found = assert_agrees(name, model, few)
    assert (found.lengths > 0).sum(axis=1)[:2].tolist() == [
        1 + 4 * (name == "sample")
    ] * 2


@every_search
def test_fewer_sequences_than_slots(name):
    """Vocabulary 0 and eos, at most two tokens: eos; 0 eos; 0 0."""
    how = {"beam_size": 6} if name == "beam_search" else {}
    found = assert_agrees(name, draw(3, vocab_size=2), Rules(2), **how)
    filled = (found.lengths > 0).sum(axis=1)
    assert set(filled) == {{"greedy": 1, "sample": 5}.get(name, 3)}
    assert (found.tokens[found.lengths == 0] == EOS).all()


@every_search
def test_results_do_not_depend_on_the_other_sentences(name):
    """Other sentences end at once or never; samples depend on the batch index."""
    rules = Rules(penalty="power", strength=1.0, beta=0.2)
    model = draw(8, eager=[0.0, 9.0, -np.inf])
    batch = assert_agrees(name, model, rules)
    assert batch.lengths[1, 0] == 1
    assert batch.lengths[2].min() == 4
    for order in (
        [[0, 2, 1], [1, 2, 0]] if name == "sample" else [[0], [1], [2], [2, 1, 0]]
    ):
        other = find(name, rows(model, np.array(order)), rules)
        for row, b in enumerate(order):
            if name != "sample" or row == b:
                np.testing.assert_array_equal(other.tokens[row], batch.tokens[b])
                np.testing.assert_array_equal(other.lengths[row], batch.lengths[b])
                np.testing.assert_allclose(other.scores[row], batch.scores[b], 1e-5)


# Each leaf of this state encodes the tokens read so far, and the logits ignore it. The
# coverage decodes a leaf, so the scores show what each leaf holds.
WORDS = np.random.default_rng(0).normal(size=(4, 4)).astype(np.float32)
LEAVES = ("code", "past", "rows", "count")


def remember(state, token):
    count, past = state["pair"]
    here = jnp.arange(4) == count
    return {
        "code": state["code"] * 4 + token.astype(jnp.float32),
        "pair": (count + 1, jnp.where(here, token, past)),
        "rows": jnp.where(here[:, None], jnp.stack([token, -token]), state["rows"]),
    }, jnp.asarray(WORDS)[token]


def recall(state):
    """The tokens that each leaf encodes, as a number in base 4."""
    count, past = state["pair"]
    powers = 4 ** jnp.arange(3, -1, -1)
    right = (4 - count) * 2  # bits to shift by if fewer tokens were read
    read = (
        (past * powers).sum() >> right,
        -(state["rows"][:, 1] * powers).sum() >> right,
    )
    read = [r.astype(jnp.float32) for r in (*read, count)]
    return jnp.stack([state["code"], *read])


@every_search
def test_every_leaf_of_the_state_follows_its_parent(name):
    batch = 2
    state = {
        "code": jnp.zeros(batch),
        "pair": (jnp.zeros(batch, jnp.int32), jnp.zeros((batch, 4), jnp.int32)),
        "rows": jnp.zeros((batch, 4, 2), jnp.int32),
    }
    arguments = [jax.random.key(1)] if name == "sample" else []

    @jax.jit
    def search(leaf):
        return SEARCHES[name][0](
            remember,
            state,
            *arguments,
            bos=BOS,
            eos=EOS,
            max_length=4,
            min_length=3,
            coverage=lambda state: -recall(state)[leaf],
            **SEARCHES[name][1],
        )

    for leaf, kind in enumerate(LEAVES):
        found = jax.tree.map(np.asarray, search(leaf))
        for tokens, score, length in zip(*(a[0] for a in found), strict=True):
            read = [BOS, *tokens[: length - 1].tolist()]
            log_probs = [log_softmax(np.float64(WORDS[token])) for token in read]
            for log_prob, token in zip(log_probs, tokens, strict=False):
                score -= log_prob[token]
            code = sum(t * 4**i for i, t in enumerate(reversed(read)))
            np.testing.assert_allclose(
                -score, length if kind == "count" else code, atol=1e-3, err_msg=kind
            )


def shapes_in(jaxpr):
    """Shapes of all arrays in a jaxpr and in its inner jaxprs."""
    for eqn in jaxpr.eqns:
        yield from (v.aval.shape for v in [*eqn.invars, *eqn.outvars])
        for inner in jax.tree.leaves(
            list(eqn.params.values()),
            is_leaf=lambda p: hasattr(p, "eqns") or hasattr(p, "jaxpr"),
        ):
            if hasattr(inner, "eqns") or hasattr(inner, "jaxpr"):
                yield from shapes_in(getattr(inner, "jaxpr", inner))


@every_search
def test_the_context_is_not_copied_per_hypothesis(name):
    model, seen = jax.tree.map(jnp.asarray, draw(9)), []

    def spying(state, token, context):
        seen.append(context["memory"].shape)
        return step(jnp, model.params, state, token, context)

    options = {**SEARCHES[name][1], "bos": BOS, "eos": EOS, "max_length": 3}
    if name == "sample":
        options["key"] = jax.random.key(0)
    search = partial(SEARCHES[name][0], spying, **options)
    jaxpr = jax.make_jaxpr(lambda s, c: search(s, context=c))(*model[1:])
    assert set(seen) == {(SOURCE, HIDDEN)}
    sizes = [
        math.prod(shape)
        for shape in shapes_in(jaxpr.jaxpr)
        if {SOURCE, HIDDEN} <= set(shape)
    ]
    assert max(sizes) == 3 * SOURCE * HIDDEN  # B, not B * K


@every_search
def test_one_shape_is_compiled_once(name):
    find(name, draw(0), Rules())
    size = compiled_find._cache_size()
    find(name, draw(1), Rules(penalty="power", strength=0.5, min_length=1), key=2)
    assert compiled_find._cache_size() == size


@every_search
def test_bfloat16_logits_are_scored_in_float32(name):
    logits = jnp.asarray([0.3, 1.7, -0.4, 1.1], jnp.bfloat16)
    arguments = [jax.random.key(1)] if name == "sample" else []
    found = jax.jit(
        lambda state: SEARCHES[name][0](
            lambda state, token: (state, logits),
            state,
            *arguments,
            bos=BOS,
            eos=EOS,
            max_length=3,
            **SEARCHES[name][1],
        )
    )(jnp.zeros(2))
    assert found.scores.dtype == jnp.float32
    log_probs = log_softmax(np.float64(logits))
    for tokens, score, length in zip(*(np.asarray(a[0]) for a in found), strict=True):
        np.testing.assert_allclose(score, log_probs[tokens[:length]].sum(), rtol=1e-5)


@every_search
def test_a_maximum_length_of_0_raises(name):
    with pytest.raises(ValueError, match=r"max_length.* at least 1.* 0(\n|$)"):
        find(name, draw(0), Rules(max_length=0))
