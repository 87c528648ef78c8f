"""Sentence pairs from flags: corpora, tokenizers, minibatches."""

from functools import lru_cache, partial
from typing import NamedTuple

from absl import flags

from experiments import run
from seqjax.data import buckets, parallel
from seqjax.data.batching import epoch_rng
from seqjax.data.text import DataError
from seqjax.data.tokenizers import Subwords, Words
from seqjax.data.vocab import Vocab

FLAGS = flags.FLAGS
flags.DEFINE_string("dataset", "grammar", "one of " + ", ".join(parallel.NAMES))
flags.DEFINE_string("corpus", None, "lines source<TAB>target of your own, instead")
flags.DEFINE_list("source_file", [], "or a file a side: one, or train,valid,test")
flags.DEFINE_list("target_file", [], "the translations, line by line")
flags.DEFINE_bool("swap", False, "translate from the second language into the first")
flags.DEFINE_integer("max_pairs", 0, "train on the first so many; 0: all", 0)

flags.DEFINE_enum("level", "word", ["word", "char", "subword"], "what a token is")
flags.DEFINE_bool("clean", None, "the textbook's cleaning (yes with --level=word)")
flags.DEFINE_integer("min_freq", 2, "rarer tokens become <unk>", lower_bound=1)
flags.DEFINE_integer("vocab_size", 4000, "subwords, at most", lower_bound=10)
flags.DEFINE_bool("joint_vocab", False, "one vocabulary for both languages")
flags.DEFINE_float("subword_sampling", 0.0, "draw segmentations: P**this; 0: no", 0)
flags.DEFINE_integer("max_length", 60, "tokens of a training sentence", 1, 500)
flags.DEFINE_bool("truncate", False, "cut longer ones short; else they are left out")
flags.DEFINE_integer("batch_size", 64, "pairs in a minibatch", lower_bound=1)
flags.DEFINE_integer("batch_tokens", 0, "tokens in a minibatch, instead", 0)


class Tokenizers(NamedTuple):
    """Of the two languages; the very same if the vocabulary is joint."""

    source: object
    target: object


def check_flags():
    """Refuse flags that do not go together."""
    run.choose("dataset", dict.fromkeys(parallel.NAMES))
    if bool(FLAGS.source_file) != bool(FLAGS.target_file):
        raise run.UserError("--source_file and --target_file belong together.")
    if FLAGS.source_file and FLAGS.corpus is not None:
        raise run.UserError("--corpus and --source_file exclude each other.")
    if FLAGS.subword_sampling and FLAGS.level != "subword":
        raise run.UserError("--subword_sampling needs --level=subword.")


def load_corpus():
    """The sentence pairs that the flags name, cleaned if they say so."""
    if FLAGS.source_file:
        files = FLAGS.source_file, FLAGS.target_file
        corpus = parallel.load_files(*(files[::-1] if FLAGS.swap else files))
    elif FLAGS.corpus is not None:
        corpus = parallel.load_tsv(FLAGS.corpus, FLAGS.swap)
    else:
        corpus = parallel.load(FLAGS.dataset, FLAGS.data_dir, FLAGS.swap)
    train = parallel.Split(*(side[: FLAGS.max_pairs or None] for side in corpus.train))
    return corpus._replace(
        train=prepare_split(train),
        valid=prepare_split(corpus.valid),
        test=prepare_split(corpus.test),
    )


def cleaning():
    """Whether sentences get the textbook's cleaning."""
    return FLAGS.level == "word" if FLAGS.clean is None else FLAGS.clean


def prepare(sentence):
    """A sentence as training saw them."""
    return parallel.clean(sentence) if cleaning() else sentence


def prepare_split(split):
    """Both sides as training saw them."""
    return parallel.Split(*([prepare(s) for s in side] for side in split))


def train_tokenizers(train):
    """Tokenizers of a training split."""

    def learn(sentences):
        if FLAGS.level == "subword":
            return Subwords.train(sentences, FLAGS.vocab_size)
        return Words.train(sentences, FLAGS.level, FLAGS.min_freq)

    if FLAGS.joint_vocab:
        return Tokenizers(*[learn([*train.source, *train.target])] * 2)
    return Tokenizers(learn(train.source), learn(train.target))


def write_tokenizers(workdir, tokenizers, sha256):
    """vocab.json, and source.model and target.model where they are sentencepiece's."""
    tokens = {}
    for side, tokenizer in tokenizers._asdict().items():
        if isinstance(tokenizer, Subwords):
            workdir.write_bytes(f"{side}.model", tokenizer.model)
            tokens[side] = [*tokenizer.pieces(range(len(tokenizer)))]
        else:
            tokens[side] = tokenizer.vocab.tokens
    workdir.write_vocab(tokens, sha256)


def read_tokenizers(workdir):
    """What `write_tokenizers` wrote.

    Raises:
      UserError: if it is missing or damaged.
    """
    sides, _ = workdir.read_vocab(lambda tokens: (tokens["source"], tokens["target"]))

    def load(side, tokens):
        if FLAGS.level == "subword":
            return Subwords.load(workdir.path / f"{side}.model")
        return Words(Vocab.from_list(tokens), FLAGS.level)

    source = load("source", sides[0])
    return Tokenizers(source, source if FLAGS.joint_vocab else load("target", sides[1]))


class Minibatches:
    """The minibatches of training, by epoch.

    Args:
      train: a Split.
      tokenizers: Tokenizers.

    Raises:
      DataError: if no pair is left.
    """

    def __init__(self, train, tokenizers):
        self._tokenizers = tokenizers
        limit = FLAGS.max_length
        encoded = [
            (tokenizers.source.encode(s), tokenizers.target.encode(t))
            for s, t in zip(*train, strict=True)
        ]
        if FLAGS.truncate:
            encoded = [(s[:limit], t[:limit]) for s, t in encoded]
        kept = [i for i, pair in enumerate(encoded) if _fits(*pair, limit)]
        if not kept:
            raise DataError("no pair to train on is left; see --max_length.")
        if len(kept) < len(encoded):
            run.note(
                f"{len(encoded) - len(kept):,} of {len(encoded):,} pairs are left out: "
                f"empty, or longer than --max_length={limit} tokens."
            )
        self._sentences = [(train.source[i], train.target[i]) for i in kept]
        self._encoded = [encoded[i] for i in kept]

    def __len__(self):
        """Pairs."""
        return len(self._encoded)

    @lru_cache(maxsize=1)  # noqa: B019, one per run
    def plan(self, epoch):
        """A function for each minibatch of an epoch, which makes it."""
        rng = epoch_rng(FLAGS.seed, epoch)
        pairs = self._encoded
        if FLAGS.subword_sampling:
            pairs = self._sampled(rng)
        sources, targets = zip(*pairs, strict=True)
        size = 0 if FLAGS.batch_tokens else FLAGS.batch_size
        return [
            partial(buckets.make_batch, sources, targets, bucket)
            for bucket in buckets.plan(sources, targets, size, FLAGS.batch_tokens, rng)
        ]

    def _sampled(self, rng):
        return [
            tuple(map(partial(self._draw, rng), self._tokenizers, pair, encoded))
            for pair, encoded in zip(self._sentences, self._encoded, strict=True)
        ]

    def _draw(self, rng, tokenizer, sentence, encoded):
        drawn = tokenizer.sample(sentence, FLAGS.subword_sampling, rng)
        if FLAGS.truncate:
            return drawn[: FLAGS.max_length]
        return drawn if len(drawn) <= FLAGS.max_length else encoded


def _fits(source, target, limit):
    return 0 < len(source) <= limit and 0 < len(target) <= limit


def held_out(split, tokenizers, batch_size):
    """The minibatches of a held-out split whole, for its perplexity."""
    sources, targets = (
        [tokenizer.encode(s) for s in side]
        for tokenizer, side in zip(tokenizers, split, strict=True)
    )
    return [
        buckets.make_batch(sources, targets, bucket)
        for bucket in buckets.plan(sources, targets, batch_size)
    ]
