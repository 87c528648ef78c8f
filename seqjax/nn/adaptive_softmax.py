"""A softmax that spends few numbers on rare words."""

import itertools
from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from seqjax.backend import several_devices
from seqjax.mesh_axes import vary_alike
from seqjax.nn import chunked_softmax
from seqjax.nn.layers import DenseParams, dense, dense_init, matmul
from seqjax.nn.masks import masked_total

ROWS = 256  # positions of a device whose rare labels are computed at a time


class Tail(NamedTuple):
    """The softmax within one cluster of rare words."""

    projection: jax.Array  # [H, P]
    words: DenseParams  # w [P, words of the cluster], b; with tied weights w is None


class AdaptiveParams(NamedTuple):
    """Parameters of an adaptive softmax with n clusters of rare words.

    With tied weights the head holds the columns of the clusters alone; `tie` adds
    those of the words.
    """

    head: DenseParams  # w [H, frequent words + n], b
    tails: tuple[Tail, ...]  # one for each cluster


def adaptive_init(
    key: jax.Array,
    hidden_size: int,
    vocab_size: int,
    clusters: Sequence[int],
    tied: bool = False,
    shrink: int = 4,
    w_init: Any = None,
) -> AdaptiveParams:
    """Draw the parameters of an adaptive softmax.

    Args:
      key: a random key.
      hidden_size: H.
      vocab_size: V.
      clusters: the first words of the clusters of rare words, rising and below V. The
        words must be in the order of their frequency, the most frequent first.
      tied: leave out the weights of words, which `tie` takes from an embedding table
        [V, H]; the projections are then [H, H].
      shrink: the i-th cluster, from 1, has projections of size H / shrink**i.
      w_init: initializer of the weights, see `layers.dense_init`.

    Returns:
      AdaptiveParams in float32.

    Raises:
      ValueError: if the clusters are not rising or not in 1 .. V - 1.

    Example:
      >>> params = adaptive_init(jax.random.key(0), 8, 28, clusters=(6, 16))
      >>> params.head.w.shape, [tail.words.w.shape for tail in params.tails]
      ((8, 8), [(2, 10), (1, 12)])

    Source: Grave et al. 2017, "Efficient softmax approximation for GPUs",
    arXiv:1609.04309, section 4.
    """
    check_clusters(clusters, vocab_size)
    k_head, *keys = jax.random.split(key, 1 + 2 * len(clusters))
    first = clusters[0]
    columns = len(clusters) + (0 if tied else first)
    head = dense_init(k_head, hidden_size, columns, w_init)
    head = head._replace(b=jnp.zeros(first + len(clusters), jnp.float32))
    tails = []
    for i, (low, high) in enumerate(itertools.pairwise([*clusters, vocab_size])):
        size = hidden_size if tied else max(1, hidden_size // shrink ** (i + 1))
        projection = dense_init(keys[2 * i], hidden_size, size, w_init).w
        no_weights: Any = None
        words = DenseParams(no_weights, jnp.zeros(high - low, jnp.float32))
        if not tied:
            words = dense_init(keys[2 * i + 1], size, high - low, w_init)
        tails.append(Tail(projection, words))
    return AdaptiveParams(head, tuple(tails))


def tie(params: AdaptiveParams, table: jax.Array) -> AdaptiveParams:
    """Complete parameters that were drawn with `tied=True` by an embedding table.

    Args:
      params: from `adaptive_init`.
      table: [V, H], in the order of the words.

    Returns:
      AdaptiveParams with the weights of all words.

    Example:
      >>> params = adaptive_init(jax.random.key(0), 8, 28, (6, 16), tied=True)
      >>> table = jnp.arange(224.0).reshape(28, 8)
      >>> params = tie(params, table)
      >>> [tail.words.w.shape for tail in params.tails]
      [(8, 10), (8, 12)]
      >>> (params.tails[1].words.w == table[16:].T).all().item()
      True
    """
    sizes = [len(tail.words.b) for tail in params.tails]
    first = len(table) - sum(sizes)
    head_w = jnp.concatenate([table[:first].T, params.head.w], axis=1)
    tails, low = [], first
    for tail, size in zip(params.tails, sizes, strict=True):
        words = tail.words._replace(w=table[low : low + size].T)
        tails.append(tail._replace(words=words))
        low += size
    return AdaptiveParams(params.head._replace(w=head_w), tuple(tails))


def adaptive_log_softmax(params: AdaptiveParams, hidden: jax.Array) -> jax.Array:
    """The log probabilities of all words.

    With h in R^H, F frequent words and clusters C_1 .. C_n of rare words,

        p(v) = softmax(h W + b)_v                                            if v < F
        p(v) = softmax(h W + b)_{F + i - 1} softmax(h P_i W_i + b_i)_v    if v in C_i

    The probabilities of all words sum to 1, so the result also serves as logits.

    Args:
      params: with the weights of all words, see `adaptive_init` and `tie`.
      hidden: [..., H].

    Returns:
      [..., V].

    Example:
      >>> params = adaptive_init(jax.random.key(0), 8, 28, clusters=(6, 16))
      >>> log_probs = adaptive_log_softmax(params, jnp.ones((35, 32, 8)))
      >>> log_probs.shape, round(float(jnp.exp(log_probs[0, 0]).sum()), 4)
      ((35, 32, 28), 1.0)

    Source: Grave et al. 2017, "Efficient softmax approximation for GPUs",
    arXiv:1609.04309, section 4.
    """
    num_clusters = len(params.tails)
    head = jax.nn.log_softmax(dense(params.head, hidden))
    parts = [head[..., : head.shape[-1] - num_clusters]]
    for i, tail in enumerate(params.tails):
        within = dense(tail.words, matmul(hidden, tail.projection))
        of_cluster = head[..., i - num_clusters, None]
        parts.append(of_cluster + jax.nn.log_softmax(within))
    return jnp.concatenate(parts, axis=-1)


def adaptive_cross_entropy(
    params: AdaptiveParams,
    hidden: jax.Array,
    labels: jax.Array,
    mask: jax.Array | None = None,
    chunk: int = 4096,
) -> tuple[jax.Array, jax.Array]:
    """The cross-entropy of `adaptive_log_softmax`, without an array of all of them.

    The words of a cluster are computed only for the positions whose label is in it, 256
    positions and `chunk` words at a time.

    Args:
      params, hidden: see `adaptive_log_softmax`.
      labels, mask, chunk: see `chunked_cross_entropy`.

    Returns:
      (total, count): as `cross_entropy`.

    Raises:
      ValueError: if the shapes do not fit together, or the chunk is below 1.

    Example:
      >>> params = adaptive_init(jax.random.key(0), 8, 28, clusters=(6, 16))
      >>> hidden = jnp.linspace(-1.0, 1.0, 24).reshape(3, 8)
      >>> labels = jnp.array([2, 7, 27])
      >>> total, count = adaptive_cross_entropy(params, hidden, labels)
      >>> log_probs = adaptive_log_softmax(params, hidden)[jnp.arange(3), labels]
      >>> jnp.allclose(total, -log_probs.sum()).item(), count.item()
      (True, 3.0)

    Source: Grave et al. 2017, "Efficient softmax approximation for GPUs",
    arXiv:1609.04309, section 4.
    """
    labels = jnp.asarray(labels).astype(jnp.int32)  # of fewer bits, V might not fit
    sizes = [len(tail.words.b) for tail in params.tails]
    first = len(params.head.b) - len(sizes)
    bounds = list(itertools.pairwise(itertools.accumulate(sizes, initial=first)))
    head_labels = labels
    for i, (low, high) in enumerate(bounds):
        inside = (labels >= low) & (labels < high)
        head_labels = jnp.where(inside, first + i, head_labels)
    total, count = chunked_softmax.chunked_cross_entropy(
        hidden, *params.head, head_labels, mask, chunk
    )
    if labels.size == 0:
        return total, count
    # Sorting mixes positions. Where the batch may be sharded, only within a sequence.
    columns = (len(labels), -1) if several_devices() else (-1, 1)
    hidden, labels = hidden.reshape(*columns, hidden.shape[-1]), labels.reshape(columns)
    for (low, high), tail in zip(bounds, params.tails, strict=True):
        inside = (labels >= low) & (labels < high)
        if mask is not None:
            inside &= mask.reshape(columns)
        rows = jnp.where(inside[..., None], hidden, jnp.zeros_like(hidden))
        losses = _selected_losses(
            matmul(rows, tail.projection), *tail.words, labels - low, inside, chunk
        )
        total += masked_total(losses, inside)[0]
    return total, count


def check_clusters(clusters: Sequence[int], vocab_size: int) -> None:
    """Refuse clusters that are not rising or not in 1 .. V - 1.

    Args:
      clusters: the first words of the clusters, see `adaptive_init`.
      vocab_size: V.

    Raises:
      ValueError: naming the clusters.

    Example:
      >>> check_clusters((6, 16), vocab_size=28)
      >>> check_clusters((16, 6), vocab_size=28)  # doctest: +ELLIPSIS
      Traceback (most recent call last):
      ValueError: the clusters must be ... for a vocabulary of 28, got 16, 6
    """
    ends = [0, *clusters, vocab_size]
    if not clusters or any(low >= high for low, high in itertools.pairwise(ends)):
        raise ValueError(
            f"the clusters must be the first words of at least one cluster, rising and "
            f"in 1 .. {vocab_size - 1} for a vocabulary of {vocab_size}, got "
            f"{', '.join(map(str, clusters)) or 'none'}"
        )


class _Blocks(NamedTuple):
    """The positions to compute of each column, in blocks of equal size."""

    order: jax.Array  # [N, G]: the selected positions of a column, then the others
    number: jax.Array  # of blocks that hold a selected position
    size: int

    def of(self, i: Any) -> jax.Array:
        """The positions of the i-th block; those past the end are no position."""
        return lax.dynamic_slice_in_dim(self.order, i * self.size, self.size)


def _blocks(selected: jax.Array) -> _Blocks:
    number, columns = selected.shape
    size = min(number, max(1, ROWS * jax.device_count() // columns))
    if columns > 1:
        size = min(size, -(-number // 8))  # or short columns would be computed whole
    order = jnp.argsort(~selected, axis=0, stable=True).astype(jnp.int32)
    order = jnp.pad(order, ((0, -number % size), (0, 0)), constant_values=number)
    most = selected.sum(0, dtype=jnp.int32).max()
    return _Blocks(order, -(-most // size), size)


@partial(jax.vmap, in_axes=1, out_axes=1)
def _take(a: jax.Array, at: jax.Array) -> jax.Array:
    """The rows of each column, and 0 for those past its end."""
    return a.at[at].get(mode="fill", fill_value=0)


@partial(jax.vmap, in_axes=1, out_axes=1)
def _put(a: jax.Array, at: jax.Array, rows: jax.Array) -> jax.Array:
    """Each column with these rows."""
    return a.at[at].set(rows)


def _forward(
    hidden: jax.Array,
    w: jax.Array,
    b: jax.Array,
    labels: jax.Array,
    selected: jax.Array,
    chunk: int,
) -> tuple[jax.Array, tuple]:
    blocks = _blocks(selected)
    labels = jnp.clip(labels, 0, len(b) - 1)  # those of other clusters are not used

    def body(i: Any, carry: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        losses, log_z = carry
        at = blocks.of(i)
        part, saved = chunked_softmax.forward(
            _take(hidden, at), w, b, _take(labels, at), min(chunk, len(b)), 0.0
        )
        return _put(losses, at, part), _put(log_z, at, saved[-1])

    zeros = jnp.zeros(labels.shape, chunked_softmax.of_sums(jnp.result_type(hidden, w)))
    zeros, *_ = vary_alike(zeros, hidden, w, labels)
    losses, log_z = lax.fori_loop(0, blocks.number, body, (zeros, zeros))
    return losses, (hidden, w, b, labels, log_z, selected)


def _backward(chunk: int, saved: tuple, cotangent: jax.Array) -> tuple:
    hidden, w, b, labels, log_z, selected = saved
    blocks = _blocks(selected)
    cotangent = jnp.where(selected, cotangent, jnp.zeros_like(cotangent))

    def body(i: Any, gradients: tuple) -> tuple:
        at = blocks.of(i)
        part = _take(hidden, at), w, b, _take(labels, at), _take(log_z, at)
        d_hidden, d_w, d_b, _ = chunked_softmax.backward(
            min(chunk, len(b)), 0.0, part, _take(cotangent, at)
        )
        assert d_b is not None
        of_hidden, of_w, of_b = gradients
        return (
            _put(of_hidden, at, d_hidden),
            of_w + d_w.astype(of_w.dtype),
            of_b + d_b.astype(of_b.dtype),
        )

    dtypes = (hidden.dtype, *(chunked_softmax.of_sums(a.dtype) for a in (w, b)))
    start = tuple(map(jnp.zeros_like, (hidden, w, b), dtypes))
    gradients = lax.fori_loop(0, blocks.number, body, start)
    found = (d.astype(a.dtype) for d, a in zip(gradients, (hidden, w, b), strict=True))
    return *found, None, None


# (hidden [N, G, P], w, b, labels [N, G], selected [N, G], chunk) -> losses [N, G]
_selected_losses = partial(jax.custom_vjp, nondiff_argnums=(5,))(
    lambda *args: _forward(*args)[0]
)
_selected_losses.defvjp(_forward, _backward)
