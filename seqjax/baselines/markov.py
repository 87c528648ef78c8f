"""Markov chains of any order over a small alphabet, as tables.

A chain of order k over V states is P(c) of the first k states c and P(x | c) of the
next one:

    P(x_1 .. x_T) = P(x_1 .. x_k) * prod_t P(x_t | x_{t-k} .. x_{t-1})
    P(x_{t+1} | x_{t-1}) = sum_x P(x_{t+1} | x) P(x | x_{t-1})      (k = 1, two steps)

Read backward, it is a chain of the same order, by Bayes' rule.

Source: Zhang et al., "Dive into Deep Learning", section 9.1.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

States = Sequence[int] | np.ndarray


class MarkovChain(NamedTuple):
    """P(c) and P(x | c), float64 with one axis per state, the oldest first.

    An unseen context has a row of zeros, since no state follows it.

    Example:
      >>> transition = np.array([[0.5, 0.5], [1.0, 0.0]])
      >>> chain = MarkovChain(initial=np.array([1.0, 0.0]), transition=transition)
      >>> chain.after(2).tolist()
      [[0.75, 0.25], [0.5, 0.5]]
      >>> chain.stationary().round(3)
      array([0.667, 0.333])
    """

    initial: np.ndarray  # [V] * k
    transition: np.ndarray  # [V] * k + [V]

    @property
    def order(self) -> int:
        """k."""
        return self.initial.ndim

    @property
    def num_states(self) -> int:
        """V."""
        return len(self.initial)

    def log_prob(self, states: States) -> float:
        """log P of a sequence of integers [T]; -inf for an impossible one."""
        states, k = np.asarray(states, np.int64), self.order
        start = self.initial[tuple(states[:k])].sum()  # over the missing states
        steps = self.transition[_windows(states, k + 1)]
        with np.errstate(divide="ignore"):
            return float(np.log(start) + np.log(steps).sum())

    def after(self, steps: int) -> np.ndarray:
        """P(x_{t+steps} | x_{t-k+1} .. x_t), [V] * k + [V].

        By dynamic programming over the number of steps,

            P_n(y | c_1 .. c_k) = sum_x P(x | c_1 .. c_k) P_{n-1}(y | c_2 .. c_k x),

        and at order 1 by powers of the transition matrix.

        Args:
          steps: at least 1.

        Raises:
          ValueError: if steps is below 1.
        """
        if steps < 1:
            raise ValueError(f"steps must be at least 1, got {steps}")
        size = self.num_states
        if self.order == 1:
            return np.linalg.matrix_power(self.transition, steps)
        first = self.transition.reshape(size, -1, size)  # c_1, c_2 .. c_k, x
        probs = self.transition
        for _ in range(steps - 1):
            left = probs.reshape(-1, size, size)  # c_2 .. c_k, x, y
            probs = np.einsum("amx,mxy->amy", first, left, optimize=True)
        return probs.reshape(self.transition.shape)

    def stationary(self) -> np.ndarray:
        """The distribution of k consecutive states that is invariant, [V] * k.

        Raises:
          ValueError: if it is not unique, or a state without a successor is reachable.
        """
        size = self.num_states**self.order
        moves = self._moves()
        reachable = moves.any(axis=0) | (self.initial.ravel() > 0)
        if (reachable & ~moves.any(axis=1)).any():
            raise ValueError("the chain ends: a reachable state has no successor")
        kept = np.flatnonzero(moves.any(axis=1))
        equations = moves[np.ix_(kept, kept)].T - np.eye(len(kept))
        if np.linalg.matrix_rank(equations) < len(kept) - 1:
            raise ValueError("the chain has more than one stationary distribution")
        equations[-1] = 1  # replaces a redundant equation: the sum is one
        found = np.zeros(size)
        found[kept] = np.linalg.solve(equations, np.eye(len(kept))[-1])
        return found.reshape(self.initial.shape)

    def joint(self, marginal: np.ndarray) -> np.ndarray:
        """P(x_{t-k+1} .. x_{t+1}), [V] * (k + 1), given P of the first k states."""
        return marginal[..., None] * self.transition

    def reversed(self, marginal: np.ndarray | None = None) -> "MarkovChain":
        """The chain of the reversed sequences, by Bayes' rule.

            P(c_1 | c_2 .. c_k x) = P(c) P(x | c) / sum_{c_1} P(c) P(x | c)

        Args:
          marginal: P(c) at the time of the context, [V] * k; None is the stationary
            distribution, for which the reversed chain is the same at all times.

        Returns:
          A MarkovChain over the states in reversed order.
        """
        marginal = self.stationary() if marginal is None else marginal
        joint = self.joint(marginal).T  # all axes reversed
        return MarkovChain(joint.sum(axis=-1), _normalized(joint))

    def starting_with(self, states: States) -> "MarkovChain":
        """The chain conditioned on its first states, at most k.

        Raises:
          ValueError: if they have probability 0, or are more than k.
        """
        states = tuple(states)
        initial = np.zeros_like(self.initial)
        if len(states) > self.order or not self.initial[states].sum():
            raise ValueError(f"a chain of order {self.order} cannot begin {states}")
        initial[states] = self.initial[states] / self.initial[states].sum()
        return self._replace(initial=initial)

    def sample(
        self, rng: np.random.Generator, length: int, number: int = 1
    ) -> np.ndarray:
        """Random sequences of states, int64 [length, number].

        Raises:
          ValueError: if a sample reaches a state without a successor.
        """
        size, k = self.num_states, self.order
        first = _draw(np.broadcast_to(self.initial.ravel(), (number, size**k)), rng)
        states = list(np.unravel_index(first, self.initial.shape))
        while len(states) < length:
            context = tuple(states[len(states) - k :])
            states.append(_draw(self.transition[context], rng))
        return np.array(states[:length], np.int64).reshape(length, number)

    def _moves(self) -> np.ndarray:
        """P(next context | context), a chain of order 1 over contexts, [V^k, V^k]."""
        size, contexts = self.num_states, self.initial.size
        moves = np.zeros((contexts, contexts))
        rows = np.arange(contexts)[:, None]
        columns = rows * size % contexts + np.arange(
            size
        )  # the last k - 1 states, and x
        moves[rows, columns] = self.transition.reshape(contexts, size)
        return moves


def fit(
    states: States, num_states: int, order: int = 1, smoothing: float = 0.0
) -> MarkovChain:
    """A chain from relative frequencies.

        P(c)     = (n(c) + s V) / (n + s V^(k+1))
        P(x | c) = (n(c, x) + s) / (n(c) + s V)

    n(c) counts the occurrences of c that have a successor.

    Args:
      states: integers [T] below `num_states`.
      num_states: V; the table has V^(k+1) entries.
      order: k, below T.
      smoothing: s, added to the count of every (c, x); 0 is maximum likelihood.

    Raises:
      ValueError: if order is out of range or smoothing is negative.

    Example:
      >>> fit([0, 1, 0, 0, 1], num_states=2).transition
      array([[0.33333333, 0.66666667],
             [1.        , 0.        ]])
    """
    states = np.asarray(states, np.int64)
    if not 1 <= order < len(states):
        raise ValueError(
            f"order must be at least 1 and below the {len(states)} states, got {order}"
        )
    if smoothing < 0:
        raise ValueError(f"smoothing must be at least 0, got {smoothing}")
    shape = (num_states,) * (order + 1)
    indices = np.ravel_multi_index(_windows(states, order + 1), shape)
    counts = np.bincount(indices, minlength=num_states ** (order + 1)) + smoothing
    counts = counts.reshape(shape)
    return MarkovChain(counts.sum(axis=-1) / counts.sum(), _normalized(counts))


def _windows(states: np.ndarray, width: int) -> tuple[np.ndarray, ...]:
    """All windows of a sequence as a tuple of arrays, the oldest state first."""
    number = max(0, len(states) - width + 1)
    return tuple(states[i : i + number] for i in range(width))


def _normalized(weights: np.ndarray) -> np.ndarray:
    """Weights divided by their sum over the last axis; rows of zeros are kept."""
    sums = weights.sum(axis=-1, keepdims=True)
    return weights / np.where(sums > 0, sums, 1)


def _draw(weights: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A random index per row, [N], with weights [N, V].

    Raises:
      ValueError: if a row is zero.
    """
    sums = np.cumsum(weights, axis=-1)
    if not sums[:, -1].all():
        raise ValueError("the chain ends: a reachable state has no successor")
    limits = rng.random(len(sums)) * sums[:, -1]
    return (sums <= limits[:, None]).sum(axis=-1)
