"""Averages of the parameters over training, as optax transformations.

A transformation keeps the average in the optimizer's state, so that a checkpoint holds
it. It changes no update. `averaged` reads the average of a TrainState.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from seqjax.training.step import Params, TrainState


class AverageState(NamedTuple):
    """The state of an average of parameters."""

    average: Params  # weighted sum of parameters
    weight: jax.Array  # the sum of the weights; 0 before the average begins
    number: jax.Array  # parameters averaged, int32
    restarts: jax.Array  # how often `restart` was called, int32


def _empty(params: Params) -> AverageState:
    zero = jnp.zeros((), jnp.int32)
    return AverageState(
        jax.tree.map(jnp.zeros_like, params), jnp.zeros(()), zero, jnp.copy(zero)
    )


def polyak_average() -> optax.GradientTransformationExtraArgs:
    """The mean of the parameters after each update since `begin_average`.

        number = number + 1
        average = average + (params - average) / number

    Until `begin_average`, nothing is averaged. With SGD at a constant rate this is
    averaged SGD (ASGD).

    Returns:
      An optax transformation, the last of a chain.

    Example:
      >>> optimizer = optax.chain(optax.sgd(1.0), polyak_average())
      >>> w, state = jnp.array(0.0), optimizer.init(jnp.array(0.0))
      >>> updates, state = optimizer.update(jnp.array(-3.0), state, w)
      >>> updates.item(), state[1].number.item()
      (3.0, 0)

    Source: Polyak and Juditsky, "Acceleration of stochastic approximation by
    averaging", 1992; triggered as in Merity et al. 2017, arXiv:1708.02182, section 2.1.
    """

    def update(average: AverageState, params: Params) -> AverageState:
        number = average.number + 1
        share = 1 / number.astype(jnp.float32)
        mean = jax.tree.map(
            lambda a, p: a + share.astype(p.dtype) * (p - a), average.average, params
        )
        new = average._replace(average=mean, number=number)
        begun = average.weight > 0
        return jax.tree.map(lambda a, b: jnp.where(begun, a, b), new, average)

    return _transformation(update)


def exponential_average(decay: float) -> optax.GradientTransformationExtraArgs:
    """The exponential moving average of the parameters after each update.

        average = decay * average + (1 - decay) * params
        weight  = decay * weight + (1 - decay)

    from zero; `averaged` divides by the weight.

    Args:
      decay: in [0, 1).

    Returns:
      An optax transformation, the last of a chain.

    Raises:
      ValueError: if the decay is outside [0, 1).

    Example:
      >>> optimizer = optax.chain(optax.sgd(1.0), exponential_average(0.5))
      >>> w, state = jnp.array(0.0), optimizer.init(jnp.array(0.0))
      >>> updates, state = optimizer.update(jnp.array(-3.0), state, w)
      >>> (state[1].average / state[1].weight).item()  # of the one value 3
      3.0
    """
    if not 0 <= decay < 1:
        raise ValueError(f"the decay of an average must be in [0, 1), got {decay}")

    def update(average: AverageState, params: Params) -> AverageState:
        return average._replace(
            average=jax.tree.map(
                lambda a, p: decay * a + (1 - decay) * p, average.average, params
            ),
            weight=decay * average.weight + (1 - decay),
            number=average.number + 1,
        )

    return _transformation(update)


def _transformation(update: Any) -> optax.GradientTransformationExtraArgs:
    def of_updates(
        updates: Any,
        state: AverageState,
        params: Params = None,
        *,
        update_scale: Any = 1.0,
        **_: Any,
    ) -> tuple[Any, AverageState]:
        if params is None:
            raise ValueError("an average of parameters needs the parameters")
        scaled = jax.tree.map(lambda u: update_scale * u, updates)
        return updates, update(state, optax.apply_updates(params, scaled))

    return optax.GradientTransformationExtraArgs(_empty, of_updates)


def averaged(state: TrainState) -> Params:
    """The average of the parameters, or the parameters where nothing is averaged yet.

    Args:
      state: a TrainState.

    Returns:
      A pytree like `state.params`.

    Example:
      >>> optimizer = optax.chain(optax.sgd(1.0), exponential_average(0.9))
      >>> key = jax.random.key(0)
      >>> state = seqjax.training.init_state(jnp.array(2.0), optimizer, None, key)
      >>> averaged(state).item()
      2.0
    """
    found = _find(state.opt_state)
    if found is None:
        return state.params
    begun = found.weight > 0
    weight = jnp.where(begun, found.weight, 1.0)
    return jax.tree.map(
        lambda a, p: jnp.where(begun, a / weight.astype(a.dtype), p),
        found.average,
        state.params,
    )


def begin_average(state: TrainState) -> TrainState:
    """Begin a Polyak average with the present parameters.

    Args:
      state: a TrainState whose optimizer has a `polyak_average`.

    Returns:
      A TrainState.

    Example:
      >>> optimizer, key = polyak_average(), jax.random.key(0)
      >>> state = seqjax.training.init_state(jnp.array(2.0), optimizer, None, key)
      >>> begin_average(state).opt_state.number.item()
      1
    """

    def begun(average: AverageState) -> AverageState:
        return average._replace(
            average=jax.tree.map(jnp.copy, state.params),
            weight=jnp.ones_like(average.weight),
            number=jnp.ones_like(average.number),
        )

    return state.replace(opt_state=_replace(state.opt_state, begun))


def restart_average(state: TrainState) -> TrainState:
    """Continue from the average, and begin another with it (finetuning).

    Args:
      state: a TrainState whose optimizer has a `polyak_average`.

    Returns:
      A TrainState.

    Example:
      >>> optimizer, key = polyak_average(), jax.random.key(0)
      >>> state = seqjax.training.init_state(jnp.array(2.0), optimizer, None, key)
      >>> restart_average(begin_average(state)).opt_state.restarts.item()
      1

    Source: Merity et al. 2017, arXiv:1708.02182, section 5.
    """
    state = begin_average(state.replace(params=averaged(state)))
    opt_state = _replace(state.opt_state, lambda a: a._replace(restarts=a.restarts + 1))
    return state.replace(opt_state=opt_state)


def average_state(state: TrainState) -> AverageState | None:
    """The AverageState of a TrainState; None if its optimizer averages nothing.

    Args:
      state: a TrainState.

    Example:
      >>> key = jax.random.key(0)
      >>> state = seqjax.training.init_state(jnp.ones(2), optax.sgd(1.0), None, key)
      >>> average_state(state) is None
      True
    """
    return _find(state.opt_state)


def is_nonmonotone(values: Sequence[float], window: int) -> bool:
    """Whether the last validation is worse than the best of all but the last ones.

        values[-1] > min(values[: -1 - window])

    Args:
      values: validation losses or perplexities, the last one at the end.
      window: n, the number of validations before the last that do not count.

    Example:
      >>> is_nonmonotone([5.0, 4.0, 4.5, 4.2, 4.1], window=2)
      True
      >>> is_nonmonotone([5.0, 4.0, 4.5, 4.2, 3.9], window=2)
      False

    Source: Merity et al. 2017, arXiv:1708.02182, algorithm 1.
    """
    before = values[: -1 - window]
    return len(before) > 0 and values[-1] > min(before)


def _find(opt_state: Any) -> AverageState | None:
    leaves = jax.tree.leaves(opt_state, is_leaf=lambda s: isinstance(s, AverageState))
    return next((s for s in leaves if isinstance(s, AverageState)), None)


def _replace(opt_state: Any, change: Any) -> Any:
    return jax.tree.map(
        lambda s: change(s) if isinstance(s, AverageState) else s,
        opt_state,
        is_leaf=lambda s: isinstance(s, AverageState),
    )
