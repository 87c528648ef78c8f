"""Chinese quatrains in the manner of the Tang dynasty, generated from tables.

A poem has four lines of five characters, with the words of one season. Lines 2 and 4
end in the same rhyme, and no noun occurs twice. The title consists of the season and
the first noun of the poem, so that the title helps to predict the poem:

    秋山:山高映孤雁，白露入青山。江上明月照，幽石隨雲間。

A model can learn the form, the words of the season, the rhyme of line 4 with line 2,
and that nouns do not repeat. A context of a few characters is not enough for that.
"""

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

Item = TypeVar("Item")

SEASONS = {  # nouns of the season, in addition to NOUNS, and its adjectives
    "春": ("花柳鶯燕桃草鳥", "青綠新細芳"),
    "夏": ("荷蟬竹雨螢瓜葉", "清長綠深密"),
    "秋": ("霜雁菊月露蟲葉", "白清孤高疎"),
    "冬": ("雪梅冰鴉松爐木", "寒孤殘玉素"),
}
NOUNS = "山水江雲日石橋路城舟"
ADJECTIVES = "遠幽空明微"
VERBS = "映照入過隨臨對動滿拂"
PLACES = ("江上", "山中", "林間", "樓前", "天涯", "城外", "池邊", "溪頭")
RHYMES = (  # the last two characters of a line, grouped by the sound of the second
    ("春風", "雲中", "山東", "碧空", "夕紅", "晚鐘"),
    ("青山", "雲間", "柴關", "不還", "日閒", "水灣"),
    ("高樓", "孤舟", "水流", "客愁", "白頭", "滄洲"),
    ("月明", "鳥聲", "古城", "客行", "故情", "草生"),
    ("遠天", "暮煙", "客船", "酒前", "去年", "夜泉"),
    ("故人", "路塵", "此身", "四鄰", "夢頻", "草新"),
)
NUM_POEMS = 12_000


def write(seed: int = 0, number: int = NUM_POEMS) -> list[tuple[str, str]]:
    """Poems (title, content) with distinct contents.

    Args:
      seed: an integer that decides the poems.
      number: the number of poems.

    Example:
      >>> title, content = write(seed=0, number=1)[0]
      >>> len(content)  # four lines of five characters, and a mark after each
      24
    """
    rng = np.random.default_rng(seed)
    poems: dict[str, str] = {}
    while len(poems) < number:
        season = _any_of(rng, tuple(SEASONS))
        noun, content = _quatrain(rng, season)
        poems.setdefault(content, season + noun)
    return [(title, content) for content, title in poems.items()]


def _quatrain(rng: np.random.Generator, season: str) -> tuple[str, str]:
    """(first noun, the four lines)."""
    own, mood = SEASONS[season]
    nouns = list(rng.permutation(list(dict.fromkeys(own + NOUNS))))
    adjectives = mood + ADJECTIVES
    rhymes = RHYMES[rng.integers(len(RHYMES))]
    endings = list(rng.permutation(rhymes))
    first = nouns[-1]
    lines = [_open(rng, nouns, adjectives), _rhymed(rng, nouns, adjectives, endings)]
    lines += [_unrhymed(rng, nouns, adjectives)]
    lines += [_rhymed(rng, nouns, adjectives, endings)]
    return first, "{}，{}。{}，{}。".format(*lines)


def _open(rng: np.random.Generator, nouns: list[str], adjectives: str) -> str:
    """noun adjective verb adjective noun, such as 江遠映青山."""
    noun, verb = nouns.pop(), _any_of(rng, VERBS)
    return noun + _any_of(rng, adjectives) + verb + _described(rng, nouns, adjectives)


def _unrhymed(rng: np.random.Generator, nouns: list[str], adjectives: str) -> str:
    """adjective noun verb adjective noun, or place adjective noun verb."""
    if rng.random() < 0.5:
        subject = _described(rng, nouns, adjectives)
        return subject + _any_of(rng, VERBS) + _described(rng, nouns, adjectives)
    place = _any_of(rng, PLACES)
    return place + _described(rng, nouns, adjectives) + _any_of(rng, VERBS)


def _rhymed(
    rng: np.random.Generator, nouns: list[str], adjectives: str, endings: list[str]
) -> str:
    """adjective noun verb ending."""
    subject = _described(rng, nouns, adjectives)
    return subject + _any_of(rng, VERBS) + endings.pop()


def _described(rng: np.random.Generator, nouns: list[str], adjectives: str) -> str:
    return _any_of(rng, adjectives) + nouns.pop()


def _any_of(rng: np.random.Generator, options: Sequence[Item]) -> Item:
    return options[int(rng.integers(len(options)))]
