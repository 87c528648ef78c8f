"""Connectionist temporal classification: labels without an alignment to the frames.

A path has a label or the blank at each of T steps. `collapse` makes a labeling of a
path: it merges repeated symbols, then removes the blanks. The probability of a path is
the product over its steps, and the probability of a labeling is the sum over all paths
that collapse to it.

    a a - a b b -   ->   a a b          (- is the blank)

The blank is symbol 0, the labels are 1 .. V - 1.

Source: Graves, Fernández, Gomez and Schmidhuber, "Connectionist temporal
classification: labelling unsegmented sequence data with recurrent neural networks",
ICML 2006.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from seqjax.decoding.hypotheses import Hypotheses
from seqjax.decoding.top_k import top_k
from seqjax.mesh_axes import vary_alike
from seqjax.nn.masks import as_lengths, valid_steps

BLANK = 0
# The log of 0 in `log_prob`: finite, so that its gradients are, and below the log
# probability of every path.
LOG_ZERO = -1e30


def collapse(path: Sequence[int]) -> list[int]:
    """The labeling of a path.

    Args:
      path: integers, 0 the blank.

    Returns:
      A list of labels, without blanks.

    Example:
      >>> collapse([1, 1, 0, 1, 2, 2, 0])
      [1, 1, 2]
    """
    symbols = np.asarray(path, int)
    new = np.append(True, symbols[1:] != symbols[:-1])[: len(symbols)]
    return symbols[new & (symbols != BLANK)].tolist()


def steps_needed(labels: jax.Array, lengths: jax.Array) -> jax.Array:
    """The minimum number of steps of a labeling; equal neighbors need a blank.

    Args:
      labels: integers [L, ...] in 1 .. V - 1; any values past the lengths.
      lengths: integers [...] in 0 .. L, of the labels.

    Returns:
      int32 [...].

    Raises:
      ValueError: if lengths are not integers [...] in 0 .. L.

    Example:
      >>> labels = jnp.array([[1, 1], [1, 2], [2, 3]])  # [L, B]
      >>> steps_needed(labels, jnp.array([3, 2])).tolist()  # 1 - 1 2, and 1 2
      [4, 2]
    """
    lengths = as_lengths(lengths, len(labels), labels.shape[1:], of="labels")
    repeated = labels[1:] == labels[:-1]  # [L - 1, ...]
    steps = jnp.arange(len(repeated), dtype=jnp.int32)
    inside = steps.reshape(-1, *[1] * lengths.ndim) < lengths - 1
    return lengths + (repeated & inside).sum(axis=0, dtype=jnp.int32)


def loss(
    logits: jax.Array,
    lengths: jax.Array,
    labels: jax.Array,
    label_lengths: jax.Array,
) -> tuple[jax.Array, jax.Array]:
    """-log P(labels) in nats, summed over the sequences, and the number of labels.

    A sequence with P = 0 does not count, and its gradient is zero: one with fewer steps
    than its labels need, or with a logit of -inf on every path.

    Args:
      logits: [T, ..., V] of any float dtype, T at least 1; any values past the lengths,
        and -inf for a symbol that is impossible at a step.
      lengths: integers [...], in steps.
      labels: integers [L, ...] in 1 .. V - 1; any values past the label lengths.
      label_lengths: integers [...].

    Returns:
      (total, count), as `losses.cross_entropy`.

    Raises:
      ValueError: if the shapes do not fit together, or lengths are not integers in
        0 .. T, or label_lengths in 0 .. L.

    Example:
      >>> logits = jnp.log(jnp.array([[[0.6, 0.4]], [[0.6, 0.4]]]))  # [T, B, V]
      >>> lengths, labels = jnp.array([2]), jnp.array([[1]])
      >>> total, count = loss(logits, lengths, labels, label_lengths=jnp.array([1]))
      >>> print(f"{total:.4f}, {count}")  # -ln(1 - 0.6^2)
      0.4463, 1.0
    """
    losses = -log_prob(logits, lengths, labels, label_lengths)
    possible = losses < jnp.inf
    label_lengths = as_lengths(label_lengths, len(labels))
    losses = jnp.where(possible, losses, jnp.zeros_like(losses))
    count = jnp.where(possible, label_lengths, 0)
    return losses.sum(), count.sum().astype(losses.dtype)


def log_prob(
    logits: jax.Array,
    lengths: jax.Array,
    labels: jax.Array,
    label_lengths: jax.Array,
) -> jax.Array:
    """log P(labels) of each sequence, in nats; -inf where P = 0.

    Where P = 0, the gradient is zero.

    Args:
      logits, lengths, labels, label_lengths: see `loss`.

    Returns:
      [...], float32 or wider.

    Raises:
      ValueError: as `loss`.

    Example:
      >>> logits = jnp.log(jnp.array([[[0.6, 0.4]], [[0.6, 0.4]]]))  # [T, B, V]
      >>> lengths, labels = jnp.array([2]), jnp.array([[1], [1]])
      >>> for length in (0, 1, 2):
      ...     found = log_prob(logits, lengths, labels, jnp.array([length]))
      ...     print(f"{jnp.exp(found)[0]:.2f}")  # of the labels "", "1" and "1 1"
      0.36
      0.64
      0.00
    """
    import optax  # here, so that models and decoding need only jax and NumPy

    logits, labels = jnp.asarray(logits), jnp.asarray(labels)
    if jnp.finfo(logits.dtype).bits < 32:
        logits = logits.astype(jnp.float32)
    num_steps, *batch_shape, num_symbols = logits.shape
    if num_steps == 0 or list(labels.shape[1:]) != batch_shape:
        raise ValueError(
            f"ctc: logits must be [T, ..., V], T at least 1, and labels [L, ...], got "
            f"{logits.shape} and {labels.shape}"
        )
    lengths = as_lengths(lengths, num_steps, batch_shape, of="logits")
    label_lengths = as_lengths(
        label_lengths, len(labels), batch_shape, "label_lengths", "logits"
    )
    size = math.prod(batch_shape)
    logits = logits.reshape(num_steps, size, num_symbols)  # [T, B, V]
    labels = labels.reshape(len(labels), size)  # [L, B]
    real = valid_steps(num_steps, lengths.reshape(size))  # [T, B]
    inside = valid_steps(len(labels), label_lengths.reshape(size))  # [L, B]
    impossible = jnp.isneginf(logits)
    stuck = (impossible.all(axis=-1) & real).any(axis=0)  # [B]
    logits = jnp.where(impossible, LOG_ZERO, logits)
    logits = jnp.where(real[..., None], logits, jnp.zeros_like(logits))
    labels = jnp.where(inside, labels, BLANK)
    log_zero, _ = vary_alike(jnp.asarray(LOG_ZERO, logits.dtype), logits)
    losses = optax.ctc_loss(
        jnp.swapaxes(logits, 0, 1),
        (~real).T.astype(logits.dtype),
        labels.T,
        (~inside).T.astype(logits.dtype),
        blank_id=BLANK,
        log_epsilon=log_zero,
    )
    none = stuck | (losses > -0.5 * LOG_ZERO)
    return jnp.where(none, -jnp.inf, -losses).reshape(batch_shape)


def greedy(logits: jax.Array, lengths: jax.Array) -> Hypotheses:
    """The labeling of the most probable path.

    It need not be the most probable labeling.

    Args:
      logits: [T, B, V]; any values past the lengths.
      lengths: integers [B].

    Returns:
      Hypotheses with tokens [B, 1, T], blanks after the end, and the log probability of
      the path as score, in nats.

    Raises:
      ValueError: if lengths are not integers [B] in 0 .. T.

    Example:
      >>> probs = jnp.array([[[0.2, 0.8]], [[0.1, 0.9]], [[0.6, 0.4]], [[0.3, 0.7]]])
      >>> found = greedy(jnp.log(probs), jnp.array([4]))  # the path 1 1 - 1
      >>> found.tokens[0, 0].tolist(), found.lengths[0, 0].item()
      ([1, 1, 0, 0], 2)
    """
    lengths = as_lengths(lengths, len(logits), logits.shape[1:-1], of="logits")
    log_probs = _log_probs(logits)
    path = jnp.argmax(log_probs, axis=-1).astype(jnp.int32)  # [T, B]
    real = valid_steps(len(logits), lengths)
    previous = jnp.concatenate([jnp.full_like(path[:1], BLANK), path[:-1]])
    scores = jnp.where(real, log_probs.max(axis=-1), 0.0).sum(axis=0)
    kept = real & (path != BLANK) & (path != previous) & ~jnp.isneginf(scores)
    # Removed symbols are written to an extra column, which is cut off.
    columns = jnp.where(kept, jnp.cumsum(kept, axis=0) - 1, len(path))
    rows = jnp.arange(path.shape[1])
    tokens = jnp.full((path.shape[1], len(path) + 1), BLANK, jnp.int32)
    tokens = tokens.at[rows, columns].set(jnp.where(kept, path, BLANK))[:, :-1]
    return Hypotheses(tokens[:, None], scores[:, None], kept.sum(axis=0)[:, None])


def _log_probs(logits: jax.Array) -> jax.Array:
    """log softmax; -inf where all logits of a step are."""
    impossible = jnp.isneginf(logits).all(axis=-1, keepdims=True)
    log_probs = jax.nn.log_softmax(jnp.where(impossible, 0.0, logits))
    return jnp.where(impossible, -jnp.inf, log_probs)


class _Beam(NamedTuple):
    """The K prefixes of a sequence; empty slots have probability 0."""

    tokens: jax.Array  # [K, L], blanks after the end
    lengths: jax.Array  # [K]
    blank: jax.Array  # [K], log probability of the paths that end with a blank
    label: jax.Array  # [K], log probability of the paths that end with the last label

    @property
    def total(self) -> jax.Array:
        return jnp.logaddexp(self.blank, self.label)


def beam_search(
    logits: jax.Array,
    lengths: jax.Array,
    beam_size: int,
    max_length: int | None = None,
) -> Hypotheses:
    """The most probable labelings, keeping K prefixes at each step.

    A prefix l has two probabilities: of the paths that collapse to it and end with a
    blank, and of those that end with its last label.

        blank'(l)   = y_blank (blank(l) + label(l))
        label'(l)   = y_last label(l)  +  extension of its parent
        label'(l c) = y_c (blank(l) + [c is not last(l)] label(l))

    If a prefix and its parent are both in the beam, the extension of the parent is
    added to the prefix, so that no labeling is in the beam twice. The result is exact
    if K is at least the number of prefixes.

    A beam of size 1 is `greedy`, which keeps one path and not one prefix.

    Call it within `jax.jit`; each shape is compiled once.

    Args:
      logits: [T, B, V]; any values past the lengths.
      lengths: integers [B].
      beam_size: K, at least 1.
      max_length: L, the maximum number of labels; None is T. A beam of size 1 has no
        other maximum than T.

    Returns:
      Hypotheses with tokens [B, K, L], blanks after the end, best first. The scores are
      log probabilities of the paths in the beam, lower bounds of log P. Empty slots
      have score -inf and length 0.

    Raises:
      ValueError: if beam_size or max_length is below 1, or max_length is below T for a
        beam of size 1.

    Example:
      >>> logits = jnp.log(jnp.array([[[0.6, 0.4]], [[0.6, 0.4]]]))  # [T, B, V]
      >>> found = beam_search(logits, jnp.array([2]), beam_size=2)
      >>> found.tokens[0, 0, : found.lengths[0, 0]].tolist()
      [1]

    Source: Graves, "Supervised sequence labelling with recurrent neural networks",
    2012, section 7.5.3; in this form Hannun et al. 2014, arXiv:1408.2873.
    """
    max_length = len(logits) if max_length is None else max_length
    if beam_size < 1 or max_length < 1:
        raise ValueError(
            f"ctc.beam_search: beam_size and max_length must be at least 1, got "
            f"{beam_size} and {max_length}"
        )
    if beam_size == 1:
        if max_length < len(logits):
            raise ValueError(
                f"ctc.beam_search: beam_size=1 is greedy and has no max_length, got "
                f"{max_length}"
            )
        return greedy(logits, lengths)
    lengths = as_lengths(lengths, len(logits), logits.shape[1:-1], of="logits")
    log_probs = _log_probs(logits)
    real = valid_steps(len(logits), lengths)
    empty = jnp.full((logits.shape[1], beam_size), -jnp.inf, log_probs.dtype)
    beam = _Beam(
        tokens=jnp.full((*empty.shape, max_length), BLANK, jnp.int32),
        lengths=jnp.zeros(empty.shape, jnp.int32),
        blank=empty.at[:, 0].set(0.0),
        label=empty,
    )

    def step(beam: _Beam, inputs: tuple[jax.Array, jax.Array]) -> tuple[_Beam, None]:
        log_probs, real = inputs  # [B, V], [B]
        new = jax.vmap(_advance)(beam, log_probs)

        def hold(new: jax.Array, old: jax.Array) -> jax.Array:
            return jnp.where(real.reshape(-1, *[1] * (new.ndim - 1)), new, old)

        return jax.tree.map(hold, new, beam), None

    beam, _ = lax.scan(step, beam, (log_probs, real))
    used = beam.total > -jnp.inf
    return Hypotheses(
        jnp.where(used[..., None], beam.tokens, BLANK),
        beam.total,
        jnp.where(used, beam.lengths, 0),
    )


def _advance(beam: _Beam, log_probs: jax.Array) -> _Beam:
    """One step of one sequence: log_probs [V]."""
    beam_size, max_length = beam.tokens.shape
    last = jnp.take_along_axis(
        beam.tokens, jnp.maximum(beam.lengths - 1, 0)[:, None], axis=1
    )[:, 0]  # [K], BLANK for the empty prefix
    stay_blank = beam.total + log_probs[BLANK]
    stay_label = jnp.where(last == BLANK, -jnp.inf, beam.label + log_probs[last])

    symbols = jnp.arange(len(log_probs))
    extendable = jnp.where(
        symbols == last[:, None], beam.blank[:, None], beam.total[:, None]
    )  # [K, V]
    longer = jnp.where(symbols == BLANK, -jnp.inf, extendable + log_probs)
    longer = jnp.where((beam.lengths < max_length)[:, None], longer, -jnp.inf)

    child = _children(beam, last)  # [K, K]
    extension = jnp.where(child, longer[:, last], -jnp.inf)  # from parent i to child j
    stay_label = jnp.logaddexp(stay_label, extension.max(axis=0))  # one parent at most
    in_beam = jnp.zeros(longer.shape, bool).at[:, last].max(child)
    longer = jnp.where(in_beam, -jnp.inf, longer)

    stay = jnp.logaddexp(stay_blank, stay_label)
    totals = jnp.concatenate([stay[:, None], longer[:, 1:]], axis=1)  # [K, V]
    _, indices = top_k(totals.ravel(), beam_size)
    parents, symbol = indices // len(log_probs), indices % len(log_probs)
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


def _children(beam: _Beam, last: jax.Array) -> jax.Array:
    """Whether prefix j is prefix i plus one label, for nonempty slots: bool [K, K].

    An empty slot may hold a copy of a prefix, which must not receive an extension.
    """
    indices = jnp.arange(beam.tokens.shape[1])
    shorter = jnp.where(indices == beam.lengths[:, None] - 1, BLANK, beam.tokens)
    same = (shorter[None] == beam.tokens[:, None]).all(axis=-1)
    longer = beam.lengths[None] == beam.lengths[:, None] + 1
    used = beam.total > -jnp.inf
    return same & longer & (used[:, None] & used)
