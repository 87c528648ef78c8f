"""Translation of sentences by a trained model, in minibatches of one padded length."""

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.common.console import note
from experiments.translation.config import LENGTH_PENALTIES, DecodeConfig
from experiments.translation.data import Tokenizers
from seqjax import decoding
from seqjax.data import buckets
from seqjax.data.vocab import BOS, EOS
from seqjax.models.seq2seq import Seq2Seq


class Translation(NamedTuple):
    """A translation of a sentence."""

    text: str
    score: float
    tokens: np.ndarray  # int32 [T], with eos unless it was cut off


EMPTY = Translation("", 0.0, np.zeros(0, np.int32))
NONE_FOUND = EMPTY._replace(score=-np.inf)


class Translator:
    """Translates text with a model and the search of the settings.

    Args:
      model: a Seq2Seq.
      tokenizers: those of both languages.
      config: the settings of the search.
      seed: random seed of the sampling with --temperature above 0.

    Attributes:
      seconds: time in compiled calls.
      sentences: number of sentences translated in them.
    """

    def __init__(
        self, model: Seq2Seq, tokenizers: Tokenizers, config: DecodeConfig, seed: int
    ) -> None:
        self._model = model
        self._tokenizers = tokenizers
        self._config = config
        self._seed = seed
        self._programs: dict[tuple[int, ...], Callable[..., Any]] = {}
        self._minibatches = 0
        self.seconds = 0.0
        self.sentences = 0

    def translate(
        self, sentences: Sequence[str], ensemble: Sequence[Any]
    ) -> list[list[Translation]]:
        """Translations of each sentence, best first; that of an empty one is empty.

        Args:
          sentences: as training reads them.
          ensemble: the parameters of the models whose probabilities are averaged.
        """
        encoded = [self._tokenizers.source.encode(s) for s in sentences]
        results = [[EMPTY] for _ in sentences]
        full = [i for i, tokens in enumerate(encoded) if len(tokens)]
        sources = [encoded[i] for i in full]
        targets = [np.zeros(0, np.int32)] * len(sources)
        for bucket in buckets.plan(sources, targets, self._config.decode_batch):
            batch = buckets.make_batch(sources, targets, bucket)
            found = self._search(ensemble, batch.source, batch.source_lengths)
            for row, index in enumerate(bucket.rows):
                if index >= 0:
                    of_one = jax.tree.map(lambda a, row=row: a[row], found)
                    results[full[index]] = self._decode(of_one)
        return results

    def _decode(self, found: decoding.Hypotheses) -> list[Translation]:
        """The translations of one sentence, without the empty slots."""
        translations = []
        for tokens, score, length in zip(*found, strict=True):
            if length:
                tokens = np.asarray(tokens[:length])
                before_eos = tokens[:-1] if tokens[-1] == EOS else tokens
                text = self._tokenizers.target.decode(before_eos)
                translations.append(Translation(text, float(score), tokens))
        return translations or [NONE_FOUND]

    def _search(
        self, ensemble: Sequence[Any], source: np.ndarray, lengths: np.ndarray
    ) -> decoding.Hypotheses:
        """The hypotheses of a minibatch as NumPy arrays; one compilation per shape."""
        self._minibatches += 1
        key = jax.random.fold_in(jax.random.key(self._seed), self._minibatches)
        args = list(ensemble), source, lengths, key
        shape = (len(ensemble), *source.shape)
        if shape not in self._programs:
            run = jax.jit(partial(search, self._model, self._config))
            self._programs[shape] = run.lower(*args).compile()
        clock = time.perf_counter()
        found = jax.device_get(self._programs[shape](*args))
        self.seconds += time.perf_counter() - clock
        self.sentences += int((lengths > 0).sum())
        return found


def search(
    model: Seq2Seq,
    config: DecodeConfig,
    ensemble: Sequence[Any],
    source: jax.Array,
    lengths: jax.Array,
    key: jax.Array,
) -> decoding.Hypotheses:
    """The translations of a minibatch, as the settings of the search say.

    Args:
      model: a Seq2Seq.
      config: the settings.
      ensemble: the parameters of the models whose probabilities are averaged.
      source: integers [S, B].
      lengths: integers [B]; 0 marks a padding row.
      key: a random key, used with --temperature above 0.
    """
    step, state, context = start_ensemble(model, ensemble, source, lengths)
    options: dict[str, Any] = {
        "bos": BOS,
        "eos": EOS,
        "max_length": max_length(config, len(source)),
        "context": context,
        "length_penalty": LENGTH_PENALTIES[config.length_penalty](config.alpha),
        "coverage": _coverage(config, model, len(ensemble)),
        "min_length": config.min_length,
        "no_repeat_ngram": config.no_repeat_ngram,
        # A padding row is finished at once.
        "prefix": jnp.where(lengths > 0, -1, EOS)[:, None],
    }
    if config.temperature:
        options |= {**config.options(), "num_samples": config.n_best}
        return decoding.sample(step, state, key, **options)
    options |= {"beam_size": config.beam_size, "n_best": config.n_best}
    return decoding.beam_search(step, state, **options)


def start_ensemble(
    model: Seq2Seq, ensemble: Sequence[Any], source: jax.Array, lengths: jax.Array
) -> tuple[Callable[..., Any], Any, Any]:
    """(step, state, context) of one model or of several decoded as one."""
    steps = [partial(model.step, params) for params in ensemble]
    starts = [model.start(params, source, lengths) for params in ensemble]
    if len(ensemble) == 1:
        return steps[0], *starts[0]
    states, contexts = zip(*starts, strict=True)
    return decoding.ensemble(steps), states, contexts


def max_length(config: DecodeConfig, source_length: int) -> int:
    """The maximum number of tokens of a translation, eos included."""
    return max(2 * source_length, config.min_length) + 10


def _coverage(
    config: DecodeConfig, model: Seq2Seq, num_models: int
) -> Callable[..., jax.Array] | None:
    """(state, context) -> coverage penalty of a hypothesis, by the mean attention."""
    if not config.coverage or model.attention is None:
        return None
    penalty = decoding.gnmt_coverage(config.coverage)
    if num_models == 1:
        return lambda state, encoded: penalty(state.attention, encoded.mask)

    def coverage(states: Sequence[Any], encoded: Sequence[Any]) -> jax.Array:
        attention = sum(state.attention for state in states) / num_models
        return penalty(attention, encoded[0].mask)

    return coverage


def note_cut_off(translations: Sequence[Sequence[Translation]]) -> None:
    """Note how many of the best translations were cut off at the maximum length."""
    best = [of_one[0].tokens for of_one in translations]
    number = sum(len(tokens) > 0 and tokens[-1] != EOS for tokens in best)
    if number:
        note(
            f"{number:,} of {len(best):,} translations were cut off at the maximum "
            f"length: twice the source's length, or --min_length, plus 10 tokens."
        )
