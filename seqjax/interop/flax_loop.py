"""What the RNNs of flax compute, by `seqjax.unroll`: for the modules in nnx and linen.

They differ from `unroll` in three ways. The steps past a sequence's length run on, so
that their outputs are not zero; the carry is then that of its last step. A sequence
that is read backward is reversed within its length first, and its outputs may stay in
that order. The carry of an LSTM is (c, h).
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from seqjax.cell_protocol import Dot, Params
from seqjax.cells import LSTM, LSTMParams, LSTMState
from seqjax.recurrence import unroll

FLOATS = (jnp.float32, jnp.float64)


def fits(inputs: Any, carry: Any, params: Any, dtype: Any, lengths: Any) -> bool:
    """Whether `run` gives the results of flax: one dtype, and one axis of lengths."""
    leaves = jax.tree.leaves((inputs, carry, params))
    dtypes = {leaf.dtype for leaf in leaves}
    if dtype is not None:
        dtypes.add(jnp.dtype(dtype))
    return (
        len(dtypes) == 1
        and dtypes.pop() in FLOATS
        and (lengths is None or jnp.ndim(lengths) == 1)
    )


def run(
    cell: Any,
    params: Params,
    inputs: jax.Array,
    carry: Any,
    time_axis: int,
    lengths: jax.Array | None,
    return_carry: bool,
    reverse: bool,
    keep_order: bool,
) -> Any:
    """(carry, outputs), or the outputs alone.

    Args:
      cell, params: from `flax.cell_of`.
      inputs: the time axis is `time_axis`, features are last.
      carry: the initial carry of flax.
      time_axis: of the inputs and of the outputs.
      lengths: integers [B], or None.
      return_carry, reverse, keep_order: as in flax.
    """
    xs = jnp.moveaxis(inputs, time_axis, 0)
    is_lstm, of_last = isinstance(cell, LSTM), lengths is not None and return_carry
    state, loop = carry, cell
    if isinstance(cell, LSTM):
        state = LSTMState(h=carry[1], c=carry[0])
        loop = _WithMemory(cell) if of_last else cell
    turn = _turned(lengths)
    backward = reverse and lengths is None
    if reverse and not backward:
        xs = turn(xs)
    last, ys = unroll(loop, params, xs, state, reverse=backward)
    if of_last:
        at = jnp.asarray(lengths) - 1, jnp.arange(xs.shape[1])
        last = ys[at]
        if is_lstm:
            last = LSTMState(*jnp.split(last, 2, axis=-1))
            ys = ys[..., : cell.hidden_size]
    if reverse and keep_order != backward:
        ys = turn(ys)
    outputs = jnp.moveaxis(ys, 0, time_axis)
    if not return_carry:
        return outputs
    return (last.c, last.h) if is_lstm else last, outputs


def chosen(given: Any, own: Any) -> Any:
    """The argument of a call if it is given, else the attribute of the module."""
    return own if given is None else given


def outputs_of_both(
    layer: Any, inputs: Any, options: Mapping[str, Any], own: Sequence[dict[str, Any]]
) -> Any:
    """The merged outputs of a Bidirectional of flax, without the carries.

    flax asks for the carries also where nobody reads them, which costs an output of
    every step.

    Args:
      layer: the Bidirectional.
      inputs: as its call gets them.
      options: the keyword arguments of the call.
      own: further arguments of the forward and of the backward RNN.
    """
    shared = {
        "seq_lengths": options.get("seq_lengths"),
        "time_major": chosen(options.get("time_major"), layer.time_major),
        "return_carry": False,
    }
    carries = options.get("initial_carry") or (None, None)
    ways = {"reverse": False}, {"reverse": True, "keep_order": True}
    rnns = layer.forward_rnn, layer.backward_rnn
    outputs = (
        rnn(inputs, initial_carry=carry, **shared, **way, **more)
        for rnn, carry, way, more in zip(rnns, carries, ways, own, strict=True)
    )
    return jax.tree.map(layer.merge_fn, *outputs)


def _turned(lengths: jax.Array | None) -> Callable[[jax.Array], jax.Array]:
    """A function that reverses sequences [T, B, ...], the padding after them."""
    if lengths is None:
        return lambda xs: jnp.flip(xs, 0)

    def turn(xs: jax.Array) -> jax.Array:
        steps = len(xs)
        at = (jnp.arange(steps - 1, -1, -1)[:, None] + lengths) % steps
        return jnp.take_along_axis(xs, at[..., None], 0)

    return turn


@dataclasses.dataclass(frozen=True)
class _WithMemory:
    """An LSTM whose outputs are [h, c]."""

    cell: LSTM

    @property
    def output_size(self) -> int:
        return 2 * self.cell.hidden_size

    @property
    def gate_size(self) -> int:
        return self.cell.hidden_size

    def init(self, key: jax.Array, input_size: int) -> LSTMParams:
        return self.cell.init(key, input_size)

    def initial_state(self, batch_shape: tuple[int, ...] = ()) -> LSTMState:
        return self.cell.initial_state(batch_shape)

    def project(self, params: LSTMParams, xs: jax.Array) -> jax.Array:
        return self.cell.project(params, xs)

    def step(
        self, params: LSTMParams, state: LSTMState, z: jax.Array, dot: Dot = jnp.dot
    ) -> tuple[LSTMState, jax.Array]:
        state, _ = self.cell.step(params, state, z, dot)
        return state, jnp.concatenate(state, axis=-1)
