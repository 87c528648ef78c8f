"""Beam search: known pitfalls, one test each, and random models.

`test_search_laws` has the laws that beam search shares with the other searches.
"""

from functools import partial
from itertools import product

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seqjax.decoding import beam_search, exhaustive, greedy, penalties
from tests.equality import assert_same
from tests.search_models import EOS, PENALTIES, Rules, draw, find, rows
from tests.search_oracle import (
    EVERY_PENALTY,
    assert_agrees,
    assert_found,
    ranked,
    sentence,
)

LONG = 10


def test_the_result_does_not_depend_on_the_batch():
    eager = np.linspace(-8, 8, 24)
    rules = Rules(LONG, penalty="power", strength=1.0)
    model = draw(0, 5, 24, eager)
    batch = find("beam_search", model, rules)
    assert batch.lengths.min() == 1 and batch.lengths[:, 0].max() == LONG
    for b in range(24):
        alone = find("beam_search", rows(model, slice(b, b + 1)), rules)
        np.testing.assert_array_equal(alone.tokens[0], batch.tokens[b])
        np.testing.assert_array_equal(alone.lengths[0], batch.lengths[b])
        np.testing.assert_allclose(alone.scores[0], batch.scores[b], rtol=1e-5)


@pytest.mark.parametrize("n_best", [1, 3])
@pytest.mark.parametrize("penalty", EVERY_PENALTY, ids=lambda rules: rules.penalty)
def test_early_stopping_changes_nothing(penalty, n_best):
    """In a batch of early and late sentences, with penalties of both signs."""
    rules = Rules(LONG, penalty.penalty, penalty.strength, penalty.beta)
    for seed in range(4):
        model = draw(seed, 5, 24, eager=np.linspace(-2, 3, 24), sticky=seed)
        ours = find("beam_search", model, rules, n_best=n_best)
        assert_same(
            ours, find("beam_search", model, rules, n_best=n_best, early_stopping=False)
        )
        if seed == 0:
            for b in range(0, 24, 5):
                want = ranked(sentence(model, b), rules, width=3)
                assert_found([leaf[b] for leaf in ours], want, LONG)


def test_fewer_results_are_the_first_of_more():
    model, rules = draw(1, 5, 24, eager=1.0), Rules(LONG, "gnmt", 0.6)
    more = find("beam_search", model, rules, n_best=3)
    fewer = find("beam_search", model, rules, n_best=1)
    assert_same(fewer, jax.tree.map(lambda leaf: leaf[:, :1], more))


def table_step(table):
    """A model that looks up the next word's probabilities by the words so far.

    Words are letters and "." is eos. After any other prefix the words are equally
    probable.
    """
    words = "^" + "".join(sorted({word for key in table for word in key})) + "."
    longest = max(map(len, table)) + 1
    keys = np.zeros((len(table), longest), np.int32)
    for row, key in zip(keys, table, strict=True):
        row[: len(key)] = [words.index(word) for word in key]
    even = [1 / (len(words) - 1)] * (len(words) - 1)
    with np.errstate(divide="ignore"):
        logits = np.log([[0.0, *shares] for shares in [*table.values(), even]])

    def step(state, token):
        count, past = state
        past = jnp.where(jnp.arange(longest) == count - 1, token, past)
        found = (jnp.asarray(keys) == past).all(axis=1)
        row = jnp.where(found.any(), jnp.argmax(found), len(keys))
        return (count + 1, past), jnp.asarray(logits, jnp.float32)[row]

    return step, (jnp.zeros(1, jnp.int32), jnp.zeros((1, longest), jnp.int32)), words


def search_table(search, table, **options):
    """{sequence: score} of the one sentence of a table, best first."""
    step, state, words = table_step(table)
    options = {"bos": 0, "eos": len(words) - 1, **options}
    found = jax.jit(lambda state: search(step, state, **options))(state)
    return {
        "".join(words[i] for i in tokens[:length]): float(score)
        for tokens, score, length in zip(*(leaf[0] for leaf in found), strict=True)
    }


LATTICE = {  # A, B, end
    "": [0.6, 0.4, 0.0],
    "A": [0.3, 0.2, 0.5],
    "B": [0.4, 0.05, 0.55],
    "BA": [1.0, 0.0, 0.0],
    "BAA": [1.0, 0.0, 0.0],
    "BAAA": [0.0, 0.0, 1.0],
}


def test_finished_hypotheses_do_not_narrow_the_beam():
    """The best sequence continues the fourth of four continuations; two of them end.

           .5  end      .30      A beam of 2 that considers 2 continuations has no
    A .6 <                       live hypothesis left. One in which finished
           .3  AA  .18 ...       hypotheses keep their slots continues AA at most.
           .55 end      .22      BA continues with probability 1, and BAAA end has
    B .4 <                       the best score per token.
           .4  BA  .16 - A - A - end
    """
    found = search_table(
        beam_search,
        LATTICE,
        beam_size=2,
        max_length=6,
        length_penalty=penalties.power_penalty(1.0),
    )
    assert list(found) == ["BAAA.", "A."]
    np.testing.assert_allclose(
        list(found.values()), [np.log(0.16) / 5, np.log(0.30) / 2], rtol=1e-5
    )


# The textbook's example: A, B, C, end at four steps; after a C at step 2, the last two
# steps have other probabilities.
BEFORE = [[0.5, 0.2, 0.2, 0.1], [0.1, 0.4, 0.3, 0.2]]
USUAL = [*BEFORE, [0.2, 0.2, 0.4, 0.2], [0.0, 0.2, 0.2, 0.6]]
AFTER_C = [*BEFORE, [0.1, 0.6, 0.2, 0.1], [0.2, 0.1, 0.1, 0.6]]
TEXTBOOK = {
    "".join(past): (AFTER_C if past[1:2] == ("C",) else USUAL)[t]
    for t in range(4)
    for past in product("ABC", repeat=t)
}


def test_the_example_of_the_textbook():
    find = partial(search_table, table=TEXTBOOK, max_length=4)
    ((words, score),) = find(greedy).items()
    assert words == "ABC."
    np.testing.assert_allclose(np.exp(score), 0.5 * 0.4 * 0.4 * 0.6, rtol=1e-5)
    for search, how in [(beam_search, {"beam_size": 2}), (exhaustive, {"n_best": 2})]:
        found = find(search, min_length=3, **how)
        assert list(found) == ["ACB.", "ABC."]
        np.testing.assert_allclose(np.exp([*found.values()]), [0.054, 0.048], rtol=1e-5)
        shorter = find(search, **how)
        assert set(shorter) == {".", "A."}  # the textbook omits these
        np.testing.assert_allclose(np.exp([*shorter.values()]), 0.1, rtol=1e-5)


@pytest.mark.parametrize(
    "n_best, early, steps", [(1, True, 1), (2, True, 3), (1, False, 5)]
)
def test_the_loop_ends_as_early_as_possible(n_best, early, steps):
    table = {"": [0.1, 0.0, 0.9], "A": [0.5, 0.1, 0.4], "B": [0.0, 0.0, 1.0]}
    step, state, _ = table_step(table)
    calls = []

    def counting(state, token):
        jax.debug.callback(lambda count: calls.append(int(count)), state[0])
        return step(state, token)

    def search(state):
        return beam_search(
            counting,
            state,
            bos=0,
            eos=3,
            beam_size=3,
            max_length=5,
            n_best=n_best,
            early_stopping=early,
        )

    found = jax.block_until_ready(jax.jit(search)(state))
    jax.effects_barrier()
    assert sorted(set(calls)) == list(range(steps))
    assert found.tokens[0, 0].tolist() == [3] * 5


def test_more_results_than_finished_hypotheses():
    """Hypotheses that were cut off fill the slots, by their scores."""
    model = draw(2, 5, 3, eager=[-np.inf, -4.0, 1.0])
    found = assert_agrees("beam_search", model, Rules(4), beam_size=6)
    assert (found.lengths[0] == 4).all() and not (found.tokens[0] == EOS).any()
    last = np.take_along_axis(found.tokens, found.lengths[..., None] - 1, axis=2)
    finished = (last[..., 0] == EOS).sum(axis=1)
    assert finished[0] == 0 < finished[1] < 6, "a sentence of each kind"


def test_a_wider_beam_finds_better_hypotheses():
    model, rules = draw(4, 5, 6, eager=-1.0), Rules(4, "power", 0.75)
    best = [
        assert_agrees("beam_search", model, rules, beam_size=width).scores[:, 0]
        for width in (2, 3, 8)
    ]
    assert (best[0] < best[-1] - 1e-3).any()


# Free choices, forced tokens and an eos before the minimum length.
PREFIX = [[-1, 2, -1, 2], [3, 3, 3, -1], [2, EOS, 3, 3]]
OPTIONS = {
    **{f"penalty {i}": rules for i, rules in enumerate(EVERY_PENALTY)},
    "no repetition": Rules(ngram=2, penalty="power", strength=0.75),
    "minimum length": Rules(min_length=3, beta=0.2),
    "prefix": Rules(prefix=PREFIX),
    "all": Rules(4, "gnmt", 0.6, 0.2, min_length=2, ngram=1, prefix=PREFIX),
}


@pytest.mark.parametrize("rules", OPTIONS.values(), ids=OPTIONS)
def test_a_beam_of_one_is_greedy(rules):
    """Also where eos has the second highest probability, and a beam would keep it."""
    for seed, eager in enumerate([0.0, 1.5, -1.5]):
        model = draw(seed, eager=eager, sticky=2.0)
        want = assert_agrees("greedy", model, rules)
        assert_same(assert_agrees("beam_search", model, rules, beam_size=1), want)
        assert_same(find("beam_search", model, rules, beam_size=1, n_best=1), want)


def test_a_beam_of_one_ends_like_greedy():
    model, rules = draw(5, 5, 8), Rules(6)
    found = assert_agrees("beam_search", model, rules, beam_size=1)
    assert len(set(found.lengths.ravel().tolist())) > 2
    wide = find("beam_search", model, rules, beam_size=2, n_best=1)
    assert (wide.tokens != found.tokens).any()


# V, L, K, N, B and n of the n-grams: each shape is compiled once.
SHAPES = [
    (2, 1, 2, 1, 1, 0),
    (2, 5, 6, 3, 2, 2),
    (3, 4, 3, 2, 1, 1),
    (5, 3, 2, 2, 4, 0),
]


@settings(deadline=None, max_examples=15)
@given(data=st.data())
def test_random_models_agree_with_brute_force(data):
    vocab_size, length, width, n_best, batch, ngram = data.draw(
        st.sampled_from(SHAPES), "V, L, K, N, B, n"
    )
    numbers = st.floats(-3.0, 3.0, width=32)
    each = st.lists(numbers, min_size=batch, max_size=batch)
    free = st.sampled_from([-1, -1, -1, *range(vocab_size)])
    prefix = st.lists(free, min_size=length, max_size=length)
    rules = Rules(
        length,
        data.draw(st.sampled_from(list(PENALTIES)), "penalty"),
        data.draw(st.floats(-2.0, 2.0, width=32), "strength"),
        data.draw(st.sampled_from([0.0, 0.25]), "beta"),
        data.draw(st.integers(0, length), "min_length"),
        ngram,
        data.draw(st.none() | st.lists(prefix, min_size=batch, max_size=batch)),
    )
    seed = data.draw(st.integers(0, 2**32 - 1), "seed")
    model = draw(seed, vocab_size, batch, data.draw(each, "eager"))
    beam = {"beam_size": width, "n_best": n_best}
    narrow = assert_agrees("beam_search", model, rules, **beam)
    assert_same(narrow, find("beam_search", model, rules, early_stopping=False, **beam))
    every = assert_agrees("exhaustive", model, rules, n_best=n_best)
    beam["beam_size"] = vocab_size**length
    full = assert_agrees("beam_search", model, rules, **beam)
    np.testing.assert_array_equal(full.tokens, every.tokens)
    np.testing.assert_allclose(full.scores, every.scores, rtol=1e-5, atol=1e-5)
    finished = [(found.tokens[:, 0] == EOS).any(axis=1) for found in (narrow, every)]
    above = narrow.scores[:, 0] > every.scores[:, 0] + 1e-5
    assert not (above & (finished[0] == finished[1])).any()


@pytest.mark.parametrize(
    "how, got",
    [
        ({"beam_size": 0}, "0, 0 and 4"),
        ({"beam_size": 1, "n_best": 2}, "1, 2 and 4"),
        ({"n_best": 4}, "3, 4 and 4"),
        ({"n_best": 0}, "3, 0 and 4"),
        ({"max_length": 0}, "3, 3 and 0"),
    ],
    ids=str,
)
def test_invalid_sizes_raise(how, got):
    options = {"beam_size": 3, "max_length": 4, **how}
    step, state, _ = table_step(LATTICE)
    with pytest.raises(ValueError, match=f"^beam_search: [^\n]*, got {got}$"):
        beam_search(step, state, bos=0, eos=3, **options)
