"""The recordings of a run: the corpus, labels as integers, minibatches."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from experiments.common.errors import UserError
from experiments.common.run_files import strings
from experiments.common.train_on_valid import merge_valid
from experiments.common.training_run import epoch_plan
from experiments.common.workdir import Workdir
from experiments.speech.config import Config, DataConfig
from experiments.speech.features import augment_samples
from seqjax.data import buckets, speech, transcripts
from seqjax.data.buckets import Bucket
from seqjax.data.speech import SpeechCorpus, Utterance
from seqjax.data.text import DataError
from seqjax.models.ctc_model import CTCModel

MIN_FRAMES = 64  # padded to 64, 128, 256 or 512: a program is compiled for each
LONG = 1024  # frames; minibatches of longer utterances have no padding rows
PASSES = 4  # uses of each held-out recording where recordings are joined


class SpeechBatch(NamedTuple):
    """Recordings and their labels; padding may hold any values."""

    samples: Any  # float32 [N, B]
    lengths: Any  # int32 [B], in samples
    labels: Any  # int32 [L, B]
    label_lengths: Any  # int32 [B]


def load_corpus(config: Config) -> SpeechCorpus:
    """The corpus of the settings, its held-out parts joined.

    Raises:
      DataError: also for a held-out label that never occurs in training.
    """
    data = config.data
    if data.wav_dir is not None and data.transcripts is not None:
        corpus = transcripts.load_folder(data.wav_dir, data.transcripts)
    else:
        speakers = data.speaker_out, data.valid_speaker
        corpus = speech.load(data.dataset, config.run.data_dir, *speakers)
    corpus = merge_valid(corpus, config.train.train_on_valid)
    known = {label for u in corpus.train for label in labels_of(u.words, data.units)}
    for part in ("valid", "test"):
        for utterance in getattr(corpus, part):
            if unknown := set(labels_of(utterance.words, data.units)) - known:
                raise DataError(
                    f"the {part} part has the {data.units.removesuffix('s')} "
                    f"{min(unknown)!r} in {utterance.name}, which does not occur in "
                    f"training."
                )
    valid, test = (
        join_held_out(data, corpus.valid, 1),
        join_held_out(data, corpus.test, 2),
    )
    return corpus._replace(valid=valid, test=test)


def join_held_out(
    config: DataConfig, part: list[Utterance], stream: int
) -> list[Utterance]:
    """Held-out utterances joined as the settings say; the same for every --seed."""
    if config.max_words == 1:
        return part
    rngs = [np.random.default_rng([stream, i]) for i in range(PASSES)]
    sizes = config.min_words, config.max_words
    return [u for rng in rngs for u in speech.join(part, *sizes, rng)]


def labels_of(words: Sequence[str], units: str) -> list[str]:
    """Words as labels: the words, or their letters with spaces between words."""
    return list(words) if units == "words" else list(" ".join(words))


class LabelEncoder:
    """Words as integers, and back; 0 is the blank.

    Args:
      labels: the names of the labels.
      words: the smallest and the largest number of words of a training recording.
      units: "letters" or "words".
    """

    def __init__(
        self, labels: Sequence[str], words: tuple[int, int], units: str
    ) -> None:
        self.labels, self.words, self.units = list(labels), words, units
        self._indices = {label: i for i, label in enumerate(labels, start=1)}

    @classmethod
    def train(cls, config: DataConfig, corpus: SpeechCorpus) -> "LabelEncoder":
        """The labels of training; with spaces where recordings are joined."""
        known = {
            label for u in corpus.train for label in labels_of(u.words, config.units)
        }
        if config.units == "letters" and config.most_joined > 1:
            known.add(" ")
        sizes = [len(u.words) for u in corpus.train]
        return cls(sorted(known), (min(sizes), max(sizes)), config.units)

    def write(self, workdir: Workdir, sha256: str) -> None:
        """Write vocab.json."""
        workdir.write_vocab({"labels": self.labels, "words": self.words}, sha256)

    @classmethod
    def read(cls, workdir: Workdir, units: str) -> "LabelEncoder":
        """Read what `write` wrote.

        Raises:
          UserError: if it is missing or damaged.
        """

        def make(kept: Any) -> LabelEncoder:
            fewest, most = map(int, kept["words"])
            return cls(strings(kept["labels"]), (fewest, most), units)

        return workdir.read_vocab(make)[0]

    def encode(self, words: Sequence[str]) -> np.ndarray:
        """int32 [L]."""
        labels = labels_of(words, self.units)
        return np.array([self._indices[label] for label in labels], np.int32)

    def decode(self, indices: Sequence[int]) -> tuple[str, ...]:
        """The words of labels."""
        labels = [self.labels[index - 1] for index in indices]
        return tuple(labels if self.units == "words" else "".join(labels).split())


class SpeechMinibatches:
    """Minibatches of utterances and their labels.

    Args:
      config: the command's config.
      part: the utterances.
      encoder: their labels as integers.
      front: the front end, which determines the number of frames.
      model: the model, which determines the number of steps.
    """

    def __init__(
        self,
        config: Config,
        part: Sequence[Utterance],
        encoder: LabelEncoder,
        front: Any,
        model: CTCModel,
    ) -> None:
        self._config, self._part = config, part
        self._front, self._model, self._encoder = front, model, encoder
        self._encoded = [encoder.encode(u.words) for u in part]
        longest = max(map(len, self._encoded), default=1)
        most = config.data.most_joined
        self._width = max(1, longest * most + (most - 1))
        self.plan = epoch_plan(config.run.seed, self._make_epoch)
        self.planned = self.left_out = 0  # utterances of the newest epoch

    def __len__(self) -> int:
        """The number of utterances."""
        return len(self._part)

    def _make_epoch(self, rng: np.random.Generator) -> list[Callable[[], SpeechBatch]]:
        """A function for each minibatch of an epoch, which makes it.

        Raises:
          UserError: if no utterance has as many steps as its labels need.
        """
        data, part, encoded = self._config.data, self._part, self._encoded
        if data.most_joined > 1:
            part = speech.join(part, data.min_words, data.most_joined, rng)
            encoded = [self._encoder.encode(u.words) for u in part]
        augmentation = self._config.augmentation
        samples = [augment_samples(augmentation, u.samples, rng) for u in part]
        indices = np.flatnonzero(self._fits(samples, encoded))
        if not len(indices):
            other = ", or take --units=words" if data.units == "letters" else ""
            raise UserError(
                f"every training utterance has fewer steps than {data.units}; lower "
                f"--stacking, --speed or --tempo{other}."
            )
        self.planned, self.left_out = len(part), len(part) - len(indices)
        samples, encoded = [samples[i] for i in indices], [encoded[i] for i in indices]
        return [
            partial(self._make, samples, encoded, bucket, self._width)
            for bucket in self._bucketed(samples, rng)
        ]

    def batches(self) -> Iterator[tuple[np.ndarray, SpeechBatch]]:
        """(rows, SpeechBatch) of all utterances unchanged; -1 is a padding row."""
        samples = [u.samples for u in self._part]
        width = max(map(len, self._encoded), default=0) or 1
        for bucket in self._bucketed(samples):
            if bucket.length > LONG:
                bucket = bucket._replace(rows=bucket.rows[bucket.rows >= 0])
            yield bucket.rows, self._make(samples, self._encoded, bucket, width)

    def _frames(self, samples: Sequence[np.ndarray]) -> np.ndarray:
        sizes = np.array([len(one) for one in samples], np.int32)
        return np.asarray(self._front.num_frames(sizes))

    def _fits(
        self, samples: Sequence[np.ndarray], encoded: Sequence[np.ndarray]
    ) -> np.ndarray:
        """Whether each has at least as many steps as a path to its labels."""
        steps = np.asarray(self._model.num_steps(self._frames(samples)))
        needed = [len(e) + int((e[1:] == e[:-1]).sum()) for e in encoded]
        return steps >= np.array(needed, int)

    def _bucketed(
        self, samples: Sequence[np.ndarray], rng: np.random.Generator | None = None
    ) -> list[Bucket]:
        frames = np.maximum(self._frames(samples), MIN_FRAMES)
        lengths = 2 ** np.ceil(np.log2(np.minimum(frames, 512))).astype(int)
        lengths = np.maximum(lengths, frames)  # plan_lengths pads those beyond 512
        return buckets.plan_lengths(lengths, self._config.train.batch_size, rng=rng)

    def _make(
        self,
        samples: Sequence[np.ndarray],
        encoded: Sequence[np.ndarray],
        bucket: Bucket,
        width: int,
    ) -> SpeechBatch:
        rows = [i for i in bucket.rows if i >= 0]
        size = self._front.frame_size + bucket.length * self._front.hop - 1
        padded = np.zeros((size, len(bucket.rows)), np.float32)
        lengths = np.zeros(len(bucket.rows), np.int32)
        for column, i in enumerate(rows):
            padded[: len(samples[i]), column] = samples[i]
            lengths[column] = len(samples[i])
        labels = [encoded[i] for i in rows]
        return SpeechBatch(
            padded, lengths, *buckets.pad(labels, Bucket(width, bucket.rows))
        )
