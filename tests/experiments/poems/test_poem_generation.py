"""Generated poems: acrostics, beam search, form, novelty, the n-gram baseline."""

from types import SimpleNamespace

import pytest

from experiments.common.errors import UserError
from experiments.poems import Config
from experiments.poems.data import PoemEncoder
from experiments.poems.generation import generate_poems, sample_poems
from experiments.poems.modes import evaluate_samples, ngram_perplexity
from seqjax.data import poems
from seqjax.data.vocab import BOS, EOS, PAD, UNK
from tests.scripted_poems import Echo, Scripted, poems_of, small_vocab


def generated(text, always=-1, **settings):
    """The poems of a model that writes `text`."""
    config, vocab = Config.of(temperature=0.0, **settings), small_vocab(text)
    model = Scripted((*vocab.encode(text).tolist(), EOS), len(vocab), always)
    encoder = PoemEncoder(config.data, vocab)
    return generate_poems(config.decode, model, None, encoder, seed=0)


def test_an_acrostic_that_is_truncated_is_noted(capsys):
    text = "ab，ab。"
    assert generated(text, acrostic="bb", length=9) == ["bb，bb。"]
    assert capsys.readouterr().err == ""
    assert generated(text, acrostic="bb", length=3) == ["bb，"]
    expected = "1 of 1 poems are truncated at --length=3."
    assert expected in capsys.readouterr().err
    with pytest.raises(UserError, match="--acrostic needs lines"):
        generated("abba", acrostic="bb")
    assert generated("ab", acrostic="b") == ["bb"]


@pytest.mark.parametrize("token", [UNK, PAD, BOS])
def test_reserved_tokens_are_never_written(token):
    """Neither sampled, nor found by beam search."""
    config, vocab = Config.of(beam_size=2, temperature=0.0, length=9), small_vocab("ab")
    model, encoder = Scripted((4, 5, 5, EOS), len(vocab), token), None
    encoder = PoemEncoder(config.data, vocab)
    drawn = sample_poems(config.decode, model, None, encoder, [""], seed=0)
    assert drawn == [("abb", True)]
    found = generate_poems(config.decode, model, None, encoder, seed=0)
    assert found == ["abb"]


POEM = "一二三四五，六七八九十。"


@pytest.mark.parametrize(
    ("settings", "valid", "length"),
    [
        ({"length": 25}, 1.0, 24),
        ({"length": 24}, 1.0, 24),
        ({"length": 23}, 0.0, 23),
        ({"length": 12}, 0.0, 12),  # it looks whole, but did not end
        ({"length": 24, "line_length": 5, "num_lines": 4}, 1.0, 24),
        ({"length": 24, "line_length": 7}, 0.0, 24),
        ({"length": 24, "num_lines": 2}, 0.0, 24),
    ],
    ids=str,
)
def test_sampled_poems_are_valid_if_they_end_in_form(settings, valid, length):
    config = Config.of(samples=2, temperature=0.0, **settings)
    vocab = small_vocab(POEM)
    model = Scripted((*vocab.encode(POEM * 2).tolist(), EOS), len(vocab))
    corpus = SimpleNamespace(train=poems_of(POEM * 2), valid=poems_of(POEM))
    encoder = PoemEncoder(config.data, vocab)
    found = evaluate_samples(config, model, None, encoder, corpus)
    assert found == ({"valid_form": valid, "novelty": 0.0}, [(POEM * 2)[:length]] * 2)


def test_samples_have_the_titles_of_validation_in_turn():
    """One with a character outside the vocabulary is left out."""
    config = Config.of(titles=True, samples=3, length=1, temperature=0.0)
    vocab = small_vocab("ab:")
    corpus = SimpleNamespace(
        train=poems_of("ab"),
        valid=[poems.Poem(title, "a") for title in ("a", "x", "aab")],
    )
    encoder = PoemEncoder(config.data, vocab)
    model = Echo(6, len(vocab))
    found = evaluate_samples(config, model, None, encoder, corpus)
    assert found[1] == ["a", "b", "a"]


def test_no_empty_poem_is_written():
    """There is "a" that ends and "a" that would continue, and no third."""
    vocab = small_vocab("a")
    model = Scripted((EOS, EOS), len(vocab))

    def found(**settings):
        config = Config.of(number=3, **settings)
        encoder = PoemEncoder(config.data, vocab)
        return generate_poems(config.decode, model, None, encoder, seed=0)

    assert found(temperature=0.0) == ["a"] * 3
    assert found(beam_size=3, length=1) == ["a"] * 2


def test_the_ngram_model_does_not_predict_beginnings():
    """bos a a b eos: with the fallback's discounts of 1/2 and 1 for one and two,
    half of all probability is shared by 6 tokens, so that a has 1/5 + 1/12, and b, eos
    and bos have 1/10 + 1/12 each. It predicts a eos b eos."""
    corpus = SimpleNamespace(train=poems_of("aab"), test=poems_of("a", "b"))
    encoder = PoemEncoder(Config().data, small_vocab("ab"))
    want = (17 / 60 * (11 / 60) ** 3) ** (-1 / 4)
    assert ngram_perplexity(corpus, encoder, 1) == pytest.approx(want)
