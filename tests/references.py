"""Reference cells in NumPy float64: a loop over time and batch.

They follow the papers' equations, not the code under test: one sequence, one step and
one gate at a time.
"""

import numpy as np


def sigmoid(x):
    return 1.0 / (1.0 + np.exp(-x))


def rnn_step(params, h, x, activation=np.tanh):
    w_x, w_h, b = params
    h = activation(x @ w_x + h @ w_h + b)
    return h, h


def rnn_relu_step(params, h, x):
    return rnn_step(params, h, x, activation=lambda a: np.maximum(a, 0.0))


def gru_textbook_step(params, h, x):
    w_x, w_h, b = params
    size = len(h)
    gate = [slice(k * size, (k + 1) * size) for k in range(3)]
    r = sigmoid(x @ w_x[:, gate[0]] + h @ w_h[:, gate[0]] + b[gate[0]])
    z = sigmoid(x @ w_x[:, gate[1]] + h @ w_h[:, gate[1]] + b[gate[1]])
    n = np.tanh(x @ w_x[:, gate[2]] + (r * h) @ w_h[:, gate[2]] + b[gate[2]])
    h = z * h + (1.0 - z) * n
    return h, h


def gru_step(params, h, x):
    w_x, w_h, b_x, b_h = params
    size = len(h)
    gate = [slice(k * size, (k + 1) * size) for k in range(3)]
    xs = [x @ w_x[:, g] + b_x[g] for g in gate]
    hs = [h @ w_h[:, g] + b_h[g] for g in gate]
    r, z = sigmoid(xs[0] + hs[0]), sigmoid(xs[1] + hs[1])
    n = np.tanh(xs[2] + r * hs[2])
    h = z * h + (1.0 - z) * n
    return h, h


def lstm_step(params, state, x):
    """The form on the concatenation [x, h]."""
    w_x, w_h, b = params
    h, c = state
    size = len(h)
    w = np.concatenate([w_x, w_h])
    i, f, g, o = (
        np.concatenate([x, h]) @ w[:, k * size : (k + 1) * size]
        + b[k * size : (k + 1) * size]
        for k in range(4)
    )
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    h = sigmoid(o) * np.tanh(c)
    return (h, c), h


def unroll(step, params, xs, states, lengths, reverse=False):
    """Run each sequence of xs [T, B, D] alone, over its own length.

    Returns the list of last states, one per sequence, and ys [T, B, H].
    """
    params = [np.asarray(p, np.float64) for p in params]
    num_steps, batch_size, _ = xs.shape
    last, ys = [], None
    for b in range(batch_size):
        state = states[b]
        steps = range(lengths[b])
        for t in reversed(steps) if reverse else steps:
            state, y = step(params, state, np.asarray(xs[t, b], np.float64))
            if ys is None:
                ys = np.zeros((num_steps, batch_size, len(y)))
            ys[t, b] = y
        last.append(state)
    return last, ys
