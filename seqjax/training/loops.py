"""Training: the state, one step, many steps in one compiled call, evaluation.

A loss function has the signature

    loss_fn(params, carry, batch, key) -> ((total, count), carry)

where `carry` is what goes on from one minibatch to the next (the recurrent state under
truncated backpropagation through time; None if nothing does). Gradients are of the mean
total / count and never reach into an earlier minibatch: the carry comes in as a
constant, which is the truncation (Williams and Peng 1990).
"""

from functools import partial
from typing import Any, NamedTuple

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import optax


@flax.struct.dataclass
class TrainState:
    """All that training changes; with the data order it decides every later number.

    Attributes:
      step: minibatches done, int32.
      params: parameters.
      opt_state: the optimizer's state.
      carry: what the next minibatch starts from, such as the recurrent state.
      key: the random key of the run; step t draws from `fold_in(key, t)`.
      learning_rate_scale: factor on every update, lowered on a plateau.
    """

    step: jax.Array
    params: Any
    opt_state: Any
    carry: Any
    key: jax.Array
    learning_rate_scale: jax.Array


class Metrics(NamedTuple):
    """Of one minibatch, or summed over several (grad_norm then is the last one's)."""

    total: jax.Array  # negative log-likelihood, nats
    count: jax.Array  # predictions
    grad_norm: jax.Array  # global norm before clipping


def init_state(params, optimizer, carry, key):
    """The TrainState before the first step.

    Args:
      params: a pytree of arrays.
      optimizer: an optax transformation.
      carry: what the first minibatch starts from.
      key: the random key of the run.
    """
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        params=params,
        opt_state=optimizer.init(params),
        carry=carry,
        key=key,
        learning_rate_scale=jnp.ones(()),
    )


def make_optimizer(name, learning_rate, clip_norm=None, weight_decay=0.0):
    """An optax chain: clip by the global norm, then the optimizer.

    Args:
      name: "sgd", "adam" or "adamw".
      learning_rate: a number or an optax schedule.
      clip_norm: theta in g <- min(1, theta / ||g||) g; None does not clip.
      weight_decay: of adamw alone.

    Raises:
      ValueError: for another name, or weight decay without adamw.

    Source of the clipping: Pascanu et al. 2013, arXiv:1211.5063.
    """
    if weight_decay and name != "adamw":
        raise ValueError(f"weight decay needs adamw, got {name!r}")
    if name == "sgd":
        optimizer = optax.sgd(learning_rate)
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


def make_train_step(loss_fn, optimizer):
    """One step of stochastic gradient descent.

    Args:
      loss_fn: see the module's docstring.
      optimizer: an optax transformation.

    Returns:
      train_step(state, batch) -> (state, Metrics); pure, to be compiled by the caller
      or looped by `make_train_loop`.
    """

    def train_step(state, batch):
        key = jax.random.fold_in(state.key, state.step)

        def mean_loss(params):
            (total, count), carry = loss_fn(params, state.carry, batch, key)
            return total / count, (total, count, carry)

        grads, (total, count, carry) = jax.grad(mean_loss, has_aux=True)(state.params)
        updates, opt_state = optimizer.update(grads, state.opt_state, state.params)
        updates = jax.tree.map(lambda u: state.learning_rate_scale * u, updates)
        state = state.replace(
            step=state.step + 1,
            params=optax.apply_updates(state.params, updates),
            opt_state=opt_state,
            carry=carry,
        )
        return state, Metrics(total, count, optax.tree.norm(grads))

    return train_step


def make_train_loop(train_step, get_batch):
    """Many minibatches in one compiled call.

    The corpus and the plan stay on the device and the loop's length is an argument, so
    that one compilation serves every call. It ends early at the first step whose loss
    or gradient is not finite: `state.step` then names the step.

    Args:
      train_step: from `make_train_step`.
      get_batch: (data, plan[i]) -> batch, such as `windows` with its steps bound.

    Returns:
      train_loop(state, data, plan, begin, end) -> (state, Metrics summed): the
      minibatches begin .. end - 1 of `plan`. The buffers of `state` are reused.
    """

    @partial(jax.jit, donate_argnums=0)
    def train_loop(state, data, plan, begin, end):
        def unfinished(loop):
            i, _, summed = loop
            finite = jnp.isfinite(summed.total) & jnp.isfinite(summed.grad_norm)
            return (i < end) & finite

        def body(loop):
            i, state, summed = loop
            state, metrics = train_step(state, get_batch(data, plan[i]))
            summed = Metrics(
                summed.total + metrics.total,
                summed.count + metrics.count,
                metrics.grad_norm,
            )
            return i + 1, state, summed

        metrics = jax.eval_shape(train_step, state, get_batch(data, plan[begin]))[1]
        zero = jax.tree.map(lambda m: jnp.zeros(m.shape, m.dtype), metrics)
        _, state, summed = jax.lax.while_loop(unfinished, body, (begin, state, zero))
        return state, summed

    return train_loop


def make_batch_loop(train_step):
    """Minibatches of several shapes, one compilation for each.

    It ends early at the first step whose loss or gradient is not finite: `state.step`
    then names the step.

    Args:
      train_step: from `make_train_step`.

    Returns:
      train_loop(state, data, plan, begin, end) -> (state, Metrics summed): `plan` holds
      functions that make a minibatch; `data` is not read. A call of no steps compiles
      what the plan needs. The buffers of `state` are reused.
    """
    step, programs = jax.jit(train_step, donate_argnums=0), {}

    def program(state, batch):
        shapes = tuple(a.shape for a in jax.tree.leaves(batch))
        if shapes not in programs:
            programs[shapes] = step.lower(state, batch).compile()
        return programs[shapes]

    def train_loop(state, data, plan, begin, end):
        del data
        if begin == end:
            for make in plan:
                program(state, make())
        total, count, grad_norm = 0.0, 0.0, 0.0
        for make in plan[begin:end]:
            batch = make()
            state, metrics = program(state, batch)(state, batch)
            total, count = total + float(metrics.total), count + float(metrics.count)
            grad_norm = float(metrics.grad_norm)
            if not (np.isfinite(total) and np.isfinite(grad_norm)):
                break
        return state, Metrics(total, count, grad_norm)

    return train_loop


def windows(tokens, starts, num_steps):
    """Rows of num_steps + 1 tokens from each start: [N], [B] -> [T + 1, B].

    Places past the end of `tokens` repeat the last one; mask them.
    """
    places = starts + jnp.arange(num_steps + 1, dtype=starts.dtype)[:, None]
    return tokens.at[places].get(mode="clip")


def make_evaluate(loss_fn, initial_carry, num_steps):
    """Evaluation over a whole text with the state carried from window to window.

    Args:
      loss_fn: (params, carry, window [T + 1, B], mask [T, B]) -> ((total, count),
        carry).
      initial_carry: (batch_shape) -> carry.
      num_steps: T.

    Returns:
      evaluate(params, tokens, starts, ends) -> (total, count), sums over all windows of
      the plan `data.batching.whole_text(...)`, as floats.
    """

    @jax.jit
    def totals(params, tokens, starts, ends):
        def body(carry, begin):
            window = windows(tokens, begin, num_steps)
            places = begin + jnp.arange(num_steps, dtype=begin.dtype)[:, None]
            (total, count), carry = loss_fn(params, carry, window, places < ends)
            return carry, (total, count)

        carry = initial_carry(starts.shape[1:])
        return jax.lax.scan(body, carry, starts)[1]

    def evaluate(params, tokens, starts, ends):
        total, count = (np.asarray(x) for x in totals(params, tokens, starts, ends))
        return float(total.sum(dtype=np.float64)), float(count.sum(dtype=np.float64))

    return evaluate
