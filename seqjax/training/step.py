"""The training state, the optimizer, and one training step.

A loss function has the signature

    loss_fn(params, carry, batch, key) -> ((total, count), carry)

A minibatch whose count is 0 changes nothing but what the optimizer does on a gradient
of zero.

`carry` is what one minibatch passes to the next: the recurrent state under truncated
backpropagation through time, else None. The gradient is that of the mean total / count.
It never reaches into an earlier minibatch, because the incoming carry is a constant;
that is the truncation (Williams and Peng 1990).
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import flax.struct
import jax
import jax.numpy as jnp
import optax

Params = Any  # a pytree of arrays
Carry = Any  # a pytree of arrays, or None
Batch = Any  # a pytree of arrays
LossFn = Callable[
    [Params, Carry, Batch, jax.Array], tuple[tuple[jax.Array, jax.Array], Carry]
]


class TrainState(flax.struct.PyTreeNode):
    """All that training changes; with the data order it decides every later number.

    Attributes:
      step: minibatches done, int32.
      params: parameters.
      opt_state: the optimizer's state.
      carry: what the next minibatch starts from, such as the recurrent state.
      key: the random key of the run; step t draws from `fold_in(key, t)`.
      learning_rate_scale: factor on every update, lowered on a plateau.

    Example:
      >>> optimizer = optax.sgd(learning_rate=0.1)
      >>> state = init_state({"w": jnp.zeros(2)}, optimizer, None, jax.random.key(0))
      >>> state = state.replace(learning_rate_scale=jnp.asarray(0.5))
      >>> state.step.item(), state.learning_rate_scale.item()
      (0, 0.5)
    """

    step: jax.Array
    params: Params
    opt_state: optax.OptState
    carry: Carry
    key: jax.Array
    learning_rate_scale: jax.Array


class StepMetrics(NamedTuple):
    """The metrics of one minibatch, or of several: sums, and the last one's norm."""

    total: jax.Array  # sum of losses, such as negative log-likelihood in nats
    # Number of predictions. It hides tuple.count, which nothing here uses.
    count: jax.Array  # type: ignore[assignment]
    grad_norm: jax.Array  # global norm before clipping; of the last minibatch
    skipped: jax.Array  # minibatches skipped because they were not finite


TrainStep = Callable[[TrainState, Batch], tuple[TrainState, StepMetrics]]


def init_state(
    params: Params,
    optimizer: optax.GradientTransformation,
    carry: Carry,
    key: jax.Array,
) -> TrainState:
    """The TrainState before the first step.

    Args:
      params: a pytree of arrays, which a train loop reuses: copy those that you need
        after it.
      optimizer: an optax transformation.
      carry: what the first minibatch starts from.
      key: the random key of the run.

    Returns:
      A TrainState with step 0 and a learning_rate_scale of 1.

    Example:
      >>> optimizer = make_optimizer("adam", learning_rate=0.001)
      >>> params = {"w": jnp.ones((2, 3))}
      >>> state = init_state(params, optimizer, None, jax.random.key(0))
      >>> state.step, state.params["w"].shape
      (Array(0, dtype=int32), (2, 3))
    """
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        params=params,
        opt_state=optimizer.init(params),
        carry=carry,
        key=key,
        learning_rate_scale=jnp.ones(()),
    )


def make_optimizer(
    name: str,
    learning_rate: optax.ScalarOrSchedule,
    clip_norm: float | None = None,
    weight_decay: float = 0.0,
) -> optax.GradientTransformation:
    """An optax chain: clip by the global norm, then the optimizer.

    Args:
      name: "sgd", "adam" or "adamw".
      learning_rate: a number or an optax schedule, of the update's number.
      clip_norm: theta in g <- min(1, theta / ||g||) g; None turns clipping off.
      weight_decay: for sgd and adamw; each update also subtracts learning_rate *
        weight_decay * params.

    Returns:
      An optax.GradientTransformation.

    Raises:
      ValueError: for another name, or weight decay with adam.

    Example:
      >>> optimizer = make_optimizer("sgd", learning_rate=1.0, clip_norm=1.0)
      >>> grads = {"w": jnp.array([3.0, 4.0])}  # of norm 5
      >>> updates, _ = optimizer.update(grads, optimizer.init(grads))
      >>> np.asarray(updates["w"]).round(4)
      array([-0.6, -0.8], dtype=float32)

    Source of the clipping: Pascanu et al. 2013, arXiv:1211.5063.
    """
    if weight_decay and name == "adam":
        raise ValueError("weight decay needs sgd or adamw, got 'adam'")
    if name == "sgd":
        optimizer = optax.sgd(learning_rate)
        if weight_decay:
            decay = optax.add_decayed_weights(weight_decay)
            optimizer = optax.chain(decay, optimizer)
    elif name == "adam":
        optimizer = optax.adam(learning_rate)
    elif name == "adamw":
        optimizer = optax.adamw(learning_rate, weight_decay=weight_decay)
    else:
        raise ValueError(
            f'the optimizer must be "sgd", "adam" or "adamw", got {name!r}'
        )
    if clip_norm is None:
        return optimizer
    return optax.chain(optax.clip_by_global_norm(clip_norm), optimizer)


def make_train_step(
    loss_fn: LossFn,
    optimizer: optax.GradientTransformation,
    skip_nonfinite: bool = False,
    rate_of: Callable[[Batch], jax.Array] | None = None,
) -> TrainStep:
    """One step of stochastic gradient descent.

    Args:
      loss_fn: see the module's docstring.
      optimizer: an optax transformation.
      skip_nonfinite: whether a minibatch whose loss or gradient is not finite changes
        nothing but `state.step`; its metrics are then 0, and `skipped` is 1.
      rate_of: batch -> a factor on its update, beside `state.learning_rate_scale`; None
        is 1.

    Returns:
      train_step(state, batch) -> (state, StepMetrics), a pure function. The caller
      compiles it, or passes it to `make_train_loop` or `make_batch_loop`.

    Example:
      >>> def loss_fn(w, carry, batch, key):  # squared errors
      ...     return seqjax.nn.masks.masked_total((batch - w) ** 2, None), carry
      >>> optimizer = make_optimizer("sgd", learning_rate=0.25)
      >>> train_step = jax.jit(make_train_step(loss_fn, optimizer))
      >>> state = init_state(jnp.zeros(()), optimizer, None, jax.random.key(0))
      >>> state, metrics = train_step(state, jnp.array([1.0, 3.0]))
      >>> metrics.total.item(), metrics.grad_norm.item(), state.params.item()
      (10.0, 4.0, 1.0)
    """

    update = optax.with_extra_args_support(optimizer).update

    def train_step(state: TrainState, batch: Batch) -> tuple[TrainState, StepMetrics]:
        key = jax.random.fold_in(state.key, state.step)

        def mean_loss(params: Params) -> tuple[jax.Array, Any]:
            with jax.named_scope("loss"):
                (total, count), carry = loss_fn(params, state.carry, batch, key)
            # A minibatch without predictions has a gradient of zero.
            mean = total / jnp.where(count > 0, count, jnp.ones_like(count))
            return mean, (total, count, carry)

        grads, (total, count, carry) = jax.grad(mean_loss, has_aux=True)(state.params)
        with jax.named_scope("optimizer"):
            scale = state.learning_rate_scale
            scale = scale if rate_of is None else scale * rate_of(batch)
            updates, opt_state = update(
                grads, state.opt_state, state.params, update_scale=scale
            )
            updates = jax.tree.map(lambda u: scale * u, updates)
            params = optax.apply_updates(state.params, updates)
        norm = optax.tree.norm(grads)
        metrics = StepMetrics(total, count, norm, jnp.zeros((), jnp.int32))
        new = params, opt_state, carry, metrics
        if skip_nonfinite:
            is_finite = jnp.isfinite(total) & jnp.isfinite(norm)
            zeros = jax.tree.map(jnp.zeros_like, metrics)
            nothing = zeros._replace(skipped=jnp.ones((), jnp.int32))
            old = state.params, state.opt_state, state.carry, nothing
            new = jax.tree.map(partial(jnp.where, is_finite), new, old)
        params, opt_state, carry, metrics = new
        state = state.replace(
            step=state.step + 1, params=params, opt_state=opt_state, carry=carry
        )
        return state, metrics

    return train_step
