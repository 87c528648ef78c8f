"""Markov chains of any order over a small alphabet, as tables.

A chain of order k over V states is P(c) of the first k states c and P(x | c) of the
next one:

    P(x_1 .. x_T) = P(x_1 .. x_k) * prod_t P(x_t | x_{t-k} .. x_{t-1})
    P(x_{t+1} | x_{t-1}) = sum_x P(x_{t+1} | x) P(x | x_{t-1})      (k = 1, two steps)

Backwards it is a chain of the same order, by Bayes. That says nothing of causes: a text
can be predicted from its end, though nobody writes it so.

Source: Zhang et al., "Dive into Deep Learning", section 9.1.
"""

from typing import NamedTuple

import numpy as np


class MarkovChain(NamedTuple):
    """P(c) and P(x | c), float64 with an axis a state, the oldest first.

    A context that was never seen has a row of zeros: nothing follows it.
    """

    initial: np.ndarray  # [V] * k
    transition: np.ndarray  # [V] * k + [V]

    @property
    def order(self):
        """k."""
        return self.initial.ndim

    @property
    def num_states(self):
        """V."""
        return len(self.initial)

    def log_prob(self, states):
        """log P of a sequence of integers [T]; -inf for an impossible one."""
        states, k = np.asarray(states, np.int64), self.order
        start = self.initial[
            tuple(states[:k])
        ].sum()  # over what a short one leaves open
        steps = self.transition[_windows(states, k + 1)]
        with np.errstate(divide="ignore"):
            return float(np.log(start) + np.log(steps).sum())

    def after(self, steps):
        """P(x_{t+steps} | x_{t-k+1} .. x_t), [V] * k + [V].

        By dynamic programming: the first of the steps goes to a context from which one
        step fewer is left,

            P_n(y | c_1 .. c_k) = sum_x P(x | c_1 .. c_k) P_{n-1}(y | c_2 .. c_k x),

        and at order 1 by powers of the matrix of transitions, log_2 of the steps.

        Args:
          steps: at least 1.
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

    def stationary(self):
        """The distribution of k successive states that a step does not change, [V] * k.

        Raises:
          ValueError: if there is more than one, or a state that nothing follows can be
            reached.
        """
        size = self.num_states**self.order
        moves = self._moves()
        reached = moves.any(axis=0) | (self.initial.ravel() > 0)
        if (reached & ~moves.any(axis=1)).any():
            raise ValueError("the chain ends: a state is reached that nothing follows")
        kept = np.flatnonzero(moves.any(axis=1))
        equations = moves[np.ix_(kept, kept)].T - np.eye(len(kept))
        if np.linalg.matrix_rank(equations) < len(kept) - 1:
            raise ValueError("the chain has more than one stationary distribution")
        equations[-1] = 1  # one of them follows from the others; the sum is one
        found = np.zeros(size)
        found[kept] = np.linalg.solve(equations, np.eye(len(kept))[-1])
        return found.reshape(self.initial.shape)

    def joint(self, marginal):
        """P(x_{t-k+1} .. x_{t+1}), [V] * (k + 1), given that of the first k of them."""
        return marginal[..., None] * self.transition

    def reversed(self, marginal=None):
        """The chain that reads backwards, by Bayes.

            P(c_1 | c_2 .. c_k x) = P(c) P(x | c) / sum_{c_1} P(c) P(x | c)

        Args:
          marginal: P(c) at the time that is gone back to, [V] * k; None is the
            stationary distribution, for which the chain is the same at all times.

        Returns:
          A MarkovChain over the states in the order they are read in, the last first.
        """
        marginal = self.stationary() if marginal is None else marginal
        joint = self.joint(marginal).T  # every axis turned around
        return MarkovChain(joint.sum(axis=-1), _normalized(joint))

    def starting_with(self, states):
        """The chain that is sure to begin with these states, at most k of them.

        Raises:
          ValueError: if it never does, or there are more.
        """
        states = tuple(states)
        initial = np.zeros_like(self.initial)
        if len(states) > self.order or not self.initial[states].sum():
            raise ValueError(f"a chain of order {self.order} cannot begin {states}")
        initial[states] = self.initial[states] / self.initial[states].sum()
        return self._replace(initial=initial)

    def sample(self, rng, length, number=1):
        """Sequences of states, int64 [length, number].

        Args:
          rng: a numpy Generator.

        Raises:
          ValueError: where nothing follows.
        """
        size, k = self.num_states, self.order
        first = _draw(np.broadcast_to(self.initial.ravel(), (number, size**k)), rng)
        states = [*np.unravel_index(first, self.initial.shape)]
        while len(states) < length:
            context = tuple(states[len(states) - k :])
            states.append(_draw(self.transition[context], rng))
        return np.array(states[:length], np.int64).reshape(length, number)

    def _moves(self):
        """P(next context | context), the chain of order 1 over contexts, [V^k, V^k]."""
        size, contexts = self.num_states, self.initial.size
        moves = np.zeros((contexts, contexts))
        rows = np.arange(contexts)[:, None]
        columns = rows * size % contexts + np.arange(size)  # its last k - 1, and x
        moves[rows, columns] = self.transition.reshape(contexts, size)
        return moves


def fit(states, num_states, order=1, smoothing=0.0):
    """The chain of relative frequencies.

        P(c)     = (n(c) + s V) / (n + s V^(k+1))
        P(x | c) = (n(c, x) + s) / (n(c) + s V)

    with n(c) counted where a state follows.

    Args:
      states: a sequence, integers below `num_states`, [T].
      num_states: V; the table has V^(k+1) numbers.
      order: k, below T.
      smoothing: s, a count added to that of every c, x; 0 is maximum likelihood.

    Raises:
      ValueError: for another order or a negative smoothing.

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
    places = np.ravel_multi_index(_windows(states, order + 1), shape)
    counts = np.bincount(places, minlength=num_states ** (order + 1)) + smoothing
    counts = counts.reshape(shape)
    return MarkovChain(counts.sum(axis=-1) / counts.sum(), _normalized(counts))


def _windows(states, width):
    """All windows of a sequence as a tuple of arrays, oldest state first."""
    number = max(0, len(states) - width + 1)
    return tuple(states[i : i + number] for i in range(width))


def _normalized(weights):
    """Divided by the sums over the last axis; rows of zeros stay."""
    sums = weights.sum(axis=-1, keepdims=True)
    return weights / np.where(sums > 0, sums, 1)


def _draw(weights, rng):
    """An index a row, [N], by weights [N, V].

    Raises:
      ValueError: for a row of zeros.
    """
    sums = np.cumsum(weights, axis=-1)
    if not sums[:, -1].all():
        raise ValueError("the chain ends: a state is reached that nothing follows")
    limits = rng.random(len(sums)) * sums[:, -1]
    return (sums <= limits[:, None]).sum(axis=-1)
