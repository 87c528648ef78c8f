"""The plain RNN language model in NumPy, with gradients written by hand.

    h_t = tanh(x_t w_x + h_{t-1} w_h + b)          x_t one-hot, h_t [B, H]
    o_t = h_t w + c                                logits [B, V]
    L   = -1/(T B) sum_t,b log softmax(o_t)[label_t]

Backward, from the last step to the first, with e_t = dL/do_t and the pre-activation
a_t:

    e_t = (softmax(o_t) - one_hot(label_t)) / (T B)
    dh_t = e_t w^T + da_{t+1} w_h^T,   da_t = (1 - h_t^2) * dh_t
    dw = sum_t h_t^T e_t,   dw_h = sum_t h_{t-1}^T da_t,   dw_x = sum_t x_t^T da_t,
    dc = sum_t,b e_t,       db = sum_t,b da_t.

Each element of the gradient is clipped to [-5, 5]. The parameters are those of
`LanguageModel(vocab_size, RNN(hidden_size))` as NumPy arrays, for which this is a
reference implementation.

Source: Werbos, "Backpropagation through time: what it does and how to do it",
Proceedings of the IEEE 78, 1990.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

CLIP_VALUE = 5.0


def loss_and_grads(
    params: Any, window: np.ndarray, h: np.ndarray
) -> tuple[float, Any, np.ndarray]:
    """The loss of one minibatch and its gradients.

    Args:
      params: LanguageModelParams(None, RNNParams, DenseParams) of NumPy arrays.
      window: integers [T + 1, B]: inputs window[:-1], labels window[1:].
      h: the initial state [B, H].

    Returns:
      (total, grads, h): the sum of the T * B losses in nats; the gradients of their
      mean, in the structure of `params`; the final state [B, H].
    """
    w_x, w_h, b = params.cell
    w, c = params.out
    inputs, labels = window[:-1], window[1:]  # [T, B]
    num_steps, batch_size = inputs.shape
    rows = np.arange(batch_size)

    hs, es, total = [h], [], 0.0
    for t in range(num_steps):
        h = np.tanh(w_x[inputs[t]] + h @ w_h + b)  # [B, H]
        logits = h @ w + c  # [B, V]
        logits = logits - logits.max(axis=-1, keepdims=True)
        probabilities = np.exp(logits)
        probabilities /= probabilities.sum(axis=-1, keepdims=True)
        total -= np.log(probabilities[rows, labels[t]]).sum()
        probabilities[rows, labels[t]] -= 1
        es.append(probabilities / (num_steps * batch_size))  # [B, V]
        hs.append(h)

    d_w_x, d_w_h, d_b, d_w, d_c = (np.zeros_like(p) for p in (w_x, w_h, b, w, c))
    d_a = np.zeros_like(h)
    for t in reversed(range(num_steps)):
        d_w += hs[t + 1].T @ es[t]
        d_c += es[t].sum(axis=0)
        d_h = es[t] @ w.T + d_a @ w_h.T
        d_a = (1 - hs[t + 1] ** 2) * d_h
        np.add.at(d_w_x, inputs[t], d_a)
        d_w_h += hs[t].T @ d_a
        d_b += d_a.sum(axis=0)

    grads = params._replace(
        cell=params.cell._replace(w_x=d_w_x, w_h=d_w_h, b=d_b),
        out=params.out._replace(w=d_w, b=d_c),
    )
    return total, grads, h


def sgd(params: Any, grads: Any, learning_rate: float) -> Any:
    """params - learning_rate * clip(grads, -5, 5), element by element."""
    return jax.tree.map(
        lambda p, g: (
            p - p.dtype.type(learning_rate) * np.clip(g, -CLIP_VALUE, CLIP_VALUE)
        ),
        params,
        grads,
    )


class LoopMetrics(NamedTuple):
    """The fields of `training.Metrics`."""

    total: float
    count: float  # type: ignore[assignment]  # hides tuple.count, which nothing uses
    grad_norm: float
    param_norm: float
    update_norm: float
    skipped: int = 0


def make_train_loop(
    learning_rate: float, num_steps: int, carry_state: bool = True
) -> Callable[..., tuple[Any, Any]]:
    """A training loop in Python, with the interface of `training.make_train_loop`.

    Args:
      learning_rate: of `sgd`.
      num_steps: T.
      carry_state: start each minibatch from the final state of the one before.

    Returns:
      train_loop(state, tokens, plan, begin, end, total=0, count=0) -> (state,
      LoopMetrics).
    """

    def train_loop(
        state: Any,
        tokens: Any,
        plan: Any,
        begin: int,
        end: int,
        total: float = 0.0,
        count: float = 0,
    ) -> tuple[Any, LoopMetrics]:
        tokens, plan = np.asarray(tokens), np.asarray(plan)
        params, h = jax.tree.map(np.asarray, (state.params, state.carry))
        step, grad_norm = int(state.step), 0.0
        before = params
        for starts in plan[begin:end]:
            if not np.isfinite(total + grad_norm):
                break
            window = tokens[starts + np.arange(num_steps + 1)[:, None]]  # [T + 1, B]
            start = h if carry_state else np.zeros_like(h)
            before = params
            with np.errstate(all="ignore"):
                loss, grads, h = loss_and_grads(params, window, start)
                params = sgd(params, grads, learning_rate)
                grad_norm = _norm(grads)
            step, total, count = step + 1, total + loss, count + window[1:].size
        with np.errstate(all="ignore"):
            update_norm = _norm(jax.tree.map(np.subtract, params, before))
            metrics = LoopMetrics(total, count, grad_norm, _norm(params), update_norm)
        step_array = np.asarray(step, np.int32)
        return state.replace(step=step_array, params=params, carry=h), metrics

    return train_loop


def _norm(tree: Any) -> float:
    """The global norm of a pytree of arrays."""
    return float(np.sqrt(sum(np.vdot(leaf, leaf) for leaf in jax.tree.leaves(tree))))
