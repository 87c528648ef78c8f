"""What a tagger reads, its constraints, and its baseline."""

import numpy as np
import pytest

from experiments.common.errors import UserError
from experiments.tagging import Config
from experiments.tagging.config import DataConfig
from experiments.tagging.data import EncodedSentences, TaggingVocabs
from experiments.tagging.evaluate import most_frequent_tags, score
from experiments.tagging.model import build_model
from seqjax.data.buckets import Bucket
from seqjax.data.tagged import Sentence

TRAINING = [
    Sentence(["The", "sea", "the", "sea"], ["O", "B-x", "O", "O"]),
    Sentence(["sea", "THE"], ["O", "O"]),
    Sentence(["a", "lake"], ["O", "B-x"]),
    Sentence(["lake", "lake"], ["B-y", "B-y"]),
]


def test_the_baseline_assigns_each_word_its_most_frequent_tag():
    """sea: B-x first, but O twice; lake: B-x first, but B-y twice; 6 of 10 are O."""
    baseline = most_frequent_tags(TRAINING)
    found = baseline([Sentence(["lake", "sea", "new"], []), Sentence(["a"], [])])
    assert found == [["B-y", "O", "O"], ["O"]]


@pytest.mark.parametrize(
    ("lowercase", "words"),
    [(False, ["<unk>", "<unk>", "The"]), (True, ["the", "sea", "the"])],
)
def test_lowercase_applies_to_words_and_not_to_characters(lowercase, words):
    vocabs = TaggingVocabs.train(TRAINING, DataConfig(lowercase=lowercase))
    sentence = Sentence(["tHe", "SEA", "The"], ["O"] * 3)
    sentences = EncodedSentences([sentence], vocabs, with_chars=True)
    inputs = sentences.batch(Bucket(3, np.array([0]))).inputs
    assert vocabs.words.to_tokens(np.asarray(inputs.words)[:, 0]) == words
    chars = vocabs.chars.to_tokens(np.asarray(inputs.chars)[:3, 0, 0])
    assert "".join(chars) == "tHe"


def make_model(sentences, **settings):
    config = Config.of(**settings)
    vocabs = TaggingVocabs.train(sentences, config.data)
    return build_model(config.model, config.decode, vocabs)


@pytest.mark.parametrize(
    ("tags", "constrain", "constrained"),
    [
        (["B-x", "I-x"], True, True),
        (["B-x", "I-x"], False, False),
        (["O", "I-x"], True, False),
        (["B-x", "I-y"], True, False),
        (["B", "I"], True, True),
        (["O", "I"], True, False),  # or it could not be predicted
        (["NOUN", "I"], True, False),
    ],
)
def test_tags_are_constrained_where_training_is_bio(tags, constrain, constrained):
    model = make_model([Sentence(["a", "b"], tags)], constrain=constrain)
    assert model.constrained is constrained


def test_a_bias_against_outside_needs_that_tag():
    with pytest.raises(UserError, match="--outside_bias needs the tag O"):
        make_model([Sentence(["a"], ["NOUN"])], outside_bias=1)


def test_spans_are_of_b_and_i_typed_or_not():
    yes = [["B-x", "I-x", "O"], ["B", "I", "O"], ["I-x", "O"], ["B"]]
    no = [["O"], [], ["I", "O"], ["B", "NOUN"], ["B-x", "S-x"], ["IN", "O"]]
    found = [TaggingVocabs(None, None, tags, True).have_spans for tags in yes + no]
    assert found == [True] * len(yes) + [False] * len(no)


def test_scores_are_those_of_the_definitions():
    """5 of 6 words are correct; of the three ambiguous "lake", two."""
    sentences = [
        Sentence(["a", "lake", "lake"], ["O", "B-x", "O"]),
        Sentence(["lake", "the", "a"], ["B-y", "O", "O"]),
    ]
    predicted = [["O", "B-x", "B-x"], ["B-y", "O", "O"]]
    numbers, by_type = score(sentences, predicted, {"lake"}, have_spans=True)
    assert numbers == pytest.approx(
        {
            **{"f1": 4 / 5, "precision": 2 / 3, "recall": 1},
            **{"accuracy": 5 / 6, "ambiguous_accuracy": 2 / 3},
        }
    )
    assert by_type["x"].gold == 1 and by_type["y"].f1 == 1
    numbers, by_type = score(sentences, predicted, (), have_spans=False)
    assert numbers == {"accuracy": 5 / 6, "ambiguous_accuracy": None}
    assert by_type == {}
