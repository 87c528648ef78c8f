"""Embeddings that start from a file of word vectors."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from experiments.classification import Config as ClassificationConfig
from experiments.common.errors import UserError
from experiments.common.vectors import start_from_vectors
from experiments.tagging import Config as TaggingConfig
from seqjax import training

WORDS = ["<unk>", "<pad>", "The", "the", "Of", "absent"]


class Params(NamedTuple):
    embed: jnp.ndarray
    other: jnp.ndarray


def start(path, content, size=2):
    path.write_text(content)
    rng = np.random.default_rng(0)
    embed = rng.uniform(-0.1, 0.1, (len(WORDS), size)).astype(np.float32)
    state = training.init_state(
        Params(embed, jnp.ones(3)), optax.adam(1), None, jax.random.key(0)
    )
    return embed, start_from_vectors(state, str(path), WORDS)


def test_known_words_have_their_vectors_and_the_others_their_spread(tmp_path, capsys):
    content = "the 1 5\nof 3 4\nThe 7 8\n<unk> 9 9\n"
    embed, state = start(tmp_path / "a.txt", content)
    found = np.asarray(state.params.embed)
    np.testing.assert_array_equal(found[2:5], [[7, 8], [1, 5], [3, 4]])
    scale = np.std([7, 8, 1, 5, 3, 4]) / embed.std()
    rest = [0, 1, 5]  # special tokens are no words
    np.testing.assert_allclose(found[rest], scale * embed[rest], rtol=1e-5)
    np.testing.assert_array_equal(state.params.other, 1)
    note = "a.txt has 3 of 4 words (75.0%), 1 of them in lower case.\n"
    assert capsys.readouterr().err.endswith(note)


def test_where_no_word_is_known_nothing_changes(tmp_path, capsys):
    embed, state = start(tmp_path / "a.txt", "le 1 5\n")
    np.testing.assert_array_equal(state.params.embed, embed)
    assert "a.txt has 0 of 4 words (0.0%).\n" in capsys.readouterr().err


def test_another_size_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"--embed_size=3, but the vectors .* have 2"):
        start(tmp_path / "a.txt", "the 1 5\n", size=3)


@pytest.mark.parametrize("config", [ClassificationConfig, TaggingConfig])
def test_vectors_decide_the_size_unless_it_is_given(tmp_path, config):
    path = tmp_path / "a.txt"
    path.write_text("the 1 5 6\n")
    assert config.of(vectors=path).model.embed_size == 3
    assert config.of(vectors=path, embed_size=7).model.embed_size == 7
    assert config.of().model.embed_size == config().model.embed_size != 3
