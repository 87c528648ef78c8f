"""Speech to labels: recurrent features of frames, and CTC on top."""

import dataclasses
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from seqjax.nn import layers
from seqjax.nn.masks import valid_steps
from seqjax.recurrence import unroll
from seqjax.structured import ctc


class RecognizerParams(NamedTuple):
    cell: Any
    out: Any  # DenseParams(w [H, V], b [V])


@dataclasses.dataclass(frozen=True)
class Recognizer:
    """The labels that a sequence of frames stands for, wherever they lie in it.

        xs_t     = frames k t .. k t + k - 1, side by side
        _, ys    = unroll(cell, xs)
        logits_t = ys_t @ w + b
        P(labels) = sum over the paths to them of prod_t softmax(logits_t)[path_t]

    Args:
      num_symbols: V, the labels and the blank, which is 0.
      cell: a cell, a Stack or a Bidirectional.
      input_size: D, features of a frame.
      stacking: k, frames that make one step.
      dropout: rate on what the cell reads and on what it gives; the rate between layers
        is the Stack's.
      locked: whether each sequence drops the same units at all its steps.

    Raises:
      ValueError: for a rate outside [0, 1), or fewer than 2 symbols or 1 frame a step.

    Example:
      >>> model = Recognizer(27, Bidirectional(GRU(128)), input_size=40, stacking=2)
      >>> params = model.init(jax.random.key(0))
      >>> logits, steps = model.logits(params, xs, lengths)  # [T / 2, B, 27], [B]
      >>> found = ctc.beam_search(logits, steps, beam_size=10)

    Source: Graves, Mohamed and Hinton, "Speech recognition with deep recurrent neural
    networks", 2013, arXiv:1303.5778; frames side by side as Sak et al. 2015,
    arXiv:1507.06947.
    """

    num_symbols: int
    cell: Any
    input_size: int
    stacking: int = 1
    dropout: float = 0.0
    locked: bool = False

    def __post_init__(self):
        if not 0.0 <= self.dropout < 1.0:
            raise ValueError(
                f"Recognizer: dropout must be in [0, 1), got {self.dropout}"
            )
        if self.num_symbols < 2 or self.stacking < 1:
            raise ValueError(
                f"Recognizer: a blank and a label are needed, and a frame a step, got "
                f"{self.num_symbols} symbols and {self.stacking} frames"
            )

    def init(self, key):
        """Fresh parameters."""
        k_cell, k_out = jax.random.split(key)
        return RecognizerParams(
            cell=self.cell.init(k_cell, self.stacking * self.input_size),
            out=layers.dense_init(k_out, self.cell.hidden_size, self.num_symbols),
        )

    def num_steps(self, num_frames):
        """ceil(T / k): how many steps so many frames make."""
        return -(-num_frames // self.stacking)

    def logits(self, params, xs, lengths, key=None):
        """Scores of the symbols at each step.

        Args:
          params: from `init`.
          xs: [T, ..., D]; past the lengths they may be anything.
          lengths: integers [...], of frames.
          key: switches dropout on; None is evaluation.

        Returns:
          (logits [T / k, ..., V], lengths [...] of steps).
        """
        keys = (None,) * 3 if key is None else jax.random.split(key, 3)
        drop = partial(layers.dropout, rate=self.dropout, locked=self.locked)
        xs = stacked(xs, lengths, self.stacking)  # [T / k, ..., k D]
        lengths = self.num_steps(lengths)
        _, ys = unroll(
            self.cell, params.cell, drop(keys[0], xs), lengths=lengths, key=keys[1]
        )  # [T / k, ..., H]
        return layers.dense(params.out, drop(keys[2], ys)), lengths

    def loss(self, logits, lengths, labels, label_lengths):
        """-log P(labels), summed, and the number of labels; see `ctc.loss`."""
        return ctc.loss(logits, lengths, labels, label_lengths)


def stacked(xs, lengths, k):
    """k frames side by side: [T, ..., D] -> [ceil(T / k), ..., k D].

    Past the lengths they are zeros.
    """
    xs = jnp.where(valid_steps(len(xs), lengths)[..., None], xs, jnp.zeros_like(xs))
    rest = jnp.zeros((-len(xs) % k, *xs.shape[1:]), xs.dtype)
    xs = jnp.concatenate([xs, rest])
    xs = xs.reshape(-1, k, *xs.shape[1:])  # [T, ..., D] -> [T / k, k, ..., D]
    xs = jnp.moveaxis(xs, 1, -2)  # [T / k, ..., k, D]
    return xs.reshape(*xs.shape[:-2], -1)
