"""Translation of many sentences by a trained model, in minibatches of one length."""

import time
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags

from experiments import run
from seqjax import decoding
from seqjax.data import buckets
from seqjax.data.vocab import BOS, EOS
from seqjax.decoding import hypotheses

FLAGS = flags.FLAGS
flags.DEFINE_integer("beam_size", 5, "hypotheses kept at a time; 1 is greedy", 1, 1000)
flags.DEFINE_integer("n_best", 1, "translations of a sentence", 1, 1000)
flags.DEFINE_string("length_penalty", "power", "none, power, gnmt or reward")
flags.DEFINE_float("alpha", 0.75, "of power and gnmt; what a token earns of reward")
flags.DEFINE_float("coverage", 0.0, "GNMT's beta: pays for source left unread", 0)
flags.DEFINE_integer("min_length", 0, "tokens of a translation, at least", 0)
flags.DEFINE_integer("no_repeat_ngram", 0, "n tokens in a row come once; 0: any", 0)
flags.DEFINE_float("temperature", 0.0, "above 0 draws instead of searching", 0)
flags.DEFINE_integer("top_k", 0, "draw from the k likeliest; 0: all", lower_bound=0)
flags.DEFINE_float("top_p", 1.0, "draw from the likeliest with this share", 1e-6, 1)
flags.DEFINE_integer("decode_batch", 32, "sentences translated at a time", 1)

LENGTH_PENALTIES = {
    "none": lambda alpha: hypotheses.no_penalty,
    "power": hypotheses.power_penalty,
    "gnmt": hypotheses.gnmt_penalty,
    "reward": hypotheses.word_reward,
}


class Translation(NamedTuple):
    """A sentence in the other language, and its score."""

    text: str
    score: float
    tokens: np.ndarray


def check_flags():
    """Refuse names that are not there and flags that do not go together."""
    run.choose("length_penalty", LENGTH_PENALTIES)
    width = FLAGS.n_best if FLAGS.temperature else FLAGS.beam_size
    if FLAGS.n_best > width:
        raise run.UserError(
            f"--n_best={FLAGS.n_best} needs a --beam_size of as many at least."
        )


def max_length(source_length):
    """Tokens of a translation at most, eos included, so that --min_length is heard."""
    return max(2 * source_length, FLAGS.min_length) + 10


def note_cut_off(translations):
    """Say how many sentences' best translations were not over at the limit."""
    best = [of_one[0].tokens for of_one in translations]
    number = sum(len(tokens) > 0 and tokens[-1] != EOS for tokens in best)
    if number:
        run.note(
            f"{number:,} of {len(best):,} translations were cut off at the limit: "
            f"twice the source's length, or --min_length, and 10 tokens more."
        )


class Translator:
    """A model behind text.

    Args:
      model: a Seq2Seq.
      tokenizers: (source, target).
      batch_size: sentences at a time; None is --decode_batch.
    """

    def __init__(self, model, tokenizers, batch_size=None):
        self._model = model
        self._tokenizers = tokenizers
        self._batch_size = batch_size or FLAGS.decode_batch
        self._programs = {}
        self._minibatches = 0
        self.seconds = 0.0  # in compiled calls
        self.sentences = 0  # translated in them

    def translate(self, sentences, members):
        """Translations of sentences, best first: a list for each, in their order.

        An empty sentence is its own translation.

        Args:
          sentences: a list of strings.
          members: a list of parameters, more than one for an ensemble.
        """
        encoded = [self._tokenizers.source.encode(s) for s in sentences]
        results = [[Translation("", 0.0, np.zeros(0, np.int32))] for _ in sentences]
        full = [i for i, tokens in enumerate(encoded) if len(tokens)]
        sources = [encoded[i] for i in full]
        nothing = [np.zeros(0, np.int32)] * len(sources)
        for bucket in buckets.plan(sources, nothing, self._batch_size):
            batch = buckets.make_batch(sources, nothing, bucket)
            found = self._search(batch, members)
            for row, place in enumerate(bucket.rows):
                if place >= 0:
                    results[full[place]] = self._read(found, row)
        return results

    def _read(self, found, row):
        translations = []
        for tokens, score, length in zip(*(a[row] for a in found), strict=True):
            tokens = tokens[:length]
            if length:
                words = tokens[:-1] if tokens[-1] == EOS else tokens
                text = self._tokenizers.target.decode(words)
                translations.append(Translation(text, float(score), tokens))
        return translations or [Translation("", -np.inf, np.zeros(0, np.int32))]

    def _search(self, batch, members):
        self._minibatches += 1
        key = jax.random.fold_in(jax.random.key(FLAGS.seed), self._minibatches)
        args = members, batch.source, batch.source_lengths, key
        shape = (len(members), *batch.source.shape)
        if shape not in self._programs:
            search = partial(self.search, max_length=max_length(batch.source.shape[0]))
            self._programs[shape] = jax.jit(search).lower(*args).compile()
        clock = time.perf_counter()
        found = jax.device_get(self._programs[shape](*args))
        self.seconds += time.perf_counter() - clock
        self.sentences += int((batch.source_lengths > 0).sum())
        return found

    def search(self, members, source, lengths, key, max_length):
        """Hypotheses for a minibatch, as the flags say."""
        states, contexts = zip(
            *(self._model.start(p, source, lengths) for p in members), strict=True
        )
        steps = [partial(self._model.step, p) for p in members]
        step = decoding.ensemble(steps)
        if len(steps) == 1:
            (step,), (states,), (contexts,) = steps, states, contexts
        options = {
            "bos": BOS,
            "eos": EOS,
            "max_length": max_length,
            "context": contexts,
            "length_penalty": LENGTH_PENALTIES[FLAGS.length_penalty](FLAGS.alpha),
            "coverage": self._coverage(len(steps)),
            "min_length": FLAGS.min_length,
            "no_repeat_ngram": FLAGS.no_repeat_ngram,
            # Rows that fill up a minibatch end at once.
            "prefix": jnp.where(lengths > 0, -1, EOS)[:, None],
        }
        if FLAGS.temperature:
            return decoding.sample(
                step,
                states,
                key,
                num_samples=FLAGS.n_best,
                temperature=FLAGS.temperature,
                top_k=FLAGS.top_k,
                top_p=FLAGS.top_p,
                **options,
            )
        if FLAGS.beam_size == 1:
            return decoding.greedy(step, states, **options)
        return decoding.beam_search(
            step, states, beam_size=FLAGS.beam_size, n_best=FLAGS.n_best, **options
        )

    def _coverage(self, num_models):
        if not FLAGS.coverage or self._model.attention is None:
            return None
        penalty = hypotheses.gnmt_coverage(FLAGS.coverage)
        if num_models == 1:
            return lambda state, encoded: penalty(state.attention, encoded.mask)

        def mean(states, encoded):
            paid = sum(state.attention for state in states) / num_models
            return penalty(paid, encoded[0].mask)

        return mean

    def draw_attention(self, path, sentence, translation, params):
        """Where each token of a translation looked, as a PNG."""
        from matplotlib.figure import Figure  # only where a figure is drawn

        source = self._tokenizers.source.encode(sentence)
        weights = jax.jit(self._model.attention_weights)(
            params,
            source[:, None],
            np.asarray([len(source)]),
            translation.tokens[:, None],
        )[:, 0]  # [T, S]
        rows = self._tokenizers.target.pieces(translation.tokens)
        columns = self._tokenizers.source.pieces(source)
        size = (2 + 0.35 * len(columns), 1.5 + 0.3 * len(rows))
        figure = Figure(figsize=size, layout="constrained")
        axes = figure.subplots()
        image = axes.imshow(weights, cmap="Greys", vmin=0, vmax=1, aspect="auto")
        plain = {"parse_math": False}  # or matplotlib reads a formula between dollars
        axes.set_xticks(range(len(columns)), columns, rotation=60, ha="right", **plain)
        axes.set_yticks(range(len(rows)), rows, **plain)
        axes.set(xlabel="source", ylabel="translation")
        figure.colorbar(image, label="attention")
        figure.savefig(path, dpi=120)
