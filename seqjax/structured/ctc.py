"""Connectionist temporal classification: labels without an alignment to the frames.

A path has a label or the blank at each of T steps; `collapse` makes a labelling of it:
repeated symbols become one, then blanks go. The probability of a labelling is the sum
over all paths that collapse to it, each path's being the product of its steps'.

    a a - a b b -   ->   a a b          (- is the blank)

Source: Graves, Fernández, Gomez and Schmidhuber, "Connectionist temporal
classification: labelling unsegmented sequence data with recurrent neural networks",
ICML 2006. The blank is symbol 0 here, labels are 1 .. V - 1.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax

from seqjax.decoding.hypotheses import Hypotheses
from seqjax.nn.masks import valid_steps

BLANK = 0


def collapse(path):
    """The labelling of a path, a list of integers.

    Example:
      >>> collapse([1, 1, 0, 1, 2, 2, 0])
      [1, 1, 2]
    """
    path = np.asarray(path, int)
    new = np.append(True, path[1:] != path[:-1])[: len(path)]
    return path[new & (path != BLANK)].tolist()


def steps_needed(labels, lengths):
    """The fewest steps that a path to a labelling has: a blank parts equal neighbors.

    Args:
      labels: integers [L, ...].
      lengths: integers [...].
    """
    repeated = labels[1:] == labels[:-1]  # [L - 1, ...]
    inside = valid_steps(max(len(labels) - 1, 0), lengths - 1)
    return lengths + (repeated & inside).sum(axis=0, dtype=lengths.dtype)


def loss(logits, lengths, labels, label_lengths):
    """-log P(labels), summed over the sequences, and the number of labels.

    A sequence with fewer steps than its labels need has P = 0; it is left out of both.

    Args:
      logits: [T, ..., V]; past the lengths they may be anything.
      lengths: integers [...], of steps.
      labels: integers [L, ...] in 1 .. V - 1; past their lengths they may be anything.
      label_lengths: integers [...].

    Returns:
      (total, count), as `losses.cross_entropy`.
    """
    losses = -log_prob(logits, lengths, labels, label_lengths)
    possible = steps_needed(labels, label_lengths) <= lengths
    losses = jnp.where(possible, losses, jnp.zeros_like(losses))
    count = jnp.where(possible, label_lengths, 0)
    return losses.sum(), count.sum().astype(losses.dtype)


def log_prob(logits, lengths, labels, label_lengths):
    """log P(labels) of each sequence, [...]: the sum over all its paths.

    About -1e5 where P = 0. The arguments are those of `loss`.
    """
    batch_shape = lengths.shape
    logits = logits.reshape(len(logits), -1, logits.shape[-1])  # [T, B, V]
    labels = labels.reshape(len(labels), logits.shape[1])  # [L, B]
    real = valid_steps(len(logits), lengths.reshape(-1))  # [T, B]
    inside = valid_steps(len(labels), label_lengths.reshape(-1))  # [L, B]
    logits = jnp.where(real[..., None], logits, jnp.zeros_like(logits))
    labels = jnp.where(inside, labels, BLANK)
    losses = optax.ctc_loss(
        jnp.swapaxes(logits, 0, 1),
        (~real).T.astype(logits.dtype),
        labels.T,
        (~inside).T.astype(logits.dtype),
        blank_id=BLANK,
    )
    return -losses.reshape(batch_shape)


def greedy(logits, lengths):
    """The labelling of the likeliest path, which need not be the likeliest labelling.

    Args:
      logits: [T, B, V]; past the lengths they may be anything.
      lengths: integers [B].

    Returns:
      Hypotheses with tokens [B, 1, T], blanks after the end, and the path's log
      probability as score.
    """
    log_probs = jax.nn.log_softmax(logits)
    path = jnp.argmax(log_probs, axis=-1).astype(jnp.int32)  # [T, B]
    real = valid_steps(len(logits), lengths)
    before = jnp.concatenate([jnp.full_like(path[:1], BLANK), path[:-1]])
    kept = real & (path != BLANK) & (path != before)
    # What is not kept goes to a place of its own behind the others.
    places = jnp.where(kept, jnp.cumsum(kept, axis=0) - 1, len(path))
    rows = jnp.arange(path.shape[1])
    tokens = jnp.full((path.shape[1], len(path) + 1), BLANK, jnp.int32)
    tokens = tokens.at[rows, places].set(jnp.where(kept, path, BLANK))[:, :-1]
    scores = jnp.where(real, log_probs.max(axis=-1), 0.0).sum(axis=0)
    return Hypotheses(tokens[:, None], scores[:, None], kept.sum(axis=0)[:, None])


class _Beam(NamedTuple):
    """The K prefixes of a sequence; those without any probability fill up."""

    tokens: Any  # [K, L], blanks after the end
    lengths: Any  # [K]
    blank: Any  # [K], log probability of the paths that end with a blank
    label: Any  # [K], of those that end with the last label

    @property
    def total(self):
        return jnp.logaddexp(self.blank, self.label)


def beam_search(logits, lengths, beam_size, max_length=None):
    """The likeliest labellings, by their prefixes: K of these are kept at each step.

    A prefix l carries the probability of the paths so far that collapse to it, those
    that end with a blank and those that end with its last label apart:

        blank'(l)   = y_blank (blank(l) + label(l))
        label'(l)   = y_last label(l)  +  what its parent gives
        label'(l c) = y_c (blank(l) + [c is not last(l)] label(l))

    If both a prefix and its parent are kept, the parent's gift is added to the one that
    is there: no labelling is in the beam twice. With K no less than there are prefixes
    the result is exact.

    To be called within `jax.jit`, once per shape.

    Args:
      logits: [T, B, V]; past the lengths they may be anything.
      lengths: integers [B].
      beam_size: K, at least 1. Width 1 keeps one prefix, not one path as `greedy` does.
      max_length: L, labels at most; None is T.

    Returns:
      Hypotheses with tokens [B, K, L], blanks after the end, best first. Scores are log
      probabilities of the paths that were followed, lower bounds of log P; in places
      that nothing fills they are -inf, and lengths 0.

    Raises:
      ValueError: for a width or length below 1.

    Example:
      >>> found = beam_search(logits, lengths, beam_size=10)
      >>> found.tokens[0, 0, : found.lengths[0, 0]]

    Source: Graves, "Supervised sequence labelling with recurrent neural networks",
    2012, section 7.5.3; in this form Hannun et al. 2014, arXiv:1408.2873.
    """
    max_length = len(logits) if max_length is None else max_length
    if beam_size < 1 or max_length < 1:
        raise ValueError(
            f"ctc.beam_search: beam_size and max_length must be at least 1, got "
            f"{beam_size} and {max_length}"
        )
    log_probs = jax.nn.log_softmax(logits)
    real = valid_steps(len(logits), lengths)
    empty = jnp.full((logits.shape[1], beam_size), -jnp.inf, log_probs.dtype)
    beam = _Beam(
        tokens=jnp.full((*empty.shape, max_length), BLANK, jnp.int32),
        lengths=jnp.zeros(empty.shape, jnp.int32),
        blank=empty.at[:, 0].set(0.0),
        label=empty,
    )

    def step(beam, inputs):
        log_probs, real = inputs  # [B, V], [B]
        new = jax.vmap(_advance)(beam, log_probs)

        def hold(new, old):
            return jnp.where(real.reshape(-1, *[1] * (new.ndim - 1)), new, old)

        return jax.tree.map(hold, new, beam), None

    beam, _ = lax.scan(step, beam, (log_probs, real))
    alive = beam.total > -jnp.inf
    return Hypotheses(
        jnp.where(alive[..., None], beam.tokens, BLANK),
        beam.total,
        jnp.where(alive, beam.lengths, 0),
    )


def _advance(beam, log_probs):
    """One step of one sequence: log_probs [V]."""
    width, max_length = beam.tokens.shape
    last = jnp.take_along_axis(
        beam.tokens, jnp.maximum(beam.lengths - 1, 0)[:, None], axis=1
    )[:, 0]  # [K], the blank of the empty prefix
    stay_blank = beam.total + log_probs[BLANK]
    stay_label = jnp.where(last == BLANK, -jnp.inf, beam.label + log_probs[last])

    symbols = jnp.arange(len(log_probs))
    before = jnp.where(
        symbols == last[:, None], beam.blank[:, None], beam.total[:, None]
    )  # [K, V]
    longer = jnp.where(symbols == BLANK, -jnp.inf, before + log_probs)
    longer = jnp.where((beam.lengths < max_length)[:, None], longer, -jnp.inf)

    child = _children(beam, last)  # [K, K]
    gift = jnp.where(child, longer[:, last], -jnp.inf)  # from parent i to child j
    stay_label = jnp.logaddexp(stay_label, gift.max(axis=0))  # it has one at most
    there = jnp.zeros(longer.shape, bool).at[:, last].max(child)
    longer = jnp.where(there, -jnp.inf, longer)

    stay = jnp.logaddexp(stay_blank, stay_label)
    totals = jnp.concatenate([stay[:, None], longer[:, 1:]], axis=1)  # [K, V]
    _, places = lax.top_k(totals.ravel(), width)
    parents, symbol = places // len(log_probs), places % len(log_probs)
    grown = symbol != BLANK
    end = beam.lengths[parents]
    tokens = beam.tokens[parents]
    at_end = jnp.arange(max_length) == end[:, None]
    symbol = symbol.astype(tokens.dtype)
    return _Beam(
        tokens=jnp.where(grown[:, None] & at_end, symbol[:, None], tokens),
        lengths=end + grown.astype(end.dtype),
        blank=jnp.where(grown, -jnp.inf, stay_blank[parents]),
        label=jnp.where(grown, totals[parents, symbol], stay_label[parents]),
    )


def _children(beam, last):
    """Whether prefix j is prefix i and a label more, both of some probability: [K, K].

    What fills up may be a copy of what is there, and must not come to life as such.
    """
    places = jnp.arange(beam.tokens.shape[1])
    shorter = jnp.where(places == beam.lengths[:, None] - 1, BLANK, beam.tokens)
    same = (shorter[None] == beam.tokens[:, None]).all(axis=-1)
    longer = beam.lengths[None] == beam.lengths[:, None] + 1
    alive = beam.total > -jnp.inf
    return same & longer & (alive[:, None] & alive)
