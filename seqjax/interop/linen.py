"""`RNN` and `Bidirectional` of `flax.linen`, run by `seqjax.unroll`.

    from seqjax.interop import linen as fast

    rnn = fast.RNN(nn.OptimizedLSTMCell(256))

Arguments, results and parameters are those of `flax.linen`, so that a checkpoint loads.
LSTMCell, OptimizedLSTMCell, GRUCell and SimpleCell run in the fused loop. Other cells,
mixed dtypes and settings that no cell here has run in flax as before.
"""

from typing import Any

import jax
import numpy as np
from flax import linen as nn

from seqjax.interop import flax_loop
from seqjax.interop.flax import activation_of, cell_of

CELLS = (nn.LSTMCell, nn.OptimizedLSTMCell, nn.GRUCell, nn.SimpleCell)


class RNN(nn.RNN):
    """`flax.linen.RNN`, run by `seqjax.unroll` where the cell allows it.

    Takes reverse-mode derivatives; for others use `flax.linen.RNN`.

    Example:
      >>> from flax import linen as nn
      >>> from seqjax.interop.linen import RNN
      >>> rnn, xs = RNN(nn.GRUCell(256)), jnp.zeros((32, 35, 28))  # [B, T, D]
      >>> variables = rnn.init(jax.random.key(0), xs)
      >>> rnn.apply(variables, xs).shape
      (32, 35, 256)

    Source: the documentation of `flax.linen.RNN`.
    """

    def __call__(
        self,
        inputs: jax.Array,
        *,
        initial_carry: Any = None,
        init_key: jax.Array | None = None,
        seq_lengths: jax.Array | None = None,
        return_carry: bool | None = None,
        time_major: bool | None = None,
        reverse: bool | None = None,
        keep_order: bool | None = None,
    ) -> Any:
        """As `flax.linen.RNN`: the outputs, or (carry, outputs)."""
        as_flax = {
            "initial_carry": initial_carry,
            "init_key": init_key,
            "seq_lengths": seq_lengths,
            "return_carry": return_carry,
            "time_major": time_major,
            "reverse": reverse,
            "keep_order": keep_order,
        }
        activation = None
        if type(self.cell) in CELLS and not self.is_initializing():
            activation = activation_of(self.cell)
        weights = self.cell.variables.get("params") if activation else None
        if (
            not weights
            or not isinstance(inputs, jax.Array | np.ndarray)
            or inputs.ndim < 2
        ):
            return super().__call__(inputs, **as_flax)
        carry = initial_carry
        if carry is None:
            key = jax.random.key(0) if init_key is None else init_key
            time_axis = flax_loop.time_axis_of(self, inputs, time_major)
            shape = inputs.shape[:time_axis] + inputs.shape[time_axis + 1 :]
            carry = self.cell.initialize_carry(key, shape)
        try:
            plain = cell_of(weights, activation or "", "RNN: ")
        except ValueError:  # other weights, such as those of an adapter
            return super().__call__(inputs, **as_flax)
        if not flax_loop.fits(inputs, carry, plain[1], self.cell.dtype, seq_lengths):
            return super().__call__(inputs, **as_flax)
        return flax_loop.run_as(self, plain, inputs, carry, as_flax)


class Bidirectional(nn.Bidirectional):
    """`flax.linen.Bidirectional`; with two `RNN`s of this module both are fast.

    Example:
      >>> from flax import linen as nn
      >>> from seqjax.interop.linen import RNN, Bidirectional
      >>> layer = Bidirectional(RNN(nn.GRUCell(64)), RNN(nn.GRUCell(64)))
      >>> xs = jnp.zeros((32, 35, 28))
      >>> layer.apply(layer.init(jax.random.key(0), xs), xs).shape
      (32, 35, 128)
    """

    def __call__(
        self,
        inputs: jax.Array,
        *,
        initial_carry: Any = None,
        init_key: jax.Array | None = None,
        seq_lengths: jax.Array | None = None,
        return_carry: bool | None = None,
        time_major: bool | None = None,
        reverse: bool | None = None,
        keep_order: bool | None = None,
    ) -> Any:
        """As `flax.linen.Bidirectional`, which ignores reverse and keep_order too."""
        options: dict[str, Any] = {
            "initial_carry": initial_carry,
            "seq_lengths": seq_lengths,
            "time_major": time_major,
        }
        if flax_loop.chosen(return_carry, self.return_carry):
            more: dict[str, Any] = {"init_key": init_key, "return_carry": True}
            return super().__call__(inputs, **more, **options)
        keys: Any = None, None
        if init_key is not None:
            keys = jax.random.split(init_key)
        own = [{"init_key": key} for key in keys]
        return flax_loop.outputs_of_both(self, inputs, options, own)
