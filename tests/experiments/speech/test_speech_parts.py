"""Parts of the speech command: minibatches, augmentation, recognition, the figure."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.speech import Config
from experiments.speech.data import LabelEncoder, SpeechMinibatches
from experiments.speech.features import (
    augment_features,
    augment_samples,
    build_front_end,
)
from experiments.speech.figures import Example, draw_posteriors
from experiments.speech.modes import make_loss
from experiments.speech.recognition import (
    build_recognizer,
    make_recognize,
    minibatches_of,
)
from seqjax.data.speech import Utterance

SMALL = {"units": "words", "hidden_size": 4, "cell": "rnn"}


def recognizer_of(config, words):
    """A recognizer of one label, whose recordings have so many words."""
    return build_recognizer(config, LabelEncoder(["a"], words, config.data.units))


def test_titles_with_dollars_are_drawn_as_they_are(tmp_path):
    probs = np.array([[0.1, 0.9], [0.9, 0.1]])
    examples = [Example("costs $\\frac$ " + 200 * "x", np.zeros((4, 3)), probs)]
    path = tmp_path / "a.png"
    draw_posteriors(path, examples, ["$_$"], 0.01, 0.02)
    assert path.read_bytes()[:4] == b"\x89PNG"


def test_limits_are_of_recordings_joined_and_not_of_those_of_training():
    """Recordings have two words: two or three of them four to six, not up to ten."""
    config = Config.of(**SMALL, join=5, min_words=2, max_words=3)
    recognizer = recognizer_of(config, (2, 2))
    rng = np.random.default_rng(0)
    samples = rng.standard_normal(5100).astype(np.float32)
    part = [Utterance("a", "", ("a",), samples)]
    minibatches = minibatches_of(config, recognizer, part)
    params, numbers = recognizer.model.init(jax.random.key(0)), []
    for limit in (False, True):
        recognize = make_recognize(config.data, *recognizer, 60, limit)
        for bias in (-9.0, 0.0, 9.0):  # nothing, a label now and then, a long one
            biased = params._replace(out=params.out._replace(b=jnp.array([0.0, bias])))
            numbers.append(len(recognize(biased, minibatches)[0][0]))
    none, many, one = numbers[:3]
    assert none == 0 and 6 < many <= 10 and one == 1
    assert numbers[3:] == [4, 6, 4]


def test_a_long_recording_is_alone_and_without_padding_rows():
    """Held-out parts are joined before: there are no more labels than three."""
    config = Config.of(**SMALL, batch_size=4, max_words=5)
    part = [
        Utterance(str(i), "", ("a",) * words, np.zeros(8000 * seconds, np.float32))
        for i, (seconds, words) in enumerate([(1, 2), (12, 3), (1, 1)])
    ]
    recognizer = recognizer_of(config, (1, 3))
    model, front, encoder = recognizer
    minibatches = SpeechMinibatches(config, part, encoder, front, model)
    found = [batch for _, batch in minibatches.batches()]
    sizes = [(int(b.lengths.max()) // 8000, *b.labels.shape[::-1]) for b in found]
    assert sorted(sizes) == [(1, 4, 3), (12, 1, 3)]


def heard_in_training(**settings):
    """(samples of an augmented recording, the loss of a step on the original)."""
    config = Config.of(**SMALL, dropout=0.0, **settings)
    samples = np.sin(np.arange(6000) ** 1.5 / 300).astype(np.float32)
    augmented = augment_samples(config.augmentation, samples, np.random.default_rng(0))
    recognizer = recognizer_of(config, (1, 1))
    part = [Utterance("a", "", ("a",), samples)]
    ((_, batch),) = minibatches_of(config, recognizer, part).batches()
    key = jax.random.key(0)
    loss_fn = jax.jit(make_loss(config, recognizer))
    (total, _), _ = loss_fn(recognizer.model.init(key), None, batch, key)
    return augmented, float(total)


def test_every_augmentation_changes_what_is_read():
    samples, loss = heard_in_training()
    all_changed = {}
    for name in ("speed", "tempo", "noise"):
        changed, same = heard_in_training(**{name: 0.3})
        assert (len(changed) != len(samples)) == (name != "noise"), name
        assert not np.array_equal(changed, samples) and same == loss, name
        all_changed[name] = changed
    slower, longer = all_changed["speed"], all_changed["tempo"]  # by one factor
    assert len(slower) == len(longer) and not np.array_equal(slower, longer)
    others = {"floor": 1.0, "tilt": 0.3, "warp": 0.3, "time_mask": 9, "band_mask": 9}
    losses = [heard_in_training(**{k: v})[1] for k, v in others.items()]
    assert len({loss, *losses}) == 6


def test_both_are_bands_with_one_mean_beside_cepstra_with_their_own():
    config = Config.of(features="both", num_cepstra=5, floor=1, tilt=0.5)
    front = build_front_end(config.features)
    bands, cepstra = front.fronts
    assert (bands.num_cepstra, bands.normalized, bands.floor) == (0, "all", 1)
    assert (cepstra.num_cepstra, cepstra.normalized, cepstra.floor) == (5, "each", 1)
    xs = np.random.default_rng(0).normal(size=(6, 2, 45)).astype(np.float32)
    key, lengths = jax.random.key(0), np.array([6, 4], np.int32)
    tilted = augment_features(config.augmentation, key, xs, lengths, front, 40)
    tilt = np.asarray(tilted) - xs
    assert tilt[:4, :, :40].all() and not tilt[:4, :, 40:].any()  # the bands alone


@pytest.mark.parametrize(("features", "num_cepstra"), [("logmel", 0), ("mfcc", 5)])
def test_one_kind_of_features_has_one_front_end(features, num_cepstra):
    config = Config.of(features=features, num_cepstra=5, floor=1)
    front = build_front_end(config.features)
    assert (front.num_cepstra, front.normalized) == (num_cepstra, "all")
