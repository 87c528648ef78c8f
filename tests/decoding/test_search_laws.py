"""Laws that every search obeys, against an oracle in Python: lists and float64.

What is searched is a tiny recurrent model with attention. Its logits depend on all that
it has read, through leaves of several kinds, so a hypothesis whose state is not its own
gets other numbers.
"""

import math
from collections import Counter
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from seqjax import decoding
from seqjax.decoding import hypotheses
from tests.test_decoding import distribution

BOS, EOS = 0, 1
HIDDEN, SOURCE, PAST = 7, 11, 12


class Model(NamedTuple):
    params: Any
    state: Any  # [B, ...]
    context: Any  # [B, ...]


def step(xp, params, state, token, context):
    """(state, logits [V]) in xp, which is jax.numpy or numpy."""
    h, paid, (count, past) = state
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
    return (h, paid + weights, (count + 1, past)), logits


def draw(seed, vocab_size=4, num_sentences=3, eager=0.0, sticky=0.0):
    """A model by chance; `eager` to end and `sticky` are numbers or one a sentence."""
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
    """The model with some of its sentences."""
    return model._replace(
        state=jax.tree.map(lambda leaf: leaf[index], model.state),
        context=jax.tree.map(lambda leaf: leaf[index], model.context),
    )


# name: what the library offers and the formula.
PENALTIES = {
    "none": (lambda a: hypotheses.no_penalty, lambda a, p, n: p),
    "power": (hypotheses.power_penalty, lambda a, p, n: p / n**a),
    "gnmt": (hypotheses.gnmt_penalty, lambda a, p, n: p / ((5 + n) / 6) ** a),
    "reward": (hypotheses.word_reward, lambda a, p, n: p + a * n),
}


@dataclass(frozen=True)
class Rules:
    """What a search is asked for."""

    max_length: int = 4
    penalty: str = "none"
    strength: float = 0.0
    beta: float = 0.0  # of the coverage
    min_length: int = 0
    ngram: int = 0
    prefix: Any = None  # a list for each sentence


# name: the function and how wide it is where nothing else is asked.
SEARCHES = {
    "greedy": (decoding.greedy, {}),
    "sample": (decoding.sample, {"num_samples": 5}),
    "beam_search": (decoding.beam_search, {"beam_size": 3}),
    "exhaustive": (decoding.exhaustive, {"n_best": 6}),
}
every_search = pytest.mark.parametrize("name", SEARCHES)


def find(name, model, rules, *, key=0, stop=True, **how):
    """Hypotheses, in NumPy; compiled once for all models and rules of one shape."""
    prefix = rules.prefix
    if prefix is None:
        prefix = np.full((len(model.context["mask"]), rules.max_length), -1)
    how = {**SEARCHES[name][1], **how}
    found = compiled_find(
        model,
        dict(
            key=jax.random.key(key),
            stop=stop,
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
    places = how.get("n_best") or how.get("beam_size") or how.get("num_samples") or 1
    assert found.tokens.shape == (*found.scores.shape, rules.max_length)
    assert found.scores.shape == found.lengths.shape == (len(prefix), places)
    assert [a.dtype for a in found] == [jnp.int32, jnp.float32, jnp.int32]
    return jax.tree.map(np.asarray, found)


@partial(jax.jit, static_argnames=("name", "max_length", "ngram", "how"))
def compiled_find(model, traced, *, name, max_length, ngram, how):
    def length_penalty(log_prob, length):
        made = [make(traced["strength"]) for make, _ in PENALTIES.values()]
        scores = jnp.broadcast_arrays(*(f(log_prob, length) for f in made))
        return jnp.stack(scores)[traced["kind"]]

    def coverage(state, context):
        return hypotheses.gnmt_coverage(traced["beta"])(state[1], context["mask"])

    how = dict(how)
    if name == "beam_search":
        how["stop"] = traced["stop"]
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


# The oracle: of one sentence, paths of tokens in lists.


class Sentence(NamedTuple):
    start: Any
    step: Any  # (state, token) -> (state, logits)
    coverage: Any  # (state, beta) -> number


class Path(NamedTuple):
    tokens: tuple
    log_prob: float
    state: Any
    score: float = None


def sentence(model, b):
    params, start, context = jax.tree.map(
        lambda leaf: np.float64(leaf) if leaf.dtype == np.float32 else leaf,
        (model.params, *rows(model, b)[1:]),
    )

    def coverage(state, beta):
        paid = state[1][context["mask"]]
        return beta * sum(np.log(min(max(p, 1e-9), 1.0)) for p in paid)

    return Sentence(
        start, lambda state, token: step(np, params, state, token, context), coverage
    )


def log_softmax(logits):
    return logits - np.log(np.exp(logits - logits.max()).sum()) - logits.max()


def ngrams(tokens, n):
    return [tuple(tokens[i : i + n]) for i in range(len(tokens) - n + 1)]


def follows(tokens, token, rules, prefix):
    """Whether a token may come after these."""
    if len(tokens) < len(prefix) and prefix[len(tokens)] >= 0:
        return token == prefix[len(tokens)]
    if token == EOS:
        return len(tokens) >= rules.min_length
    *old, new = ngrams((*tokens, token), rules.ngram or 99) or [None]
    return new not in old


def continuations(sentence, path, rules, prefix=()):
    """All paths one token longer, those with eos included."""
    last = path.tokens[-1] if path.tokens else BOS
    state, logits = sentence.step(path.state, last)
    for token, log_prob in enumerate(log_softmax(logits)):
        if log_prob > -np.inf and follows(path.tokens, token, rules, prefix):
            log_prob = path.log_prob + log_prob
            tokens = (*path.tokens, token)
            score = PENALTIES[rules.penalty][1](rules.strength, log_prob, len(tokens))
            score += sentence.coverage(state, rules.beta)
            yield Path(tokens, log_prob, state, score)


def ranked(sentence, rules, prefix=(), width=None):
    """All that a beam of a width finds, best first; without one, all there are."""
    alive, ended = [Path((), 0.0, sentence.start)], []
    for _ in range(rules.max_length):
        new = [
            p for path in alive for p in continuations(sentence, path, rules, prefix)
        ]
        if width is not None:
            new = sorted(new, key=lambda p: -p.log_prob)[: 2 * width]
        ended += [p for p in new if p.tokens[-1] == EOS]
        alive = [p for p in new if p.tokens[-1] != EOS][:width]
    return [
        p for group in (ended, alive) for p in sorted(group, key=lambda p: -p.score)
    ]


def followed(sentence, rules, prefix=()):
    """The path of the likeliest tokens, or none where no token may follow."""
    path = Path((), 0.0, sentence.start)
    while len(path.tokens) < rules.max_length and EOS not in path.tokens:
        new = list(continuations(sentence, path, rules, prefix))
        if not new:
            return []
        path = max(new, key=lambda p: p.log_prob)
    return [path]


def padded(tokens, length):
    return [*tokens, *[EOS] * (length - len(tokens))]


def assert_found(found, want, max_length):
    """That hypotheses of one sentence are the first of the paths, or empty places."""
    tokens, scores, lengths = found
    want = want[: len(scores)]
    left = len(scores) - len(want)
    np.testing.assert_allclose(
        scores, [*(p.score for p in want), *[-np.inf] * left], rtol=2e-5, atol=2e-5
    )
    paths = [p.tokens for p in want] + [()] * left
    assert tokens.tolist() == [padded(path, max_length) for path in paths]
    assert lengths.tolist() == [len(path) for path in paths]


def assert_drawn(found, possible, max_length):
    """That hypotheses are among all paths, with their scores and in order."""
    scores = {p.tokens: p.score for p in possible}
    drawn = [tuple(t[:n].tolist()) for t, n in zip(found[0], found[2], strict=True)]
    want = sorted(drawn, key=lambda tokens: (EOS not in tokens, -scores[tokens]))
    assert_found(found, [Path(t, None, None, scores[t]) for t in want], max_length)


def assert_agrees(name, model, rules, **how):
    """That a search of all sentences finds what the oracle says of each."""
    found = find(name, model, rules, **how)
    for b in range(len(found.tokens)):
        prefix = () if rules.prefix is None else rules.prefix[b]
        arguments = sentence(model, b), rules, prefix
        ours = jax.tree.map(lambda leaf, b=b: leaf[b], found)
        if name == "sample" and followed(*arguments):
            assert_drawn(ours, ranked(*arguments), rules.max_length)
        elif name in ("greedy", "sample"):
            assert_found(ours, followed(*arguments), rules.max_length)
        else:
            width = how.get("beam_size", 3) if name == "beam_search" else None
            assert_found(ours, ranked(*arguments, width), rules.max_length)
    return found


EVERY_PENALTY = [
    Rules(),
    Rules(beta=0.5),
    Rules(penalty="power", strength=0.75),
    Rules(penalty="power", strength=2.0),
    Rules(penalty="power", strength=-0.8),
    Rules(penalty="gnmt", strength=0.6, beta=0.2),
    Rules(penalty="gnmt", strength=-1.5),
    Rules(penalty="reward", strength=1.5),
    Rules(penalty="reward", strength=-0.7, beta=1.0),
]


@every_search
def test_every_penalty_and_coverage(name):
    best = []
    for seed, rules in enumerate(EVERY_PENALTY):
        assert_agrees(name, draw(seed, eager=[0.0, 1.5, -1.5]), rules)
        best.append(find(name, draw(99), rules).tokens[:, 0].tolist())
    if name in ("beam_search", "exhaustive"):
        assert best.count(best[0]) < len(best)  # they do not all prefer the same


# A place left free; a repetition that is asked for; an end that is, before the minimum.
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
    if ngram:  # the rule matters here: without it, n-grams are repeated
        repeated = [ngrams(t, ngram) for t in loose.reshape(-1, 4).tolist()]
        assert any(len(set(grams)) < len(grams) for grams in repeated)


@pytest.mark.parametrize("name", ["greedy", "beam_search"])
def test_a_prefix_shorter_or_longer_than_the_sequences(name):
    model = draw(6, eager=-2.0)
    for prefix in [[[2], [-1], [3]], [[2, 0, 0, 2, 3, 3], [-1] * 6, [3] * 6]]:
        assert_agrees(name, model, Rules(prefix=prefix))


@every_search
def test_what_may_not_be_is_never_a_hypothesis(name):
    """Three words, none of them twice, and no end before the fifth token."""
    model, rules = draw(7), Rules(ngram=1, min_length=4)
    found = assert_agrees(name, model, rules)
    assert np.isneginf(found.scores).all() and not found.lengths.any()
    # One sentence has a way out, the others none; then all have some, but few.
    one = replace(rules, prefix=[[-1] * 4, [-1, -1, -1, EOS], [-1] * 4])
    found = assert_agrees(name, model, one)
    assert found.lengths.any(axis=1).tolist() == [False, True, False]
    few = replace(rules, prefix=[[2, 2, 3, 3], [2, EOS, 0, 0], [2, 0, 3, -1]])
    found = assert_agrees(name, model, few)
    assert (found.lengths > 0).sum(axis=1)[:2].tolist() == [
        1 + 4 * (name == "sample")
    ] * 2


@every_search
def test_there_are_fewer_sequences_than_places(name):
    """Words 0 and eos, two at most: eos; 0 eos; 0 0."""
    how = {"beam_size": 6} if name == "beam_search" else {}
    found = assert_agrees(name, draw(3, vocab_size=2), Rules(2), **how)
    filled = (found.lengths > 0).sum(axis=1)
    assert set(filled) == {{"greedy": 1, "sample": 5}.get(name, 3)}
    assert (found.tokens[found.lengths == 0] == EOS).all()


@every_search
def test_a_sentence_alone_is_the_same_as_among_others(name):
    """Others that end at once or never; draws depend on the place in the batch."""
    rules = Rules(penalty="power", strength=1.0, beta=0.2)
    model = draw(8, eager=[0.0, 9.0, -np.inf])
    batch = assert_agrees(name, model, rules)
    assert batch.lengths[1, 0] == 1
    assert batch.lengths[2].min() == 4
    for order in (
        [[0, 2, 1], [1, 2, 0]] if name == "sample" else [[0], [1], [2], [2, 1, 0]]
    ):
        other = find(name, rows(model, np.array(order)), rules)
        for place, b in enumerate(order):
            if name != "sample" or place == b:
                np.testing.assert_array_equal(other.tokens[place], batch.tokens[b])
                np.testing.assert_array_equal(other.lengths[place], batch.lengths[b])
                np.testing.assert_allclose(other.scores[place], batch.scores[b], 1e-5)


# A state that is nothing but the tokens read so far, each leaf in its own way, under
# logits that need none of it: what coverage reads off is what each leaf remembers.
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
    """What each leaf says the tokens are, as a number in base 4."""
    count, past = state["pair"]
    powers = 4 ** jnp.arange(3, -1, -1)
    right = (4 - count) * 2  # bits to shift by, where fewer have been read
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
    """Of every array in a jaxpr, also in those within."""
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
    assert max(sizes) == 3 * SOURCE * HIDDEN  # B, not B and K


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
def test_no_length_is_refused(name):
    with pytest.raises(ValueError, match=r"max_length.* at least 1.* 0(\n|$)"):
        find(name, draw(0), Rules(max_length=0))


# Sampling.


def test_draws_are_decided_by_the_key():
    one, again, two = (
        find("sample", draw(10), Rules(), key=k).tokens.tolist() for k in (3, 3, 4)
    )
    assert one == again != two
    twins = find("sample", rows(draw(10), np.array([1, 1])), Rules()).tokens
    assert twins[0].tolist() != twins[1].tolist()


@pytest.mark.parametrize(
    "how", [{"temperature": 0.0}, {"top_k": 1}, {"top_p": 1e-6}], ids=str
)
def test_the_sharpest_draws_are_greedy(how):
    model, rules = draw(11), Rules(penalty="power", strength=0.6, ngram=2)
    want = find("greedy", model, rules)
    found = find("sample", model, rules, **how)
    for ours, theirs in zip(found, want, strict=True):
        np.testing.assert_allclose(ours, np.repeat(theirs, 5, axis=1), rtol=1e-6)


@pytest.mark.parametrize(
    "how", [{}, {"temperature": 0.6}, {"top_k": 2}, {"top_p": 0.7}], ids=str
)
def test_sequences_are_drawn_as_often_as_they_are_likely(how):
    """Constraints bind before the cut; the scores stay those of the whole model."""
    rules = Rules(max_length=3, min_length=1, ngram=1, prefix=[[-1] * 3, [-1, 2, -1]])
    model, number = draw(12, num_sentences=2, eager=-0.5), 4000
    found = assert_agrees("sample", model, rules, num_samples=number, **how)
    for b in range(2):
        one, want = sentence(model, b), {}
        paths = [(1.0, Path((), 0.0, one.start))]
        while paths:
            probability, path = paths.pop()
            if EOS in path.tokens or len(path.tokens) == rules.max_length:
                want[path.tokens] = probability
                continue
            new = list(continuations(one, path, rules, rules.prefix[b]))
            shares = distribution(np.array([p.log_prob for p in new]), **how)
            paths += [(probability * s, p) for s, p in zip(shares, new, strict=True)]
        counts = Counter(map(tuple, found.tokens[b].tolist()))
        for tokens, probability in want.items():
            sigma = np.sqrt(number * probability * (1 - probability))
            count = counts.pop(tuple(padded(tokens, 3)), 0)
            assert abs(count - number * probability) <= 5 * sigma, tokens
        assert not counts
        assert abs(sum(want.values()) - 1) < 1e-9
        assert len(want) > 4


# Ensembles.


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
            length_penalty=hypotheses.power_penalty(0.5),
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
