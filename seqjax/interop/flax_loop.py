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
from jax.sharding import PartitionSpec

from seqjax.backend import on_gpu
from seqjax.cell_protocol import Dot, Params
from seqjax.cells import LSTM, LSTMParams, LSTMState
from seqjax.engine import checks
from seqjax.engine.run_cell import run_cell
from seqjax.mesh_axes import on_any_mesh
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
    is_lstm = isinstance(cell, LSTM)
    state = LSTMState(h=carry[1], c=carry[0]) if is_lstm else carry
    if lengths is None and not on_gpu():
        xs = jnp.asarray(inputs)
        last, outputs = _in_place(cell, params, xs, state, time_axis, reverse)
        if reverse and not keep_order:
            outputs = jnp.flip(outputs, time_axis)
    else:
        turn = _turned(lengths) if reverse else lambda xs: xs
        xs = turn(jnp.moveaxis(inputs, time_axis, 0))
        of_last = lengths if return_carry else None
        last, ys = _last_and_all(cell, params, xs, state, of_last)
        outputs = jnp.moveaxis(turn(ys) if keep_order else ys, 0, time_axis)
    if not return_carry:
        return outputs
    return (last.c, last.h) if is_lstm else last, outputs


def time_axis_of(layer: Any, inputs: Any, time_major: bool | None) -> int:
    """The time axis of the inputs of an RNN of flax."""
    return 0 if chosen(time_major, layer.time_major) else inputs.ndim - 2


def run_as(
    layer: Any,
    plain: tuple[Any, Params],
    inputs: jax.Array,
    carry: Any,
    options: Mapping[str, Any],
) -> Any:
    """`run` with the arguments of a call, or the settings of the RNN of flax."""
    return run(
        *plain,
        inputs,
        carry,
        time_axis_of(layer, inputs, options["time_major"]),
        options["seq_lengths"],
        chosen(options["return_carry"], layer.return_carry),
        chosen(options["reverse"], layer.reverse),
        chosen(options["keep_order"], layer.keep_order),
    )


def _last_and_all(
    cell: Any, params: Params, xs: jax.Array, state: Any, lengths: jax.Array | None
) -> tuple[Any, jax.Array]:
    """The state after `lengths` steps, by default after all, and all outputs."""
    if lengths is None:
        return unroll(cell, params, xs, state)
    is_lstm = isinstance(cell, LSTM)
    _, ys = unroll(_WithMemory(cell) if is_lstm else cell, params, xs, state)
    last = ys[jnp.asarray(lengths) - 1, jnp.arange(xs.shape[1])]
    if not is_lstm:
        return last, ys
    return LSTMState(*jnp.split(last, 2, axis=-1)), ys[..., : cell.hidden_size]


def _specs(arguments: Mapping[str, Any]) -> tuple[PartitionSpec, PartitionSpec]:
    """How the state and the outputs are sharded: as the batch."""
    axes, time = jax.typeof(arguments["xs"]).sharding.spec, arguments["time_axis"]
    before, after = axes[:time], axes[time + 1 : -1]
    state = PartitionSpec(*before, *after)
    return state, PartitionSpec(*before, None, *after, None)


@on_any_mesh(_specs)
def _in_place(
    cell: Any, params: Params, xs: jax.Array, state: Any, time_axis: int, reverse: bool
) -> Any:
    """`unroll` of arrays whose time axis is not the first, without transposing them."""
    checks.refuse_forward_mode(params, xs, state)
    return run_cell(
        cell,
        params,
        xs,
        state,
        valid=None,
        reverse=reverse,
        fused=True,
        checkpoint_every=None,
        on_gpu=False,
        axis=time_axis,
    )


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
