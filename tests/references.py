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


def lstm_layer_norm_step(params, state, x):
    w_x, w_h, b, gain_x, gain_h, gain_c, b_c = params
    h, c = state

    def norm(a):
        return (a - a.mean()) / np.sqrt(a.var() + 1e-5)

    gates = norm(x @ w_x) * gain_x + norm(h @ w_h) * gain_h + b
    i, f, g, o = np.split(gates, 4)
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    h = sigmoid(o) * np.tanh(norm(c) * gain_c + b_c)
    return (h, c), h


def lstm_peephole_step(params, state, x):
    w_x, w_h, b, p_i, p_f, p_o = params
    h, c = state
    i, f, g, o = np.split(x @ w_x + h @ w_h + b, 4)
    old = c
    c = sigmoid(f + np.diag(p_f) @ old) * old
    c = c + sigmoid(i + np.diag(p_i) @ old) * np.tanh(g)
    h = sigmoid(o + np.diag(p_o) @ c) * np.tanh(c)
    return (h, c), h


def lstm_coupled_step(params, state, x):
    w_x, w_h, b = params
    h, c = state
    f, g, o = np.split(x @ w_x + h @ w_h + b, 3)
    c = sigmoid(f) * c + (1.0 - sigmoid(f)) * np.tanh(g)
    h = sigmoid(o) * np.tanh(c)
    return (h, c), h


def mogrifier_step(params, state, x):
    """Melis et al. 2020: x^i = 2 sigma(Q^i h^{i-1}) x^{i-2} for odd i, R^i for even."""
    w_x, w_h, b, *rounds = params
    h, c = state
    for i, matrix in enumerate(rounds, 1):
        if i % 2 == 1:
            x = 2 * sigmoid(matrix.T @ h) * x
        else:
            h = 2 * sigmoid(matrix.T @ x) * h
    return lstm_step((w_x, w_h, b), (h, c), x)
