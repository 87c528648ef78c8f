"""Many training steps in one call: minibatches of one shape, or of several shapes."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np
import optax

from seqjax.training.step import Batch, Params, StepMetrics, TrainState, TrainStep

MAX_QUEUED = 8  # minibatches that `make_batch_loop` makes ahead of the device


class Metrics(NamedTuple):
    """The metrics of a call of a training loop: sums, and norms at its last minibatch.

    `update_norm` is 0 after a call of no steps, and where an optimizer accumulates
    gradients without an update.
    """

    total: jax.Array | float  # sum of losses, such as negative log-likelihood in nats
    # Number of predictions. It hides tuple.count, which nothing here uses.
    count: jax.Array | float  # type: ignore[assignment]
    grad_norm: jax.Array | float  # global norm of the last gradient before clipping
    param_norm: jax.Array | float  # global norm of the parameters after the last update
    update_norm: jax.Array | float  # global norm of the last change of the parameters
    skipped: jax.Array | int = 0  # minibatches skipped because they were not finite


class TrainLoop(Protocol):
    """Training on the minibatches begin .. end - 1 of a plan.

    The sums of the metrics begin with `total` and `count`: those of an earlier call
    make the sums of two calls equal to those of one, bit for bit.
    """

    def __call__(
        self,
        state: TrainState,
        data: Any,
        plan: Any,
        begin: int,
        end: int,
        total: float = 0.0,
        count: float = 0.0,
    ) -> tuple[TrainState, Metrics]: ...


def make_train_loop(
    train_step: TrainStep, get_batch: Callable[[Any, Any], Batch]
) -> TrainLoop:
    """A loop over minibatches of one shape, compiled as a whole.

    The data and the plan stay on the device, and begin and end are arguments, so that
    one compilation serves every call. The loop ends early at the first step whose loss
    or gradient is not finite; `state.step` then names that step.

    Args:
      train_step: from `make_train_step`.
      get_batch: (data, plan[i]) -> batch, such as `windows` with its steps bound.

    Returns:
      train_loop(state, data, plan, begin, end, total=0, count=0) -> (state, Metrics).
      The call reuses the buffers of `state`.

    Example:
      >>> from seqjax.training import init_state, make_optimizer, make_train_step
      >>> def loss_fn(w, carry, batch, key):  # squared errors
      ...     return seqjax.nn.masks.masked_total((batch - w) ** 2, None), carry
      >>> optimizer = make_optimizer("sgd", learning_rate=0.25)
      >>> train_step = make_train_step(loss_fn, optimizer)
      >>> train_loop = make_train_loop(train_step, lambda data, rows: data[rows])
      >>> data, plan = jnp.array([1.0, 3.0, 5.0, 5.0]), jnp.array([[0, 1], [2, 3]])
      >>> state = init_state(jnp.zeros(()), optimizer, None, jax.random.key(0))
      >>> state, metrics = train_loop(state, data, plan, 0, 2)
      >>> metrics.total.item(), metrics.count.item(), state.params.item()
      (42.0, 4.0, 3.0)
    """

    @partial(jax.jit, donate_argnums=0)
    def train_loop(
        state: TrainState,
        data: Any,
        plan: Any,
        begin: int,
        end: int,
        total: float = 0.0,
        count: float = 0.0,
    ) -> tuple[TrainState, Metrics]:
        def step(loop: Any) -> Any:
            i, state, summed = loop
            state, metrics = train_step(state, get_batch(data, plan[i]))
            summed = StepMetrics(
                summed.total + metrics.total,
                summed.count + metrics.count,
                metrics.grad_norm,
                summed.skipped + metrics.skipped,
            )
            return i + 1, state, summed

        def unfinished(loop: Any, end: Any) -> jax.Array:
            i, _, summed = loop
            finite = jnp.isfinite(summed.total) & jnp.isfinite(summed.grad_norm)
            return (i < end) & finite

        def steps(loops: Any) -> Any:
            """All steps but the last one, or the last one; the parameters before."""
            (i, state, summed), _ = loops
            stop = jnp.where(i < end - 1, end - 1, end)
            loop = jax.lax.while_loop(
                partial(unfinished, end=stop), step, (i, state, summed)
            )
            return loop, state.params

        found = jax.eval_shape(train_step, state, get_batch(data, plan[begin]))[1]
        earlier = StepMetrics(
            jnp.asarray(total, found.total.dtype),
            jnp.asarray(count, found.count.dtype),
            jnp.zeros((), found.grad_norm.dtype),
            jnp.zeros((), found.skipped.dtype),
        )
        # Two rounds of one inner loop give the update of the last step. The norm of
        # every update would take up to 3 % of the time.
        (_, state, summed), before = jax.lax.while_loop(
            lambda loops: unfinished(loops[0], end),
            steps,
            ((begin, state, earlier), state.params),
        )
        param_norm, update_norm = _norms(state.params, before)
        return state, Metrics(
            summed.total,
            summed.count,
            summed.grad_norm,
            param_norm,
            update_norm,
            summed.skipped,
        )

    return train_loop


def make_batch_loop(
    train_step: TrainStep, place: Callable[[Batch], Batch] = lambda batch: batch
) -> TrainLoop:
    """A loop over minibatches of several shapes, with one compiled step for each shape.

    The loop makes a minibatch while the device computes those before it, at most
    MAX_QUEUED ahead, and fetches the metrics once a call. Where the loss or the
    gradient of a step is not finite, the metrics end with the first such step and
    `state.step` names it; the rest of that state includes the later steps and is of no
    use.

    Args:
      train_step: from `make_train_step`.
      place: puts a minibatch on the devices, such as `sharding.place`.

    Returns:
      train_loop(state, data, plan, begin, end, total=0, count=0) -> (state, Metrics as
      floats): `plan` is a list of functions that make a minibatch; `data` is not used.
      A call of no steps compiles what the plan needs. The call reuses the buffers of
      `state`.

    Example:
      >>> from seqjax.training import init_state, make_optimizer, make_train_step
      >>> def loss_fn(w, carry, batch, key):  # squared errors
      ...     return seqjax.nn.masks.masked_total((batch - w) ** 2, None), carry
      >>> optimizer = make_optimizer("sgd", learning_rate=0.25)
      >>> train_loop = make_batch_loop(make_train_step(loss_fn, optimizer))
      >>> plan = [lambda: jnp.array([1.0, 3.0]), lambda: jnp.array([5.0])]
      >>> state = init_state(jnp.zeros(()), optimizer, None, jax.random.key(0))
      >>> state, metrics = train_loop(state, None, plan, 0, 2)
      >>> metrics.total, metrics.count, state.params.item()
      (26.0, 3.0, 3.0)
    """
    step = jax.jit(train_step, donate_argnums=0)
    programs: dict[tuple[tuple[int, ...], ...], Callable[..., Any]] = {}

    def program(state: TrainState, batch: Batch) -> Callable[..., Any]:
        shapes = tuple(a.shape for a in jax.tree.leaves(batch))
        if shapes not in programs:
            programs[shapes] = step.lower(state, batch).compile()
        return programs[shapes]

    def train_loop(
        state: TrainState,
        data: Any,
        plan: Sequence[Callable[[], Batch]],
        begin: int,
        end: int,
        total: float = 0.0,
        count: float = 0.0,
    ) -> tuple[TrainState, Metrics]:
        del data
        if begin == end:
            for make in plan:
                program(state, place(make()))
            before = _copy(state.params)
        steps = []
        for i in range(begin, end):
            batch = place(plan[i]())
            if i == end - 1:
                before = _copy(state.params)
            state, metrics = program(state, batch)(state, batch)
            steps.append(metrics)
            if len(steps) > MAX_QUEUED:
                jax.block_until_ready(steps[-1 - MAX_QUEUED])
        param_norm, update_norm = map(float, _norms(state.params, before))

        grad_norm, skipped = 0.0, 0
        for later, metrics in zip(
            reversed(range(len(steps))), jax.device_get(steps), strict=True
        ):
            total, count = total + float(metrics.total), count + float(metrics.count)
            grad_norm = float(metrics.grad_norm)
            skipped += int(metrics.skipped)
            if not (np.isfinite(total) and np.isfinite(grad_norm)):
                state = state.replace(step=state.step - later)
                break
        return state, Metrics(total, count, grad_norm, param_norm, update_norm, skipped)

    return train_loop


@jax.jit
def _copy(params: Params) -> Params:
    """Parameters in buffers of their own, which a later step does not reuse."""
    return jax.tree.map(jnp.copy, params)


@jax.jit
def _norms(params: Params, before: Params) -> tuple[jax.Array, jax.Array]:
    """The global norms of the parameters and of their change."""
    change = jax.tree.map(jnp.subtract, params, before)
    return optax.tree.norm(params), optax.tree.norm(change)
