"""Quatrains of our own making, in the manner of the Tang, that need no download.

A poem is four lines of five characters in one season. Lines 2 and 4 end in the same
rhyme, and no noun is described twice. The title names the season and the noun that
opens the poem, so that a model that is told the title knows more:

    秋山:山高映孤雁，白露入青山。江上明月照，幽石隨雲間。

What can be learned is the form, the season's words, the rhyme two lines on, and that
nouns do not come back; none of it can be read off a few characters before.
"""

import numpy as np

SEASONS = {  # its nouns beside those of every season, and its adjectives
    "春": ("花柳鶯燕桃草鳥", "青綠新細芳"),
    "夏": ("荷蟬竹雨螢瓜葉", "清長綠深密"),
    "秋": ("霜雁菊月露蟲葉", "白清孤高疎"),
    "冬": ("雪梅冰鴉松爐木", "寒孤殘玉素"),
}
NOUNS = "山水江雲日石橋路城舟"
ADJECTIVES = "遠幽空明微"
VERBS = "映照入過隨臨對動滿拂"
PLACES = ("江上", "山中", "林間", "樓前", "天涯", "城外", "池邊", "溪頭")
RHYMES = (  # two characters that end a line, by the sound of the second
    ("春風", "雲中", "山東", "碧空", "夕紅", "晚鐘"),
    ("青山", "雲間", "柴關", "不還", "日閒", "水灣"),
    ("高樓", "孤舟", "水流", "客愁", "白頭", "滄洲"),
    ("月明", "鳥聲", "古城", "客行", "故情", "草生"),
    ("遠天", "暮煙", "客船", "酒前", "去年", "夜泉"),
    ("故人", "路塵", "此身", "四鄰", "夢頻", "草新"),
)
NUM_POEMS = 12_000


def write(seed=0, number=NUM_POEMS):
    """A list of (title, content), no content twice.

    Example:
      >>> title, content = write(seed=0, number=1)[0]
      >>> len(content)  # four lines of five characters, and a mark after each
      24
    """
    rng, poems = np.random.default_rng(seed), {}
    while len(poems) < number:
        season = _any_of(rng, tuple(SEASONS))
        noun, content = _quatrain(rng, season)
        poems.setdefault(content, season + noun)
    return [(title, content) for content, title in poems.items()]


def _quatrain(rng, season):
    """(the noun that opens it, the four lines)."""
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


def _open(rng, nouns, adjectives):
    """noun adjective verb adjective noun, as 江遠映青山."""
    noun, verb = nouns.pop(), _any_of(rng, VERBS)
    return noun + _any_of(rng, adjectives) + verb + _described(rng, nouns, adjectives)


def _unrhymed(rng, nouns, adjectives):
    """adjective noun verb adjective noun, or a place, adjective noun and verb."""
    if rng.random() < 0.5:
        subject = _described(rng, nouns, adjectives)
        return subject + _any_of(rng, VERBS) + _described(rng, nouns, adjectives)
    place = _any_of(rng, PLACES)
    return place + _described(rng, nouns, adjectives) + _any_of(rng, VERBS)


def _rhymed(rng, nouns, adjectives, endings):
    """adjective noun verb and an ending."""
    subject = _described(rng, nouns, adjectives)
    return subject + _any_of(rng, VERBS) + endings.pop()


def _described(rng, nouns, adjectives):
    return _any_of(rng, adjectives) + nouns.pop()


def _any_of(rng, options):
    return options[rng.integers(len(options))]
