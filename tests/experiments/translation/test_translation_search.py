"""The settings of the search, in their effect on translations."""

import math

import pytest

from tests.small_translation import SENTENCES, use


@pytest.mark.parametrize(
    "flags",
    [
        ("--beam_size=1",),
        ("--temperature=0.01",),
        ("--length_penalty=gnmt", "--coverage=0.2"),
        ("--length_penalty=reward", "--alpha=0.1"),
        ("--length_penalty=none", "--no_repeat_ngram=2"),
        ("--checkpoint=last",),
    ],
    ids=lambda flags: flags[0],
)
def test_every_search_translates(trained, flags):
    result = use(trained, "translate", *flags, stdin=b"big red cat\n")
    assert result.out == "chat rouge grand\n"


def translations(workdir, *more):
    """The translations of `SENTENCES` as lists of words."""
    result = use(workdir, "translate", "--beam_size=4", *more, stdin=SENTENCES)
    assert result.code == 0, result.err
    return [line.split(" ") for line in result.out.splitlines()]


def mean_length(translations):
    return sum(map(len, translations)) / len(translations)


def n_best(workdir, *more):
    """{translation: its best score} for each of `SENTENCES`.

    A text may occur several times, since some tokens, such as bos, have no text.
    """
    flags = ("--n_best=12", "--beam_size=12", "--length_penalty=none", *more)
    result = use(workdir, "translate", *flags, stdin=SENTENCES)
    found = {}
    for line in result.out.splitlines():
        number, score, text = line.split("\t")
        found.setdefault(number, {}).setdefault(text, float(score))
    assert result.code == 0 and len(found) == 4
    return list(found.values())


@pytest.mark.parametrize("penalty", ["reward", "power", "gnmt"])
def test_length_penalties_and_their_strength_have_effect(untrained, penalty):
    flag = f"--length_penalty={penalty}"
    short, long = (
        translations(untrained[0], flag, f"--alpha={alpha}") for alpha in (-4, 4)
    )
    assert mean_length(short) < mean_length(long)
    none = translations(untrained[0], "--length_penalty=none", "--alpha=4")
    assert none == translations(untrained[0], flag, "--alpha=0") != long


def test_coverage_penalizes_source_tokens_without_attention(untrained):
    free, paid = (n_best(untrained[0], f"--coverage={b}") for b in (0, 0.5))
    for line, one, other in zip(SENTENCES.splitlines(), free, paid, strict=True):
        assert all(other[text] <= one[text] for text in one.keys() & other.keys())
        # The weights a_s of a step sum to 1: sum_s log(a_s) is at most S log(1/S).
        size = len(line.split())
        assert other[""] - one[""] <= -0.5 * size * math.log(size) + 2e-4


def test_a_wider_beam_finds_more_probable_translations(untrained):
    best = []
    for width in (1, 2, 12):
        flags = (f"--beam_size={width}", "--length_penalty=power", "--alpha=-1")
        best.append(translations(untrained[0], *flags))
    assert best[0] != best[2] or best[1] != best[2]
    wide = n_best(untrained[0])
    narrow = n_best(untrained[0], "--n_best=2", "--beam_size=2")
    for one, other in zip(wide, narrow, strict=True):
        assert len(one) > len(other) and max(one.values()) >= max(other.values())


@pytest.mark.parametrize("number", [3, 40])  # 40 exceeds the usual maximum length
def test_translations_have_the_minimum_length(untrained, number):
    flags = ("--length_penalty=none", f"--min_length={number}")
    assert any(len(t) < number for t in translations(untrained[0], flags[0]))
    found = translations(untrained[0], *flags)
    assert all(len(words) >= number for words in found)


def test_repeated_ngrams_are_blocked(untrained):
    flags = ("--length_penalty=reward", "--alpha=4")
    free = translations(untrained[0], *flags)
    assert any(len(set(words)) < len(words) for words in free)
    blocked = translations(untrained[0], *flags, "--no_repeat_ngram=1")
    assert all(len(set(words)) == len(words) for words in blocked)


def test_sampling_follows_its_flags(untrained):
    greedy = translations(untrained[0], "--beam_size=1")
    hot = "--temperature=3"
    assert translations(untrained[0], hot) != greedy
    assert translations(untrained[0], hot, "--seed=9") != greedy
    for sharp in ("--top_k=1", "--top_p=0.000001"):
        assert translations(untrained[0], hot, sharp) == greedy
    assert translations(untrained[0], "--temperature=0.00001") == greedy


def test_interactive_samples_anew_for_each_line(trained):
    more = ("--temperature=30", "--min_length=4")
    text = b"red cat\n" * 4
    found = use(trained, "interactive", *more, stdin=text).out.splitlines()
    assert len(found) == 4 and len(set(found)) > 1
    again = use(trained, "interactive", *more, stdin=text).out.splitlines()
    assert found == again


def test_an_ensemble_averages_the_probabilities_of_its_models(untrained):
    one, other = (n_best(workdir) for workdir in untrained)
    both = n_best(untrained[0], f"--ensemble={untrained[1]}")
    for a, b, mean in zip(one, other, both, strict=True):
        # The empty translation is a single step: its score is log P(eos).
        want = math.log((math.exp(a[""]) + math.exp(b[""])) / 2)
        assert mean[""] == pytest.approx(want, abs=2e-4)
        assert a[""] != b[""]


def test_an_ensemble_of_one_model_twice_equals_the_model(trained):
    flag = f"--ensemble={trained}"
    found = use(trained, "translate", flag, stdin=b"red dog\n")
    assert found.out == "chien rouge\n"


def test_translations_that_are_cut_off_are_noted(untrained):
    greedy = "--beam_size=1"
    endless = use(untrained[0], "translate", greedy, stdin=SENTENCES)
    assert "4 of 4 translations were cut off" in endless.err
    endless = use(untrained[0], "interactive", greedy, stdin=b"dog\n")
    assert "1 of 1 translations were cut off" in endless.err
    # If no token may repeat, every translation ends.
    flags = (greedy, "--no_repeat_ngram=1")
    assert use(untrained[0], "translate", *flags, stdin=SENTENCES).err == ""
