"""Which poems are used, and the tokens that they become."""

import pytest

from experiments.common.errors import UserError
from experiments.poems import Config
from experiments.poems.config import DataConfig
from experiments.poems.data import PoemEncoder, _passes, load_corpus
from seqjax.data.text import DataError
from seqjax.data.vocab import BOS, EOS, SENTENCE_TOKENS, Vocab
from tests.scripted_poems import poems_of, small_vocab


def contents(**settings):
    corpus = load_corpus(Config.of(**settings).data, None)
    return [
        p.content for part in (corpus.train, corpus.valid, corpus.test) for p in part
    ]


def test_own_poems_are_used_as_they_are(tmp_path, capsys):
    path = tmp_path / "own.txt"
    lines = [f"{i}:the {i * 'o'} said, and so." for i in range(150)]
    path.write_text("\n".join(lines) + "\n")
    assert len(contents(corpus=str(path))) == 150
    assert not capsys.readouterr().err
    with pytest.raises(DataError, match="--noclean keeps"):
        contents(corpus=str(path), clean=True)
    found = contents()
    assert len(set(found)) == len(found) > 1000


def test_a_truncated_poem_has_no_end():
    config = DataConfig(max_length=3, truncate=True)
    encoder = PoemEncoder(config, small_vocab("abcd"))
    split = poems_of("ab", "abc", "abcd")
    found = [s.tokens.tolist() for s in encoder.sequences(split)]
    assert found == [[BOS, 4, 5, EOS], [BOS, 4, 5, 6, EOS], [BOS, 4, 5, 6]]
    text = encoder.one_text(split).tolist()
    assert text == [token for tokens in found for token in tokens]


FORMS = (  # lines x characters, and all characters
    "一二三，四五六。",  # 2 x 3, 8
    "一二三四五，六七八九十。",  # 2 x 5, 12
    "一二三四五，六七八九十。" * 2,  # 4 x 5, 24
    "一二三，四五六七。",  # of two lengths, 9
)


@pytest.mark.parametrize(
    ("settings", "which"),
    [
        ({}, "1111"),
        ({"line_length": 5}, "0110"),
        ({"line_length": 3}, "1000"),
        ({"num_lines": 2}, "1100"),
        ({"num_lines": 4, "line_length": 3}, "0000"),
        ({"min_length": 9}, "0111"),
        ({"min_length": 10}, "0110"),
        ({"max_length": 12}, "1101"),
        ({"max_length": 11}, "1001"),
        ({"max_length": 11, "truncate": True}, "1111"),
    ],
    ids=str,
)
def test_the_filters_pass_these(settings, which):
    found = [_passes(DataConfig(**settings), content) for content in FORMS]
    assert found == [digit == "1" for digit in which]


def test_unknown_characters_are_named():
    encoder = PoemEncoder(DataConfig(), small_vocab("ab"))
    assert encoder.known("ba", "prompt").tolist() == [5, 4]
    with pytest.raises(UserError, match="--prompt: the vocabulary does not hold x, z"):
        encoder.known("zax", "prompt")


def test_titles_belong_to_the_vocabulary_where_they_are_read():
    split = [*poems_of("ab")]
    split[0] = split[0]._replace(title="t")
    reads = PoemEncoder.train(DataConfig(titles=True), split)
    assert reads.vocab.tokens[4:] == Vocab("t:ab", 1, SENTENCE_TOKENS).tokens[4:]
    assert reads.sequences(split)[0].start == 3  # bos, the title, a colon
    without = PoemEncoder.train(DataConfig(), split)
    assert without.vocab.tokens[4:] == ["a", "b"]
    assert without.sequences(split)[0].start == 1
