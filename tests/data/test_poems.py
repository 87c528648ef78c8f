"""Poems: readers, cleaning, forms, novelty, the embedded verses."""

import math
import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seqjax.data import poems
from seqjax.data.poems import Poem
from seqjax.data.synthetic import verses
from seqjax.data.text import DataError

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
def test_the_published_poems_are_complete():
    found, _ = poems.load("tang_poems")
    assert len(found) == 57_603
    assert sum(not poem.title for poem in found) == 168
    assert len(found[0].content) == 48
    cleaned = poems.clean(found)
    assert len({poem.content for poem in cleaned}) == len(cleaned)
    assert not set("□（〖1[") & set("".join(poem.content for poem in cleaned))


def test_an_unknown_name_gives_the_nearest():
    with pytest.raises(DataError, match="tang_poems"):
        poems.load("tang_poem")


# ---------------------------------------------------------------- cleaning, form


def test_notes_are_removed_and_quotations_stay():
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


def test_a_text_occurs_once_with_its_first_title():
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
        ("一二三四五，一二三四五", (2, 5), False),  # the last line has no end
        ("，。", None, False),
    ],
)
def test_a_form_is_lines_of_one_length(content, form, regulated):
    assert poems.form(content) == form
    assert poems.is_regulated(content) == regulated


def test_the_form_can_be_given():
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


def test_the_seed_decides_the_verses():
    assert verses.write(1, 20) == verses.write(1, 20) != verses.write(2, 20)
