"""The tokenization of BLEU, chosen by the script of the references."""

import importlib.util
import re
from collections.abc import Iterable

from experiments.common.console import note
from experiments.common.errors import UserError

TOKENIZERS = ("13a", "zh", "ja-mecab", "char", "intl")
_HAN = re.compile("[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")
_KANA = re.compile("[\u3040-\u30ff\u31f0-\u31ff\uff66-\uff9f]")
# Thai, Lao, Tibetan, Myanmar and Khmer, which put no spaces between words.
_UNSPACED = re.compile("[\u0e00-\u0fff\u1000-\u109f\u1780-\u17ff]")
_JAPANESE = 0.1  # share of kana above which a text in Han characters is Japanese


def bleu_tokenizer(
    tokenize: str | None, references: Iterable[str], quiet: bool = False
) -> str:
    """The tokenization of BLEU: --tokenize, or the one that suits the references.

    That is zh for Chinese, ja-mecab for Japanese, char for other scripts that put no
    spaces between words, and 13a, sacrebleu's default, for all others.

    Args:
      tokenize: the setting; None chooses by the script and notes the choice, unless it
        is 13a.
      references: the references.
      quiet: print no note.
    """
    if tokenize is not None:
        return tokenize
    chosen, reason = _by_script("".join(references))
    if chosen == "ja-mecab" and not has_mecab():
        chosen = "char"
        reason += ', and --tokenize=ja-mecab needs MeCab: pip install "seqjax[ja]"'
    if chosen != "13a" and not quiet:
        note(f"BLEU is computed with --tokenize={chosen}: {reason}.")
    return chosen


def _by_script(text: str) -> tuple[str, str]:
    """(tokenization, reason): the script of at least half of the letters decides."""
    letters = sum(map(str.isalpha, text))
    han, kana, unspaced = (
        sum(1 for _ in script.finditer(text)) for script in (_HAN, _KANA, _UNSPACED)
    )
    if 2 * (han + kana) >= max(letters, 1):
        if kana >= _JAPANESE * (han + kana):
            return "ja-mecab", "the references are Japanese"
        return "zh", "the references are Chinese"
    if 2 * unspaced >= max(letters, 1):
        return "char", "the script of the references puts no spaces between words"
    return "13a", "the references put spaces between words"


def has_mecab() -> bool:
    """Whether the packages of --tokenize=ja-mecab are installed."""
    return all(importlib.util.find_spec(name) for name in ("MeCab", "ipadic"))


def check_tokenizer(tokenize: str | None) -> None:
    """Refuse a tokenization whose package is missing, before any work is done."""
    if tokenize == "ja-mecab" and not has_mecab():
        raise UserError(
            '--tokenize=ja-mecab needs MeCab and its dictionary: pip install "seqjax'
            '[ja]".'
        )
