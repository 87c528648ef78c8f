"""How BLEU splits its sentences: by the flag, or by the script of the references."""

import pytest
import sacrebleu

from experiments.common.errors import UserError
from experiments.translation import bleu
from experiments.translation.bleu import bleu_tokenizer, check_tokenizer
from experiments.translation.config import DataConfig
from experiments.translation.data import describe_preparation, prepare
from tests.commands import refused
from tests.small_translation import use

BY_SCRIPT = {
    "Le chat voit le chien.": "13a",
    "Кошка видит собаку.": "13a",
    "고양이가 개를 본다.": "13a",  # Korean has spaces
    "القطة ترى الكلب.": "13a",
    "猫看见狗。": "zh",
    "我在用 JAX 写一个程序，它很快。": "zh",
    "猫は犬を見る。": "ja-mecab",
    "カタカナ": "ja-mecab",
    "แมวเห็นหมา": "char",
    "ឆ្មាឃើញឆ្កែ": "char",
    "The character 猫 means cat.": "13a",
    "": "13a",
    "123 ?!": "13a",
}


@pytest.mark.parametrize(("text", "want"), BY_SCRIPT.items())
def test_the_script_decides_and_a_note_says_so(monkeypatch, capsys, text, want):
    monkeypatch.setattr(bleu, "has_mecab", lambda: True)
    assert bleu_tokenizer(None, [text, ""]) == want
    noted = capsys.readouterr().err
    assert (f"BLEU is computed with --tokenize={want}: " in noted) == (want != "13a")
    assert bleu_tokenizer(None, [text], quiet=True) == want
    for given in bleu.TOKENIZERS:
        assert bleu_tokenizer(given, [text]) == given
    assert capsys.readouterr().err == ""


def test_japanese_without_mecab_is_scored_by_characters(monkeypatch, capsys):
    monkeypatch.setattr(bleu, "has_mecab", lambda: False)
    assert bleu_tokenizer(None, ["猫は犬を見る。"]) == "char"
    assert 'pip install "seqjax[ja]"' in capsys.readouterr().err
    with pytest.raises(UserError, match=r"--tokenize=ja-mecab needs MeCab"):
        check_tokenizer("ja-mecab")
    check_tokenizer("zh")
    check_tokenizer(None)


@pytest.mark.skipif(not bleu.has_mecab(), reason="needs the extra ja")
def test_mecab_splits_japanese():
    tokenizer = sacrebleu.BLEU(
        tokenize=bleu_tokenizer(None, ["私は学生です。"])
    ).tokenizer
    assert tokenizer("私は学生です。").split() == ["私", "は", "学生", "です", "。"]


def test_the_command_scores_with_the_tokenization(monkeypatch, trained, tmp_path):
    sources, references = tmp_path / "a.txt", tmp_path / "b.txt"
    sources.write_text("red cat\nbig dog\n")
    references.write_text("红猫坐在那里。\n大狗坐在这里。\n", encoding="utf-8")
    flags = (f"--input={sources}", f"--references={references}")
    result = use(trained, "evaluate", *flags)
    assert "--tokenize=zh: the references are Chinese" in result.err
    assert "tok:zh" in result.out.replace("\n", "")
    result = use(trained, "evaluate", *flags, "--tokenize=intl")
    assert result.err == "" and "tok:intl" in result.out
    monkeypatch.setattr(bleu, "has_mecab", lambda: False)
    result = use(trained, "evaluate", *flags, "--tokenize=ja-mecab")
    refused(result, 'needs MeCab and its dictionary: pip install "seqjax[ja]"')
    refused(use(trained, "evaluate", *flags, "--tokenize=zhh"), "did you mean zh")


@pytest.mark.parametrize(
    ("settings", "want", "described"),
    [
        ({"clean": False}, "Ａ½…e\u0301\u202f?", "as they are"),
        ({"clean": False, "normalization": "nfc"}, "Ａ½…é\u202f?", "NFC"),
        ({"clean": False, "normalization": "nfkc"}, "A1⁄2...é ?", "NFKC"),
        (
            {"normalization": "nfkc"},
            "a1⁄2 . . .é ?",
            "NFKC, cleaned: lower-case, spaced",
        ),
    ],
)
def test_normalization_is_of_every_sentence_and_said(settings, want, described):
    config = DataConfig(**settings)
    assert prepare(config, "Ａ½…e\u0301\u202f?") == want
    assert describe_preparation(config) == described
