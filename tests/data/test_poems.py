"""Poems: readers, cleaning, forms, novelty, the embedded verses, acrostics."""

import itertools
import math
import os

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seqjax import decoding
from seqjax.data import poems
from seqjax.data.poems import Poem
from seqjax.data.synthetic import verses
from seqjax.data.text import DataError
from seqjax.decoding.constraints import acrostic

FIVE = "青山映白水，孤月照寒林。"
SEVEN = "支那弟子無言語，穿耳胡僧笑點頭。"


def write(path, text):
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


# ---------------------------------------------------------------- readers


def test_lines_are_a_title_a_colon_and_a_poem(tmp_path):
    path = write(tmp_path / "x", f"月:{FIVE}\n\n:{SEVEN}\n a : b:c \n")
    found, sha256 = poems.read(path)
    assert found == [Poem("月", FIVE), Poem("", SEVEN), Poem("a", "b:c")]
    assert len(sha256) == 64


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a:b\nno colon here\n", "line 2"),
        ("a:b\n\nc:\n", "line 3"),
        ("a: \n", "line 1"),
        (b"a:\xff\n", "UTF-8"),
        ("", "empty"),
    ],
)
def test_other_lines_are_refused_by_number(tmp_path, text, words):
    with pytest.raises(DataError, match=words) as error:
        poems.read(write(tmp_path / "x", text))
    assert str(tmp_path / "x") in str(error.value)


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=60))
@settings(max_examples=50, deadline=None)
def test_any_text_is_read_or_refused(tmp_path_factory, text):
    path = write(tmp_path_factory.mktemp("x") / "x", text)
    try:
        found, _ = poems.read(path)
    except DataError:
        return
    assert all(poem.content for poem in found)


def test_held_out_parts_share_no_content():
    many = [Poem(str(i), f"{i % 300}。") for i in range(600)]
    parts = poems.split("x", many, "")
    contents = [{p.content for p in part} for part in parts[1:4]]
    assert sum(map(len, contents)) == len(set.union(*contents)) == 300
    assert sorted(p for part in parts[1:4] for p in part) == sorted(many)
    assert 5 <= len(contents[1]) <= 30 and 5 <= len(contents[2]) <= 30
    with pytest.raises(DataError, match="part"):
        poems.split("x", many[:1], "")


@pytest.mark.skipif(
    "SEQJAX_DATA_DIR" not in os.environ, reason="needs real data in SEQJAX_DATA_DIR"
)
def test_the_published_poems_are_as_many_as_it_says():
    found, _ = poems.load("tang_poems")
    assert len(found) == 57_603
    assert sum(not poem.title for poem in found) == 168
    assert len(found[0].content) == 48
    cleaned = poems.clean(found)
    assert len({poem.content for poem in cleaned}) == len(cleaned)
    assert not set("□（〖1[") & set("".join(poem.content for poem in cleaned))


def test_an_unknown_name_brings_the_nearest():
    with pytest.raises(DataError, match="tang_poems"):
        poems.load("tang_poem")


# ---------------------------------------------------------------- cleaning, form


def test_notes_go_and_quotations_stay():
    before = [
        Poem("a", "邏人（一作「叉」）橫鳥道，江祖出魚梁。"),
        Poem("b", "[爽]節‘在’重九，“《長恨》”曲。（〖1〗這首詩（又）。）"),
        Poem("c", "冰□已鏤津。"),
        Poem("d", "月有3人。"),
        Poem("e", "（一作）"),
    ]
    assert poems.clean(before) == [
        Poem("a", "邏人橫鳥道，江祖出魚梁。"),
        Poem("b", "爽節在重九，長恨曲。"),
    ]


def test_a_text_comes_once_under_its_first_title():
    repeated = [Poem("a", FIVE), Poem("b", FIVE), Poem("c", SEVEN)]
    assert poems.clean(repeated) == [Poem("a", FIVE), Poem("c", SEVEN)]


@pytest.mark.parametrize(
    ("content", "form", "regulated"),
    [
        (FIVE, (2, 5), True),
        (SEVEN * 2, (4, 7), True),
        ("一二三四，", (1, 4), False),
        ("一二三四，五六七八。", (2, 4), False),
        ("一二三四五，一二三四五，一二三四五。", (3, 5), False),
        ("一二三四五，一二三四。", None, False),
        ("一二三四五，一二三四五", (2, 5), False),  # the last line has not ended
        ("，。", None, False),
    ],
)
def test_a_form_is_lines_of_one_length(content, form, regulated):
    assert poems.form(content) == form
    assert poems.is_regulated(content) == regulated


def test_a_form_can_be_asked_for():
    assert poems.is_regulated(FIVE, line_length=5, num_lines=2)
    assert not poems.is_regulated(FIVE, line_length=7)
    assert not poems.is_regulated(FIVE, num_lines=4)
    assert poems.is_regulated("一二三。四五六。七八九。", 3, 3)


def test_novelty_by_hand():
    # 3-grams of "abcab": abc, bca, cab; of "xab": xab. Known: abc and cab.
    assert poems.novelty(["abcab", "xab", "q"], ["abc", "zcab"], n=3) == 2 / 4
    assert poems.novelty(["aaaa"], ["aaa"], n=3) == 0
    assert poems.novelty(["aaaa"], [], n=3) == 1
    assert math.isnan(poems.novelty(["aa"], ["aaa"], n=3))


# ---------------------------------------------------------------- verses


def test_verses_keep_their_form_their_rhyme_and_their_title():
    rhymes = [{ending[-1] for ending in rhyme} for rhyme in verses.RHYMES]
    found = verses.write(seed=3, number=300)
    assert len({content for _, content in found}) == 300
    for title, content in found:
        assert poems.is_regulated(content, line_length=5, num_lines=4)
        first, second, _, last = poems.lines(content)
        assert any({second[-1], last[-1]} <= rhyme for rhyme in rhymes)
        assert second[-2:] != last[-2:]
        season, noun = title
        assert first[0] == noun and noun in verses.SEASONS[season][0] + verses.NOUNS
        others = "".join(n for s, (n, _) in verses.SEASONS.items() if s != season)
        alien = set(others) - set(verses.SEASONS[season][0]) - set(verses.NOUNS)
        endings = set("".join(verses.RHYMES[0] + verses.PLACES))
        endings |= set("".join("".join(rhyme) for rhyme in verses.RHYMES))
        assert not (set(content) & alien) - endings


def test_verses_are_decided_by_the_seed():
    assert verses.write(1, 20) == verses.write(1, 20) != verses.write(2, 20)


# ---------------------------------------------------------------- acrostics

A, B, MARK, END = range(4)
BREAKS = np.arange(4) == MARK


def lottery(state, token):
    """A model whose logits depend on all tokens so far."""
    seen = token.astype(jnp.float32) - 1.0
    state = jnp.tanh(state @ jnp.asarray([[0.9, -0.4], [0.3, 0.8]]) + seen)
    w = jnp.asarray([[1.0, -1.0, 0.5, -0.5], [0.2, 0.7, -0.3, 0.1]])
    return state, state @ w


def start(number):
    return jnp.asarray(np.random.default_rng(0).normal(size=(number, 2)), jnp.float32)


def keeps(tokens, initials):
    """Whether lines begin as they must, and the end comes after all of them."""
    rest, begins = list(initials), True
    for token in tokens:
        if begins and rest and token != rest.pop(0):
            return False
        if token == END:
            return not rest
        begins = token == MARK
    return True


@pytest.mark.parametrize("initials", [[], [B], [A, B], [MARK, A]])
def test_exactly_the_sequences_that_keep_to_an_acrostic_are_possible(initials):
    """Against all sequences of four tokens."""
    step, state = acrostic(lottery, start(1), initials, BREAKS, END)
    first = jax.tree.map(lambda leaf: leaf[0], state)
    for tokens in itertools.product(range(4), repeat=4):
        state, last, log_prob = first, END, 0.0
        for token in tokens:
            state, logits = step(state, jnp.asarray(last))
            log_prob += jax.nn.log_softmax(logits)[token]
            last = token
            if token == END:
                break
        assert np.isfinite(log_prob) == keeps(tokens, initials), tokens


def test_what_is_free_has_the_models_own_probabilities():
    step, state = acrostic(lottery, start(1), [B], BREAKS, END)
    inner, state = start(1)[0], jax.tree.map(lambda leaf: leaf[0], state)
    for token in (END, B, A, MARK, A):  # the second B is forced, the others are free
        inner, want = lottery(inner, jnp.asarray(token))
        state, got = step(state, jnp.asarray(token))
        if token != END:
            np.testing.assert_allclose(got, want, rtol=1e-6)


@pytest.mark.parametrize("search", ["sample", "beam"])
def test_searches_hold_to_an_acrostic_batch_and_all(search):
    initials = [B, A, B]
    step, state = acrostic(lottery, start(5), initials, BREAKS, END)
    options = {"bos": END, "eos": END, "max_length": 12}
    if search == "beam":
        found = decoding.beam_search(step, state, beam_size=3, **options)
    else:
        key = jax.random.key(0)
        found = decoding.sample(step, state, key, num_samples=3, **options)
    assert np.isfinite(found.scores).all()
    for tokens, length in zip(
        found.tokens.reshape(-1, 12), found.lengths.ravel(), strict=True
    ):
        assert keeps(tokens[:length].tolist(), initials)
