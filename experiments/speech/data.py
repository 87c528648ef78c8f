"""Recordings from flags: corpora, labels, minibatches, scores."""

from functools import lru_cache, partial
from typing import Any, NamedTuple

import jax
import numpy as np
from absl import flags

from experiments import fit, hearing, run
from seqjax import metrics
from seqjax.data import buckets, speech
from seqjax.data.batching import epoch_rng
from seqjax.data.text import DataError
from seqjax.structured import ctc

FLAGS = flags.FLAGS
flags.DEFINE_string("dataset", "syllables", "one of " + ", ".join(speech.NAMES))
flags.DEFINE_string("wav_dir", None, "a folder of wav files of your own, instead, and")
flags.DEFINE_list(
    "transcripts", [], "lines file<TAB>words of these: one file, or train,valid,test"
)
flags.DEFINE_string(
    "speaker_out", None, "of fsdd: this speaker tests, the others train"
)
flags.DEFINE_string("valid_speaker", None, "of fsdd: this speaker validates")
flags.DEFINE_bool("train_on_valid", False, "train on the validation part, too")
flags.DEFINE_integer("min_words", 1, "recordings joined to an utterance, at least", 1)
flags.DEFINE_integer("max_words", 1, "and at most; 1 joins none", 1, 100)
flags.DEFINE_enum("units", "letters", ["letters", "words"], "what a label is")
flags.DEFINE_integer("batch_size", 16, "utterances in a minibatch", lower_bound=1)
flags.DEFINE_integer("join", 0, "joined in training, if above --max_words", 0, 100)

SHORTEST = 64  # frames, padded to 64, 128, 256 or 512: a program is compiled for each
LONG = 1024  # frames: a minibatch of longer ones has no rows that fill up
PASSES = 4  # times that held-out recordings are used where they are joined


class Batch(NamedTuple):
    """Utterances as they are recognized; padding may hold anything."""

    samples: Any  # float32 [N, B]
    lengths: Any  # int32 [B], of samples
    labels: Any  # int32 [L, B]
    label_lengths: Any  # int32 [B]


# ---------------------------------------------------------------- data


def check_flags():
    """Refuse a data set that there is not, and flags that do not go together."""
    run.choose("dataset", dict.fromkeys(speech.NAMES))
    if bool(FLAGS.wav_dir) != bool(FLAGS.transcripts):
        raise run.UserError("--wav_dir and --transcripts need each other.")
    if len(FLAGS.transcripts) not in (0, 1, 3):
        raise run.UserError(
            f"--transcripts are one file or train,valid,test, got "
            f"{len(FLAGS.transcripts)} files."
        )
    is_fsdd = FLAGS.dataset == "fsdd" and not FLAGS.wav_dir
    if (FLAGS.speaker_out or FLAGS.valid_speaker) and not is_fsdd:
        raise run.UserError("--speaker_out and --valid_speaker need --dataset=fsdd.")
    if FLAGS.valid_speaker and FLAGS.train_on_valid:
        raise run.UserError(
            "--valid_speaker holds a speaker out of training; --notrain_on_valid goes "
            "with it."
        )
    fit.check_nothing_is_chosen()
    if FLAGS.min_words > FLAGS.max_words:
        raise run.UserError(
            f"--min_words={FLAGS.min_words} is above --max_words={FLAGS.max_words}."
        )


def load_corpus():
    """The SpeechCorpus that the flags name, its held-out parts joined.

    Raises:
      DataError: also for what is said in a held-out part and never in training.
    """
    if FLAGS.wav_dir:
        corpus = speech.load_folder(FLAGS.wav_dir, FLAGS.transcripts)
    else:
        names = FLAGS.speaker_out, FLAGS.valid_speaker
        corpus = speech.load(FLAGS.dataset, FLAGS.data_dir, *names)
    corpus = fit.with_valid(corpus)
    known = {label for u in corpus.train for label in in_units(u.words)}
    for part in ("valid", "test"):
        for utterance in getattr(corpus, part):
            if unknown := set(in_units(utterance.words)) - known:
                kind = FLAGS.units.removesuffix("s")
                raise DataError(
                    f"the {part} part has the {kind} {min(unknown)!r} in "
                    f"{utterance.name}, which training never saw."
                )
    return corpus._replace(valid=joined(corpus.valid, 1), test=joined(corpus.test, 2))


def joined(part, number):
    """Held-out utterances, joined as the flags say; the same for every --seed."""
    if FLAGS.max_words == 1:
        return part
    rngs = [np.random.default_rng([number, i]) for i in range(PASSES)]
    words = FLAGS.min_words, FLAGS.max_words
    return [u for rng in rngs for u in speech.join(part, *words, rng)]


def most_words():
    """Recordings joined to an utterance of training, at most."""
    return max(FLAGS.join, FLAGS.max_words)


def in_units(words):
    """What is said, as a sequence of labels: words, or letters and spaces."""
    return list(words) if FLAGS.units == "words" else list(" ".join(words))


class Coder:
    """Words as integers, and back; 0 is the blank.

    Args:
      labels: a list of strings.
      words: the fewest and the most that a recording of training has.
    """

    def __init__(self, labels, words):
        self.labels, self.words = labels, words
        self._places = {label: i for i, label in enumerate(labels, start=1)}

    @classmethod
    def train(cls, corpus):
        """What is said in training; spaces, too, where recordings are joined."""
        known = {label for u in corpus.train for label in in_units(u.words)}
        if FLAGS.units == "letters" and most_words() > 1:
            known.add(" ")
        sizes = [len(u.words) for u in corpus.train]
        return cls(sorted(known), (min(sizes), max(sizes)))

    def write(self, workdir, sha256):
        """Keep them as vocab.json."""
        workdir.write_vocab({"labels": self.labels, "words": self.words}, sha256)

    @classmethod
    def read(cls, workdir):
        """What `write` wrote.

        Raises:
          UserError: if it is missing or damaged.
        """

        def make(kept):
            fewest, most = map(int, kept["words"])
            return cls(list(kept["labels"]), (fewest, most))

        return workdir.read_vocab(make)[0]

    def encode(self, words):
        """int32 [L]."""
        return np.array([self._places[label] for label in in_units(words)], np.int32)

    def decode(self, numbers):
        """The words as a tuple."""
        labels = [self.labels[number - 1] for number in numbers]
        return tuple(labels if FLAGS.units == "words" else "".join(labels).split())


# ---------------------------------------------------------------- minibatches


class Minibatches:
    """Minibatches of utterances and their labels, by epoch.

    Args:
      part: a list of Utterances.
      coder: a Coder.
      front: a FrontEnd of `seqjax.front_ends`, or several SideBySide.
      model: the Recognizer, which says how many steps frames make.
    """

    def __init__(self, part, coder, front, model):
        self._part = part
        self._front, self._model, self._coder = front, model, coder
        self._encoded = [coder.encode(u.words) for u in part]
        longest = max(map(len, self._encoded), default=1)
        words = most_words()
        self._width = max(1, longest * words + (words - 1))

    def __len__(self):
        return len(self._part)

    @lru_cache(maxsize=1)  # noqa: B019, one per run
    def plan(self, epoch):
        """A function for each minibatch of an epoch, which makes it.

        Of its utterances, `planned`, some are `left_out`: no path leads to these.

        Raises:
          UserError: if it would be all.
        """
        rng = epoch_rng(FLAGS.seed, epoch)
        part, encoded = self._part, self._encoded
        if most_words() > 1:
            part = speech.join(part, FLAGS.min_words, most_words(), rng)
            encoded = [self._coder.encode(u.words) for u in part]
        heard = [hearing.augmented(u.samples, rng) for u in part]
        places = np.flatnonzero(self._fits(heard, encoded))
        if not len(places):
            other = ", or take --units=words" if FLAGS.units == "letters" else ""
            raise run.UserError(
                f"every training utterance has fewer steps than {FLAGS.units}; lower "
                f"--stacking, --speed or --tempo{other}."
            )
        self.planned, self.left_out = len(part), len(part) - len(places)
        heard, encoded = [heard[i] for i in places], [encoded[i] for i in places]
        return [
            partial(self._make, heard, encoded, bucket, self._width)
            for bucket in self._bucketed(heard, rng)
        ]

    def batches(self):
        """(rows, Batch) of all utterances as they are; -1 is a row that fills up."""
        heard = [u.samples for u in self._part]
        width = max(map(len, self._encoded), default=0) or 1  # joined they are already
        for bucket in self._bucketed(heard):
            if bucket.length > LONG:
                bucket = bucket._replace(rows=bucket.rows[bucket.rows >= 0])
            yield bucket.rows, self._make(heard, self._encoded, bucket, width)

    def _frames(self, heard):
        sizes = np.array([len(samples) for samples in heard], np.int32)
        return np.asarray(self._front.num_frames(sizes))

    def _fits(self, heard, encoded):
        """Whether each has as many steps as a path to its labels needs."""
        steps = self._model.num_steps(self._frames(heard))
        needed = [len(e) + int((e[1:] == e[:-1]).sum()) for e in encoded]
        return steps >= np.array(needed, int)

    def _bucketed(self, heard, rng=None):
        frames = np.maximum(self._frames(heard), SHORTEST)
        lengths = 2 ** np.ceil(np.log2(np.minimum(frames, 512))).astype(int)
        lengths = np.maximum(lengths, frames)  # plan_lengths goes on beyond 512
        return buckets.plan_lengths(lengths, FLAGS.batch_size, rng=rng)

    def _make(self, heard, encoded, bucket, width):
        rows = [i for i in bucket.rows if i >= 0]
        size = self._front.frame_size + bucket.length * self._front.hop - 1
        samples = np.zeros((size, len(bucket.rows)), np.float32)
        lengths = np.zeros(len(bucket.rows), np.int32)
        for place, i in enumerate(rows):
            samples[: len(heard[i]), place] = heard[i]
            lengths[place] = len(heard[i])
        labels = buckets.pad(
            [encoded[i] for i in rows], buckets.Bucket(width, bucket.rows)
        )
        return Batch(samples, lengths, *labels)


# ---------------------------------------------------------------- use


def make_recognize(model, front, coder, beam_size, limit_words=False):
    """(params, Minibatches) -> (the words of each utterance, total, count).

    The sum of the losses of the labels that are there, and the number of labels.

    Args:
      beam_size: 1 is greedy.
      limit_words: whether to take the best in the beam that has as many words as
        --min_words to --max_words recordings of training, if there is one.
    """
    fewest, most = FLAGS.min_words * coder.words[0], FLAGS.max_words * coder.words[1]

    @jax.jit
    def run_batch(params, batch):
        xs, lengths = front.apply(batch.samples, batch.lengths)
        logits, steps = model.logits(params, xs, lengths)
        loss = model.loss(logits, steps, batch.labels, batch.label_lengths)
        if beam_size == 1:
            found = ctc.greedy(logits, steps)
        else:
            found = ctc.beam_search(logits, steps, beam_size)
        return found.tokens, found.lengths, *loss

    def best(tokens, lengths):
        ranked = (coder.decode(t[:n]) for t, n in zip(tokens, lengths, strict=True))
        first = next(ranked)
        if not limit_words or fewest <= len(first) <= most:
            return first
        fits = (words for words in ranked if fewest <= len(words) <= most)
        return next(fits, first)

    def recognize(params, minibatches):
        words, total, count = [()] * len(minibatches), 0.0, 0.0
        for rows, batch in minibatches.batches():
            tokens, lengths, *loss = run_batch(params, batch)
            total, count = total + float(loss[0]), count + float(loss[1])
            tokens, lengths = np.asarray(tokens), np.asarray(lengths)
            for place, row in enumerate(rows):
                if row >= 0:
                    words[row] = best(tokens[place], lengths[place])
        return words, total, count

    return recognize


def score(part, found):
    """The numbers of recognized words, all shares: {name: number}.

    Args:
      part: a list of Utterances.
      found: the words of each.

    Returns:
      Error rates of words and of letters, spaces between words counted; the share of
      utterances all right, and that of those of one word (None if there is none).
    """
    said = [u.words for u in part]
    right = [a == b for a, b in zip(said, found, strict=True)]
    alone = [ok for words, ok in zip(said, right, strict=True) if len(words) == 1]
    letters = ([" ".join(words) for words in of] for of in (said, found))
    return {
        "word_error_rate": metrics.error_rate(said, found),
        "letter_error_rate": metrics.error_rate(*letters),
        "utterances_right": float(np.mean(right)),
        "digits_right": float(np.mean(alone)) if alone else None,
    }
