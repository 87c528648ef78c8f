"""`unroll` runs any cell over a sequence; `Stack` and `Bidirectional` combine cells.

Time comes first, features last, everything between is batch: xs [T, ..., D],
lengths [...].
"""

import dataclasses
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike, DTypeLike

from seqjax.backend import on_gpu
from seqjax.cell_protocol import Cell, Params, State
from seqjax.engine import checks
from seqjax.engine.both_directions import run_both
from seqjax.engine.run_cell import run_cell
from seqjax.mesh_axes import batch_spec, on_any_mesh, steps_spec, vary_alike
from seqjax.nn.layers import dropout
from seqjax.nn.masks import as_lengths, valid_steps

Unrollable: TypeAlias = "Cell | Stack | Bidirectional"


@on_any_mesh(lambda a: (batch_spec(a["xs"], 1), steps_spec(a["xs"], 1)))
def unroll(
    cell: Unrollable,
    params: Params,
    xs: jax.Array,
    state: State | None = None,
    lengths: ArrayLike | None = None,
    reverse: bool = False,
    *,
    key: jax.Array | None = None,
    fused: bool = True,
    checkpoint_every: int | None = None,
) -> tuple[State, jax.Array]:
    """Run a cell over a sequence.

        zs = cell.project(params, xs)
        state, ys[t] = cell.step(params, state, zs[t])   for t = 0 .. T-1

    With `lengths`, sequence b ends after `lengths[b]` steps. From there on the state
    is held, ys is exactly zero, and no gradient flows to or from the padding, whatever
    the padding contains. A length of 0 returns the initial state. `reverse=True`
    starts at the last real step of each sequence and ends at its first. The order of
    ys is always that of xs.

    Args:
      cell: a `Cell`, a Stack or a Bidirectional.
      params: parameters, as `cell.init` returns them.
      xs: inputs [T, ..., D].
      state: initial state; None means `cell.initial_state`, in the dtype to which
        params and xs promote.
      lengths: integers [...] in 0 .. T, one per sequence, of any integer dtype; None
        means T for all. See `masks.as_lengths`.
      reverse: run backward in time.
      key: random key for the dropout of a Stack and the noise of a cell; None turns
        both off.
      fused: use the fused loop, which computes each weight gradient as one product
        after the loop. It supports reverse-mode differentiation only. False uses
        `lax.scan`, which also has forward-mode and second derivatives (but not for
        bfloat16 products on a CPU).
      checkpoint_every: number of steps k per segment. Only the state before each
        segment is stored; the backward pass recomputes the rest, one segment at a
        time. Memory is lowest for a divisor of T near sqrt(T). None stores all steps.

    Returns:
      (state, ys): the state after the last step, and ys [T, ..., output_size].

    Raises:
      ValueError: xs has no time axis or another width than the parameters, the state
        has another form than `cell.initial_state`, lengths are not integers of the
        batch shape in 0 .. T, or checkpoint_every is not an integer of at least 1.
      TypeError: a step does not keep the dtypes of the state, or the fused loop is
        differentiated in forward mode (`jvp`, `jacfwd`). If the call is compiled
        before it is differentiated, as in `jax.jvp(jax.jit(f), ...)`, the error is that
        of `jax.custom_vjp`.

    Example:
      >>> cell = seqjax.Stack((seqjax.LSTM(64), seqjax.LSTM(64)))
      >>> params = cell.init(jax.random.key(0), input_size=28)
      >>> xs, lengths = jnp.zeros((35, 2, 28)), jnp.array([35, 20])
      >>> state, ys = seqjax.unroll(cell, params, xs, lengths=lengths)
      >>> ys.shape
      (35, 2, 64)
    """
    checks.check_arguments(xs, checkpoint_every)
    num_steps, batch_shape = xs.shape[0], xs.shape[1:-1]
    valid = None
    if lengths is not None:
        lengths = as_lengths(lengths, num_steps, batch_shape, "unroll: lengths")
        valid = valid_steps(num_steps, lengths)
    if state is None:
        state = initial_state(cell, params, batch_shape, xs.dtype)
    else:
        checks.check_state(cell, state, batch_shape)
    state, valid, _ = vary_alike(state, valid, xs)
    if fused:
        checks.refuse_forward_mode(params, xs, state)
    options = {"valid": valid, "fused": fused, "checkpoint_every": checkpoint_every}
    return _unroll(cell, params, xs, state, reverse, key, **options)


def _unroll(
    cell: "Unrollable",
    params: Params,
    xs: jax.Array,
    state: State,
    reverse: bool,
    key: jax.Array | None,
    **options: Any,
) -> tuple[State, jax.Array]:
    if isinstance(cell, Stack):
        return _unroll_stack(cell, params, xs, state, reverse, key, **options)
    if isinstance(cell, Bidirectional):
        return _unroll_bidirectional(cell, params, xs, state, reverse, key, **options)
    noise = None
    if key is not None and has_noise(cell):
        noise = cell.noise(key, xs.shape[0], xs.shape[1:-1])  # type: ignore[attr-defined]
    return run_cell(
        cell,
        params,
        xs,
        state,
        reverse=reverse,
        on_gpu=on_gpu(),
        noise=noise,
        **options,
    )


def has_noise(cell: Any) -> bool:
    """Whether a cell draws random numbers at every step, see `Cell`."""
    return getattr(cell, "noise", None) is not None


@dataclasses.dataclass(frozen=True)
class Stack:
    """Layers of cells; each layer reads the outputs of the layer below.

    Args:
      cells: the layers from the input up: cells, Bidirectionals or Stacks.
      dropout: dropout rate between the layers, not after the last (Zaremba et al.
        2014). It is active when `unroll` gets a key.
      locked: use one dropout mask for all steps of a sequence, as variational dropout
        does (Gal and Ghahramani 2016).

    Parameters and states are tuples with one entry per layer. Each layer runs over the
    whole sequence before the next one starts, so that every input projection is one
    product over all T.

    Raises:
      ValueError: cells is empty, or the dropout rate is outside [0, 1).

    Example:
      >>> cell = seqjax.Stack((seqjax.LSTM(256), seqjax.GRU(128)), dropout=0.5)
      >>> cell.output_size
      128
    """

    cells: "tuple[Unrollable, ...]"
    dropout: float = 0.0
    locked: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "cells", tuple(self.cells))  # hashable
        if not self.cells:
            raise ValueError("Stack: at least one cell is needed, got none")
        if not 0.0 <= self.dropout < 1.0:
            raise ValueError(f"Stack: dropout must be in [0, 1), got {self.dropout}")

    @property
    def output_size(self) -> int:
        """Width of ys: that of the last layer."""
        return self.cells[-1].output_size

    def init(self, key: jax.Array, input_size: int, **kwargs: Any) -> Params:
        """Draw parameters, a tuple; keyword arguments go to each layer's `init`."""
        params = []
        for cell, k in zip(
            self.cells, jax.random.split(key, len(self.cells)), strict=True
        ):
            params.append(cell.init(k, input_size, **kwargs))
            input_size = cell.output_size
        return tuple(params)

    def initial_state(self, batch_shape: tuple[int, ...] = ()) -> State:
        """The layers' initial states, a tuple."""
        return tuple(cell.initial_state(batch_shape) for cell in self.cells)


def _unroll_stack(
    stack: Stack,
    params: Params,
    xs: jax.Array,
    state: State,
    reverse: bool,
    key: jax.Array | None,
    **options: Any,
) -> tuple[State, jax.Array]:
    ys, states = xs, []
    for layer, cell in enumerate(stack.cells):
        k_between = k_within = None
        if key is not None:
            k_between, k_within = jax.random.split(jax.random.fold_in(key, layer))
        if layer > 0:
            ys = dropout(k_between, ys, stack.dropout, stack.locked)
        with jax.named_scope(f"layer_{layer}"):
            last, ys = _unroll(
                cell, params[layer], ys, state[layer], reverse, k_within, **options
            )
        states.append(last)
    return tuple(states), ys


@dataclasses.dataclass(frozen=True)
class Bidirectional:
    """One cell forward and one cell of the same kind backward in time.

        merge="concat": ys = [forward ys, backward ys]   [T, ..., 2H]
        merge="sum":    ys = forward ys + backward ys    [T, ..., H]

    Parameters and states are pairs (forward, backward). The backward cell starts at
    the last real step of each sequence.

    Args:
      cell: a cell or a Stack, with output_size H.
      merge: "concat" or "sum".

    Raises:
      ValueError: merge is neither "concat" nor "sum".

    Example:
      >>> encoder = seqjax.Bidirectional(seqjax.GRU(256), merge="concat")
      >>> encoder.output_size
      512

    Source: Schuster and Paliwal, "Bidirectional recurrent neural networks", IEEE
    Transactions on Signal Processing 45, 1997.
    """

    cell: "Unrollable"
    merge: str = "concat"

    def __post_init__(self) -> None:
        if self.merge not in ("concat", "sum"):
            raise ValueError(
                f'Bidirectional: merge must be "concat" or "sum", got {self.merge!r}'
            )

    @property
    def output_size(self) -> int:
        """Width of ys: 2H with merge="concat", H with merge="sum"."""
        return self.cell.output_size * (2 if self.merge == "concat" else 1)

    def init(self, key: jax.Array, input_size: int, **kwargs: Any) -> Params:
        """Draw (forward, backward) parameters; keyword arguments go to `cell.init`."""
        k_forward, k_backward = jax.random.split(key)
        return (
            self.cell.init(k_forward, input_size, **kwargs),
            self.cell.init(k_backward, input_size, **kwargs),
        )

    def initial_state(self, batch_shape: tuple[int, ...] = ()) -> State:
        """(forward, backward) initial states."""
        return (
            self.cell.initial_state(batch_shape),
            self.cell.initial_state(batch_shape),
        )


def _unroll_bidirectional(
    both: Bidirectional,
    params: Params,
    xs: jax.Array,
    state: State,
    reverse: bool,
    key: jax.Array | None,
    **options: Any,
) -> tuple[State, jax.Array]:
    keys = (None, None) if key is None else jax.random.split(key)
    if (
        on_gpu()
        and options["fused"]
        and not isinstance(both.cell, Stack | Bidirectional)
        and (key is None or not has_noise(both.cell))
    ):
        last, ys = run_both(both.cell, params, xs, state, reverse, **options)
    else:
        forward, ys_f = _unroll(
            both.cell, params[0], xs, state[0], reverse, keys[0], **options
        )
        backward, ys_b = _unroll(
            both.cell, params[1], xs, state[1], not reverse, keys[1], **options
        )
        last, ys = (forward, backward), (ys_f, ys_b)
    if both.merge == "sum":
        return last, ys[0] + ys[1]
    return last, jnp.concatenate(ys, axis=-1)


def is_bidirectional(cell: Unrollable) -> bool:
    """Whether `cell` or a part of it reads the sequence backward."""
    if isinstance(cell, Stack):
        return any(is_bidirectional(part) for part in cell.cells)
    return isinstance(cell, Bidirectional)


def initial_state(
    cell: Unrollable,
    params: Params,
    batch_shape: tuple[int, ...],
    dtype: DTypeLike | None = None,
) -> State:
    """`cell.initial_state`, its float leaves in the dtype of params and of inputs.

    Args:
      cell, params: as `unroll`.
      batch_shape: the shape of xs between T and D.
      dtype: the dtype of the inputs; only a float dtype counts.
    """
    state = cell.initial_state(batch_shape)
    dtypes = [p.dtype for p in jax.tree.leaves(params)]
    if dtype is not None and jnp.issubdtype(dtype, jnp.floating):
        dtypes.append(jnp.dtype(dtype))
    if not dtypes:
        return state
    with jax.numpy_dtype_promotion("standard"):
        dtype = jnp.result_type(*dtypes)
    return jax.tree.map(
        lambda s: s.astype(dtype) if jnp.issubdtype(s.dtype, jnp.floating) else s,
        state,
    )
