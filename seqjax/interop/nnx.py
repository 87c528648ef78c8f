"""`RNN` and `Bidirectional` of `flax.nnx`, run by `seqjax.unroll`.

    from seqjax.interop import nnx as fast

    rnn = fast.RNN(nnx.LSTMCell(28, 256, rngs=nnx.Rngs(0)))

Arguments, results and parameters are those of `flax.nnx`, so that a checkpoint loads.
LSTMCell, OptimizedLSTMCell, GRUCell and SimpleCell run in the fused loop. Other cells,
mixed dtypes and settings that no cell here has run in flax as before.
"""

from typing import Any

import jax
import numpy as np
from flax import nnx
from flax.nnx.nn import dtypes

from seqjax.interop import flax_loop
from seqjax.interop.flax import activation_of, cell_of

CELLS = (nnx.LSTMCell, nnx.OptimizedLSTMCell, nnx.GRUCell, nnx.SimpleCell)


class RNN(nnx.RNN):
    """`flax.nnx.RNN`, run by `seqjax.unroll` where the cell allows it.

    Takes reverse-mode derivatives; for others use `flax.nnx.RNN`.

    Example:
      >>> from flax import nnx
      >>> from seqjax.interop.nnx import RNN
      >>> rnn = RNN(nnx.GRUCell(28, 256, rngs=nnx.Rngs(0)))
      >>> rnn(jnp.zeros((32, 35, 28))).shape  # [B, T, D]
      (32, 35, 256)

    Source: the documentation of `flax.nnx.RNN`.
    """

    def __call__(
        self,
        inputs: jax.Array,
        *,
        initial_carry: Any = None,
        seq_lengths: jax.Array | None = None,
        return_carry: bool | None = None,
        time_major: bool | None = None,
        reverse: bool | None = None,
        keep_order: bool | None = None,
        rngs: Any = None,
    ) -> Any:
        """As `flax.nnx.RNN`: the outputs, or (carry, outputs)."""
        as_flax = {
            "initial_carry": initial_carry,
            "seq_lengths": seq_lengths,
            "return_carry": return_carry,
            "time_major": time_major,
            "reverse": reverse,
            "keep_order": keep_order,
            "rngs": rngs,
        }
        activation = _activation(self.cell)
        if (
            activation is None
            or not isinstance(inputs, jax.Array | np.ndarray)
            or inputs.ndim < 2
        ):
            return super().__call__(inputs, **as_flax)
        time_axis = (
            0 if flax_loop.chosen(time_major, self.time_major) else inputs.ndim - 2
        )
        carry, rngs = initial_carry, self.rngs if rngs is None else rngs
        if carry is None:
            if isinstance(rngs, nnx.Rngs):
                rngs = rngs.carry.fork()
            shape = inputs.shape[:time_axis] + inputs.shape[time_axis + 1 :]
            carry = self.cell.initialize_carry(shape, rngs)
        own: Any = self.cell
        weights = nnx.to_pure_dict(nnx.state(own, nnx.Param))
        cell, params = cell_of(weights, activation, "RNN: ")
        if not flax_loop.fits(inputs, carry, params, own.dtype, seq_lengths):
            as_flax["initial_carry"] = carry
            return super().__call__(inputs, **as_flax)
        return flax_loop.run(
            cell,
            params,
            inputs,
            carry,
            time_axis,
            seq_lengths,
            flax_loop.chosen(return_carry, self.return_carry),
            flax_loop.chosen(reverse, self.reverse),
            flax_loop.chosen(keep_order, self.keep_order),
        )


class Bidirectional(nnx.Bidirectional):
    """`flax.nnx.Bidirectional`; with two `RNN`s of this module both are fast.

    Example:
      >>> from flax import nnx
      >>> from seqjax.interop.nnx import RNN, Bidirectional
      >>> rnns = [RNN(nnx.GRUCell(28, 64, rngs=nnx.Rngs(i))) for i in range(2)]
      >>> Bidirectional(*rnns)(jnp.zeros((32, 35, 28))).shape
      (32, 35, 128)
    """

    def __call__(self, inputs: jax.Array, **options: Any) -> Any:
        """As `flax.nnx.Bidirectional`."""
        if flax_loop.chosen(options.get("return_carry"), self.return_carry):
            return super().__call__(inputs, **options)
        rngs = options.get("rngs") or self.rngs
        own = [{"rngs": rngs}] * 2
        return flax_loop.outputs_of_both(self, inputs, options, own)


def _activation(cell: Any) -> str | None:
    """The activation of a cell that runs here; None for any other."""
    if type(cell) not in CELLS or cell.promote_dtype is not dtypes.promote_dtype:
        return None
    return activation_of(cell)
