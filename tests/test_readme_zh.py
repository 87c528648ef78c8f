"""README.zh.md says what README.md says: the same code, links and numbers."""

import re
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
CODE = r"```.*?\n```"


def parts(text):
    """(blocks of code, links, other code, numbers of the prose)."""
    blocks, prose = re.findall(CODE, text, re.DOTALL), re.sub(CODE, "", text, flags=16)
    links = re.findall(r"\]\(([^)]*)\)", prose)
    links = [link for link in links if not link.startswith("README")]
    inline = Counter(re.findall(r"`[^`]+`", prose))
    prose = re.sub(r"`[^`]+`|\]\([^)]*\)", "", prose)
    return blocks, links, inline, Counter(re.findall(r"\d[\d.,]*\d|\d", prose))


@pytest.mark.parametrize("part", range(4), ids=["code", "links", "inline", "numbers"])
def test_both_have_the_same(part):
    texts = ((ROOT / name).read_text("utf-8") for name in ("README.md", "README.zh.md"))
    english, chinese = (parts(text)[part] for text in texts)
    assert chinese == english


def test_both_have_the_same_sections():
    texts = ((ROOT / name).read_text("utf-8") for name in ("README.md", "README.zh.md"))
    english, chinese = (re.findall(r"^#+ ", text, re.MULTILINE) for text in texts)
    assert chinese == english
