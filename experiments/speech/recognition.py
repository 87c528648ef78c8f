"""Recognition of utterances by a model, and its error rates."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from experiments.common.devices import ONE_DEVICE, Placement
from experiments.common.recurrent import make_cell
from experiments.speech.config import Config, DataConfig
from experiments.speech.data import LabelEncoder, SpeechBatch, SpeechMinibatches
from experiments.speech.features import build_front_end
from seqjax import metrics
from seqjax.data.speech import Utterance
from seqjax.models.ctc_model import CTCModel
from seqjax.structured import ctc


class SpeechRecognizer(NamedTuple):
    """A model with its front end and its labels."""

    model: CTCModel
    front: Any
    encoder: LabelEncoder


def build_recognizer(config: Config, encoder: LabelEncoder) -> SpeechRecognizer:
    """The model and the front end of the settings."""
    front = build_front_end(config.features)
    model = CTCModel(
        len(encoder.labels) + 1,
        make_cell(config.model),
        front.size,
        config.model.stacking,
        config.model.dropout,
        config.model.locked_dropout,
    )
    return SpeechRecognizer(model, front, encoder)


def minibatches_of(
    config: Config, recognizer: SpeechRecognizer, part: Any
) -> SpeechMinibatches:
    """The minibatches of some utterances."""
    model, front, encoder = recognizer
    return SpeechMinibatches(config, part, encoder, front, model)


Words = tuple[str, ...]
# (params, minibatches) -> (the words of each utterance, total loss, number of labels)
Recognize = Callable[[Any, SpeechMinibatches], tuple[list[Words], float, float]]


def make_recognize(
    config: DataConfig,
    model: CTCModel,
    front: Any,
    encoder: LabelEncoder,
    beam_size: int,
    limit_words: bool = False,
    placement: Placement = ONE_DEVICE,
) -> Recognize:
    """A function that recognizes all utterances of `SpeechMinibatches`.

    Args:
      config: the smallest and the largest number of joined recordings.
      model: the CTC model.
      front: the front end.
      encoder: labels to words.
      beam_size: number of prefixes; 1 is greedy.
      limit_words: whether to take the best hypothesis with as many words as
        `min_words` to `max_words` training recordings, if there is one.
      placement: where the minibatches are computed.
    """
    fewest = config.min_words * encoder.words[0]
    most = config.max_words * encoder.words[1]

    @placement.held_out
    @jax.jit
    def run_batch(params: Any, batch: SpeechBatch) -> Any:
        xs, lengths = front.apply(batch.samples, batch.lengths)
        logits, steps = model.apply(params, xs, lengths)
        loss = ctc.loss(logits, steps, batch.labels, batch.label_lengths)
        found = ctc.beam_search(logits, steps, beam_size)
        return found.tokens, found.lengths, *loss

    def best(tokens: np.ndarray, lengths: np.ndarray) -> Words:
        ranked = (encoder.decode(t[:n]) for t, n in zip(tokens, lengths, strict=True))
        first = next(ranked)
        if not limit_words or fewest <= len(first) <= most:
            return first
        fits = (words for words in ranked if fewest <= len(words) <= most)
        return next(fits, first)

    def recognize(
        params: Any, minibatches: SpeechMinibatches
    ) -> tuple[list[Words], float, float]:
        words: list[Words] = [()] * len(minibatches)
        total = count = 0.0
        for rows, batch in minibatches.batches():
            tokens, lengths, *loss = run_batch(params, batch)
            total, count = total + float(loss[0]), count + float(loss[1])
            tokens, lengths = np.asarray(tokens), np.asarray(lengths)
            for column, row in enumerate(rows):
                if row >= 0:
                    words[row] = best(tokens[column], lengths[column])
        return words, total, count

    return recognize


def error_rates(
    part: Sequence[Utterance], found: Sequence[Words]
) -> dict[str, float | None]:
    """The error rates of recognized words.

    Args:
      part: the utterances.
      found: the words of each.

    Returns:
      The error rates of words and of letters, which include the spaces between words;
      the share of correct utterances, and of correct utterances of one word (None if
      there is none).
    """
    spoken = [u.words for u in part]
    right = [a == b for a, b in zip(spoken, found, strict=True)]
    alone = [ok for words, ok in zip(spoken, right, strict=True) if len(words) == 1]
    letters = ([" ".join(words) for words in side] for side in (spoken, found))
    return {
        "word_error_rate": metrics.error_rate(spoken, found),
        "letter_error_rate": metrics.error_rate(*letters),
        "utterances_right": float(np.mean(right)),
        "digits_right": float(np.mean(alone)) if alone else None,
    }
