"""Tagged sentences from flags: corpora, vocabularies, minibatches, tags and scores."""

from collections import Counter
from functools import lru_cache, partial
from itertools import pairwise
from typing import NamedTuple

import jax
import numpy as np
from absl import flags

from experiments import fit, run
from seqjax import metrics
from seqjax.data import buckets, tagged
from seqjax.data.batching import epoch_rng
from seqjax.data.text import DataError
from seqjax.data.vocab import Vocab
from seqjax.models.tagger import Words, bio

FLAGS = flags.FLAGS
flags.DEFINE_string("dataset", "apple", "one of " + ", ".join(tagged.NAMES))
flags.DEFINE_string("train_file", None, "a CoNLL or CoNLL-U file of your own, instead")
flags.DEFINE_string("valid_file", None, "and one to validate on (parts of the first)")
flags.DEFINE_string("test_file", None, "and one to test on")
flags.DEFINE_integer("token_column", None, "of these files, from 0 (0; CoNLL-U 1)")
flags.DEFINE_integer("tag_column", None, "-1 is the last (-1; CoNLL-U 3)")
flags.DEFINE_bool("train_on_valid", False, "train on the validation part, too")

flags.DEFINE_bool("lowercase", False, "read words in lower case, but for their letters")
flags.DEFINE_integer("min_freq", 1, "rarer words become <unk>", lower_bound=1)
flags.DEFINE_integer("batch_size", 32, "sentences in a minibatch", lower_bound=1)

LETTERS = 24  # of a word are read, the first
STEP = 8  # sentences are padded to multiples of it: a program is compiled for each


class Vocabs(NamedTuple):
    """What training sentences are made of."""

    words: Vocab
    letters: Vocab
    tags: list  # their names
    is_bio: bool  # whether each I stands after a B or I of its type

    @property
    def has_spans(self):
        """Whether tags are O, or B or I, perhaps with a type."""
        spans = [tag for tag in self.tags if tag != "O"]
        prefixes = {tag.partition("-")[0] for tag in spans}
        # A tag I without any B or type may stand for anything.
        return prefixes <= {"B", "I"} and any(tag != "I" for tag in spans)


# ---------------------------------------------------------------- data


def check_flags():
    """Refuse a data set that there is not, and files that do not go together."""
    run.choose("dataset", dict.fromkeys(tagged.NAMES))
    more = [bool(FLAGS.valid_file), bool(FLAGS.test_file)]
    if any(more) and not (all(more) and FLAGS.train_file):
        raise run.UserError(
            "--train_file stands alone or with both --valid_file and --test_file."
        )
    columns = FLAGS.token_column is not None or FLAGS.tag_column is not None
    if columns and not FLAGS.train_file:
        raise run.UserError("--token_column and --tag_column need a --train_file.")
    fit.check_nothing_is_chosen()


def load_corpus():
    """The tagged sentences that the flags name.

    Raises:
      DataError: also for a held-out tag that training never saw.
    """
    if FLAGS.train_file:
        files = [f for f in (FLAGS.train_file, FLAGS.valid_file, FLAGS.test_file) if f]
        corpus = tagged.load_files(files, FLAGS.token_column, FLAGS.tag_column)
    else:
        corpus = tagged.load(FLAGS.dataset, FLAGS.data_dir)
    corpus = fit.with_valid(corpus)
    known = {tag for sentence in corpus.train for tag in sentence.tags}
    for part in ("valid", "test"):
        for number, sentence in enumerate(getattr(corpus, part), start=1):
            if unknown := set(sentence.tags) - known:
                raise DataError(
                    f"the {part} part has the tag {min(unknown)!r} in its sentence "
                    f"{number}, which training never saw."
                )
    return corpus


def train_vocabs(train):
    """The Vocabs of training sentences; tags are sorted."""
    tokens = [token for sentence in train for token in sentence.tokens]
    return Vocabs(
        Vocab(map(spelled, tokens), FLAGS.min_freq),
        Vocab(letter for token in tokens for letter in token),
        sorted({tag for sentence in train for tag in sentence.tags}),
        keep_to_bio(train),
    )


def spelled(token):
    """A token as the vocabulary of words has it."""
    return token.lower() if FLAGS.lowercase else token


def write_vocabs(workdir, vocabs, sha256):
    """vocab.json."""
    tokens = {"words": vocabs.words.tokens, "letters": vocabs.letters.tokens}
    workdir.write_vocab(vocabs._asdict() | tokens, sha256)


def read_vocabs(workdir):
    """What `write_vocabs` wrote.

    Raises:
      UserError: if it is missing or damaged.
    """

    def make(tokens):
        words, letters = (Vocab.from_list(tokens[k]) for k in ("words", "letters"))
        return Vocabs(words, letters, tokens["tags"], tokens["is_bio"])

    return workdir.read_vocab(make)[0]


class Sentences:
    """Sentences as a tagger reads them; each distinct word is encoded once.

    Args:
      sentences: lists of tokens.
      vocabs: Vocabs.
      with_letters: whether the letters are read, too.
    """

    def __init__(self, sentences, vocabs, with_letters):
        distinct = Vocab(token for tokens in sentences for token in tokens)
        self.places = [distinct.encode(tokens) for tokens in sentences]
        self._words = vocabs.words.encode(map(spelled, distinct.tokens))
        self._letters = None
        if with_letters:
            cut = [token[:LETTERS] for token in distinct.tokens]
            self._letters = np.zeros((LETTERS, len(cut)), np.int32)
            self._lengths = np.array([len(token) for token in cut], np.int32)
            for i, token in enumerate(cut):
                self._letters[: len(token), i] = vocabs.letters.encode(token)

    def batch(self, bucket):
        """The Words of a Bucket."""
        rows = [self.places[i] for i in bucket.rows if i >= 0]
        places, lengths = buckets.pad(rows, bucket)
        places = np.minimum(places, len(self._words) - 1)  # padding is any word
        if self._letters is None:
            return Words(self._words[places], lengths)
        letters = self._letters[:, places], self._lengths[places]
        return Words(self._words[places], lengths, *letters)


class Minibatches:
    """Minibatches of sentences and their tags, by epoch.

    Args:
      split: a list of tagged.Sentence.
      vocabs: Vocabs.
      with_letters: as `Sentences`.
    """

    def __init__(self, split, vocabs, with_letters):
        self._sentences = Sentences([s.tokens for s in split], vocabs, with_letters)
        self.lengths = [len(s.tokens) for s in split]
        numbers = {tag: i for i, tag in enumerate(vocabs.tags)}
        self._tags = [[numbers[tag] for tag in s.tags] for s in split]

    @lru_cache(maxsize=1)  # noqa: B019, one per run
    def plan(self, epoch):
        """A function for each minibatch of an epoch, which makes it."""
        rng = epoch_rng(FLAGS.seed, epoch)
        return [partial(self.batch, bucket) for bucket in self.bucketed(rng)]

    def bucketed(self, rng=None):
        """Of all sentences, shuffled by `rng`."""
        rounded = [-(-length // STEP) * STEP for length in self.lengths]
        return buckets.plan_lengths(rounded, FLAGS.batch_size, rng=rng)

    def batch(self, bucket):
        """(Words, tags [T, B]) of a Bucket."""
        rows = [self._tags[i] for i in bucket.rows if i >= 0]
        return self._sentences.batch(bucket), buckets.pad(rows, bucket)[0]


# ---------------------------------------------------------------- use


def make_tag(model, vocabs):
    """(params, Minibatches) -> (list of tags for each sentence, total, count).

    The sum of the losses of the tags that are there, and the number of words.
    """

    @jax.jit
    def run_batch(params, inputs, tags):
        logits = model.logits(params, inputs)
        loss = model.loss(params, logits, tags, inputs.lengths)
        return model.predict(params, logits, inputs.lengths)[0], *loss

    def tag(params, minibatches):
        found, total, count = [[] for _ in minibatches.lengths], 0.0, 0.0
        for bucket in minibatches.bucketed():
            path, *loss = run_batch(params, *minibatches.batch(bucket))
            total, count = total + float(loss[0]), count + float(loss[1])
            for row, numbers in zip(bucket.rows, np.asarray(path).T, strict=True):
                if row >= 0:
                    numbers = numbers[: minibatches.lengths[row]]
                    found[row] = [vocabs.tags[number] for number in numbers]
        return found, total, count

    return tag


def without_context(train):
    """The baseline: sentences -> for each word the tag it mostly has in training.

    A word that training does not have gets the tag that most words have.
    """
    counts, total = {}, Counter()
    for tokens, tags in train:
        total.update(tags)
        for token, tag in zip(tokens, tags, strict=True):
            counts.setdefault(token, Counter())[tag] += 1
    best = {token: of.most_common(1)[0][0] for token, of in counts.items()}
    other = total.most_common(1)[0][0]
    return lambda split: [[best.get(t, other) for t in s.tokens] for s in split]


def ambiguous_words(train):
    """Words that have several tags in training."""
    found = {}
    for tokens, tags in train:
        for token, tag in zip(tokens, tags, strict=True):
            found.setdefault(token, set()).add(tag)
    return {token for token, tags in found.items() if len(tags) > 1}


def keep_to_bio(sentences):
    """Whether each I stands after a B or I of its type, as `tagger.bio` has it."""
    names = sorted({tag for _, tags in sentences for tag in tags})
    first, follows = (array == 0 for array in bio(names))
    places = {tag: i for i, tag in enumerate(names)}
    return all(
        first[places[tags[0]]]
        and all(follows[places[a], places[b]] for a, b in pairwise(tags))
        for _, tags in sentences
    )


def score(split, predicted, ambiguous, with_spans):
    """The numbers of predicted tags: ({name: number}, {type: SpanScores}).

    f1, precision and recall of spans, if asked for; accuracy, and that on ambiguous
    words (None if there is none), all from 0 to 1.
    """
    numbers, by_type = {}, {}
    if with_spans:
        total, by_type = metrics.span_scores([s.tags for s in split], predicted)
        numbers = {"f1": total.f1, "precision": total.precision, "recall": total.recall}
    right, hard = [], []
    for (tokens, tags), ours in zip(split, predicted, strict=True):
        for token, tag, found in zip(tokens, tags, ours, strict=True):
            right.append(tag == found)
            if token in ambiguous:
                hard.append(tag == found)
    numbers["accuracy"] = float(np.mean(right))
    numbers["ambiguous_accuracy"] = float(np.mean(hard)) if hard else None
    return numbers, by_type
