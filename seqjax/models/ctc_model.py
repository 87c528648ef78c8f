"""A recurrent network trained with CTC: feature frames in, a sequence of labels out."""

import dataclasses
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from seqjax.cell_protocol import Params
from seqjax.mesh_axes import batch_spec, on_any_mesh, replicated, steps_spec
from seqjax.nn import layers
from seqjax.nn.masks import as_lengths, valid_steps
from seqjax.recurrence import Unrollable, unroll
from seqjax.structured import ctc


class CTCBatch(NamedTuple):
    """Features and the labels of each sequence; padding may hold any values."""

    features: jax.Array  # [T, ..., D]
    lengths: jax.Array  # integers [...], in frames
    labels: jax.Array  # integers [L, ...]
    label_lengths: jax.Array  # integers [...]


class CTCModelParams(NamedTuple):
    """Parameters of a CTCModel."""

    cell: Params
    out: layers.DenseParams  # w [H, V], b [V]


@dataclasses.dataclass(frozen=True)
class CTCModel:
    """P(labels | frames) without an alignment of the labels to the frames.

        xs_t     = frames k t .. k t + k - 1, concatenated
        _, ys    = unroll(cell, xs)
        logits_t = ys_t @ w + b
        P(labels) = sum over the paths of the labels of prod_t softmax(logits_t)[path_t]

    Args:
      num_symbols: V, the labels and the blank, which is 0.
      cell: a cell, a Stack or a Bidirectional.
      input_size: D, features per frame.
      stacking: k, frames per step.
      dropout: rate on the inputs and on the outputs of the cell. The rate between
        layers belongs to the Stack.
      locked: drop the same units of a sequence at all its steps.

    Raises:
      ValueError: if the rate is outside [0, 1), num_symbols is below 2 or stacking is
        below 1.

    Example:
      >>> cell = seqjax.Bidirectional(seqjax.GRU(16))
      >>> model = CTCModel(27, cell, input_size=40, stacking=2)
      >>> params = model.init(jax.random.key(0))
      >>> xs, lengths = jnp.zeros((11, 3, 40)), jnp.array([11, 8, 2])
      >>> logits, steps = model.apply(params, xs, lengths)
      >>> logits.shape, steps.tolist()
      ((6, 3, 27), [6, 4, 1])
      >>> found = ctc.beam_search(logits, steps, beam_size=10)

    Source: Graves, Mohamed and Hinton, "Speech recognition with deep recurrent neural
    networks", 2013, arXiv:1303.5778; frame stacking as Sak et al. 2015,
    arXiv:1507.06947.
    """

    num_symbols: int
    cell: Unrollable
    input_size: int
    stacking: int = 1
    dropout: float = 0.0
    locked: bool = False

    def __post_init__(self) -> None:
        if not 0.0 <= self.dropout < 1.0:
            raise ValueError(f"CTCModel: dropout must be in [0, 1), got {self.dropout}")
        if self.num_symbols < 2 or self.stacking < 1:
            raise ValueError(
                f"CTCModel: num_symbols must be at least 2 (a blank and a label) and "
                f"stacking at least 1, got {self.num_symbols} and {self.stacking}"
            )

    def init(self, key: jax.Array) -> CTCModelParams:
        """Initial parameters."""
        k_cell, k_out = jax.random.split(key)
        return CTCModelParams(
            cell=self.cell.init(k_cell, self.stacking * self.input_size),
            out=layers.dense_init(k_out, self.cell.output_size, self.num_symbols),
        )

    def num_steps(self, num_frames: ArrayLike) -> jax.Array:
        """ceil(T / k), the number of steps of T frames."""
        return -(-as_lengths(num_frames) // self.stacking)

    @on_any_mesh(lambda a: (steps_spec(a["xs"], 1), batch_spec(a["xs"], 1)))
    def apply(
        self,
        params: CTCModelParams,
        xs: jax.Array,
        lengths: jax.Array,
        key: jax.Array | None = None,
    ) -> tuple[jax.Array, jax.Array]:
        """Logits of the symbols at each step.

        Args:
          params: from `init`.
          xs: features [T, ..., D]; any values past the lengths.
          lengths: integers [...], in frames.
          key: random key for dropout; None turns dropout off.

        Returns:
          (logits [T / k, ..., V], lengths [...] in steps).
        """
        keys = (None,) * 3 if key is None else jax.random.split(key, 3)
        lengths = as_lengths(lengths, xs.shape[0], xs.shape[1:-1])
        drop = partial(layers.dropout, rate=self.dropout, locked=self.locked)
        xs = stack_frames(xs, lengths, self.stacking)  # [T / k, ..., k D]
        lengths = self.num_steps(lengths)
        _, ys = unroll(
            self.cell, params.cell, drop(keys[0], xs), lengths=lengths, key=keys[1]
        )  # [T / k, ..., H]
        return layers.dense(params.out, drop(keys[2], ys)), lengths

    @on_any_mesh(replicated)
    def loss(
        self, params: CTCModelParams, batch: CTCBatch, key: jax.Array | None = None
    ) -> tuple[jax.Array, jax.Array]:
        """-log P(labels), summed over the sequences, and the number of labels.

        Args:
          params: from `init`.
          batch: a CTCBatch.
          key: random key for dropout; None turns dropout off.

        Returns:
          (total, count), see `ctc.loss`.
        """
        logits, lengths = self.apply(params, batch.features, batch.lengths, key)
        return ctc.loss(logits, lengths, batch.labels, batch.label_lengths)


def stack_frames(xs: jax.Array, lengths: jax.Array, k: int) -> jax.Array:
    """Concatenate k frames per step: [T, ..., D] -> [ceil(T / k), ..., k D].

    Frames past the lengths are zeros.
    """
    xs = jnp.where(valid_steps(xs.shape[0], lengths)[..., None], xs, jnp.zeros_like(xs))
    rest = jnp.zeros((-xs.shape[0] % k, *xs.shape[1:]), xs.dtype)
    xs = jnp.concatenate([xs, rest])
    xs = xs.reshape(
        xs.shape[0] // k, k, *xs.shape[1:]
    )  # [T, ..., D] -> [T / k, k, ..., D]
    xs = jnp.moveaxis(xs, 1, -2)  # [T / k, ..., k, D]
    return xs.reshape(*xs.shape[:-2], k * xs.shape[-1])
