"""Documents with labels from flags: the corpus, its words, minibatches."""

from functools import lru_cache, partial

import numpy as np
from absl import flags

from experiments import run
from seqjax.data import labeled
from seqjax.data.batching import epoch_rng
from seqjax.data.parallel import clean
from seqjax.data.tokenizers import Words
from seqjax.data.vocab import UNK, Vocab

FLAGS = flags.FLAGS
flags.DEFINE_string("dataset", "opinions", "one of " + ", ".join(labeled.NAMES))
flags.DEFINE_list("corpus", [], "lines label<TAB>text: one file, or train,valid,test")
flags.DEFINE_integer("folds", 10, "shares, by text: one tests, one validates", 3, 1000)
flags.DEFINE_integer("fold", 0, "the share that tests; the next one validates", 0)
flags.DEFINE_integer("split_seed", 0, "another one makes other shares", lower_bound=0)

flags.DEFINE_enum("level", "word", ["word", "char"], "what a token is")
flags.DEFINE_bool("clean", None, "the textbook's cleaning (yes with --level=word)")
flags.DEFINE_integer("min_freq", 1, "rarer tokens become <unk>", lower_bound=1)
flags.DEFINE_integer("max_length", 512, "tokens of a document that are read", 1, 10**5)
flags.DEFINE_integer("batch_size", 32, "documents in a minibatch", lower_bound=1)


def check_flags():
    """Refuse a data set that there is not, and a share that there is not."""
    run.choose("dataset", dict.fromkeys(labeled.NAMES))
    if FLAGS.fold >= FLAGS.folds:
        raise run.UserError(f"--fold={FLAGS.fold} must be below --folds={FLAGS.folds}.")
    if len(FLAGS.corpus) > 1 or (not FLAGS.corpus and FLAGS.dataset == "opinions"):
        for name in ("folds", "fold", "split_seed"):
            if FLAGS[name].value != FLAGS[name].default:
                raise run.UserError(
                    f"--{name} is of documents in one file; these have parts already."
                )


def load_corpus():
    """The LabeledCorpus that the flags name."""
    shares = FLAGS.folds, FLAGS.fold, FLAGS.split_seed
    if FLAGS.corpus:
        return labeled.load_files(FLAGS.corpus, *shares)
    return labeled.load(FLAGS.dataset, FLAGS.data_dir, *shares)


def prepare(text):
    """A text as training saw them."""
    cleaning = FLAGS.level == "word" if FLAGS.clean is None else FLAGS.clean
    return clean(text) if cleaning else text


class Coder:
    """Texts and labels as integers, and back.

    Args:
      words: a Words.
      labels: a list of strings.
    """

    def __init__(self, words, labels):
        self.words = words
        self.labels = labels

    @classmethod
    def train(cls, corpus):
        """The tokens and labels of a corpus's training part."""
        texts = map(prepare, corpus.train.texts)
        return cls(Words.train(texts, FLAGS.level, FLAGS.min_freq), corpus.labels)

    def write(self, workdir, sha256):
        """Keep them as vocab.json."""
        tokens = {"labels": self.labels, "tokens": self.words.vocab.tokens}
        workdir.write_vocab(tokens, sha256)

    @classmethod
    def read(cls, workdir):
        """What `write` wrote.

        Raises:
          UserError: if it is missing or damaged.
        """
        found, _ = workdir.read_vocab(lambda t: (t["tokens"], list(t["labels"])))
        return cls(Words(Vocab.from_list(found[0]), FLAGS.level), found[1])

    def encode(self, text):
        """The whole of a text, int32 [N]."""
        return self.words.encode(prepare(text))

    def texts(self, texts):
        """A list of int32 arrays, no longer than --max_length."""
        return [self.encode(text)[: FLAGS.max_length] for text in texts]

    def split(self, split):
        """(documents, labels int32 [N]) of a Split."""
        places = {label: i for i, label in enumerate(self.labels)}
        labels = [places[label] for label in split.labels]
        return self.texts(split.texts), np.asarray(labels, np.int32)


class Minibatches:
    """The minibatches of training, by epoch."""

    def __init__(self, documents, labels):
        self._documents = documents
        self._labels = labels

    @lru_cache(maxsize=1)  # noqa: B019, one per run
    def plan(self, epoch):
        """A function for each minibatch of an epoch, which makes it."""
        rng = epoch_rng(FLAGS.seed, epoch)
        return [
            partial(labeled.make_batch, self._documents, self._labels, bucket)
            for bucket in labeled.plan(self._documents, FLAGS.batch_size, rng)
        ]


def note_unread(coder, texts, documents):
    """Say what is cut off, and how many tokens nobody knows.

    Args:
      coder: a Coder.
      texts: strings, and
      documents: what `coder.texts` made of them.
    """
    number = sum(map(len, documents))
    unknown = sum(int((d == UNK).sum()) for d in documents)
    if unknown:
        run.note(f"{unknown:,} of {number:,} tokens are unknown: read as <unk>.")
    # A document of just that length is whole: those are encoded once more.
    pairs = zip(texts, documents, strict=True)
    full = [text for text, d in pairs if len(d) == FLAGS.max_length]
    cut = sum(len(coder.encode(text)) > FLAGS.max_length for text in full)
    if cut:
        run.note(f"{cut:,} documents are read to --max_length={FLAGS.max_length}.")
