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
        plain = _plain(self.cell, inputs, initial_carry, seq_lengths)
        if plain is None:
            return super().__call__(inputs, **as_flax)
        carry, rngs = initial_carry, self.rngs if rngs is None else rngs
        if carry is None:
            if isinstance(rngs, nnx.Rngs):
                rngs = rngs.carry.fork()
            time_axis = flax_loop.time_axis_of(self, inputs, time_major)
            shape = inputs.shape[:time_axis] + inputs.shape[time_axis + 1 :]
            carry = self.cell.initialize_carry(shape, rngs)
        own: Any = self.cell
        if not flax_loop.fits(inputs, carry, plain[1], own.dtype, seq_lengths):
            as_flax["initial_carry"] = carry
            return super().__call__(inputs, **as_flax)
        return flax_loop.run_as(self, plain, inputs, carry, as_flax)


class Bidirectional(nnx.Bidirectional):
    """`flax.nnx.Bidirectional`; with two `RNN`s of this module both are fast.

    Example:
      >>> from flax import nnx
      >>> from seqjax.interop.nnx import RNN, Bidirectional
      >>> rnns = [RNN(nnx.GRUCell(28, 64, rngs=nnx.Rngs(i))) for i in range(2)]
      >>> Bidirectional(*rnns)(jnp.zeros((32, 35, 28))).shape
      (32, 35, 128)
    """

    def __call__(
        self,
        inputs: jax.Array,
        *,
        initial_carry: Any = None,
        rngs: Any = None,
        seq_lengths: jax.Array | None = None,
        return_carry: bool | None = None,
        time_major: bool | None = None,
        reverse: bool | None = None,
        keep_order: bool | None = None,
    ) -> Any:
        """As `flax.nnx.Bidirectional`, which ignores reverse and keep_order too."""
        options: dict[str, Any] = {
            "initial_carry": initial_carry,
            "seq_lengths": seq_lengths,
            "time_major": time_major,
        }
        rngs = self.rngs if rngs is None else rngs
        if isinstance(rngs, nnx.Rngs):
            rngs = rngs.carry  # one stream for both directions
        if flax_loop.chosen(return_carry, self.return_carry):
            return super().__call__(inputs, rngs=rngs, return_carry=True, **options)
        return flax_loop.outputs_of_both(self, inputs, options, [{"rngs": rngs}] * 2)


def _plain(own: Any, inputs: Any, carry: Any, lengths: Any) -> Any:
    """(cell, params) if a cell of flax runs here with these arrays, else None."""
    activation = _activation(own)
    is_array = isinstance(inputs, jax.Array | np.ndarray)
    if activation is None or not is_array or inputs.ndim < 2:
        return None
    try:
        weights = nnx.to_pure_dict(nnx.state(own, nnx.Param))
        cell, params = cell_of(weights, activation, "RNN: ")
    except ValueError:  # other weights, such as those of an adapter
        return None
    fits = flax_loop.fits(inputs, carry, params, own.dtype, lengths)
    return (cell, params) if fits else None


def _activation(cell: Any) -> str | None:
    """The activation of a cell that runs here; None for any other."""
    if type(cell) not in CELLS or cell.promote_dtype is not dtypes.promote_dtype:
        return None
    parts = [part for part in vars(cell).values() if isinstance(part, nnx.Module)]
    parts = [part for part in parts if not isinstance(part, nnx.Rngs | nnx.RngStream)]
    if not all(_is_plain(part, cell.dtype) for part in parts):
        return None
    return activation_of(cell)


def _is_plain(layer: Any, dtype: Any) -> bool:
    """Whether a layer of a cell is a Linear whose product is the usual one."""
    return (
        type(layer) is nnx.Linear
        and layer.dot_general is jax.lax.dot_general
        and layer.precision is None
        and layer.dtype == dtype
        and layer.promote_dtype is dtypes.promote_dtype
        and getattr(layer, "preferred_element_type", None) is None
    )
