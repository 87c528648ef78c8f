"""The LSTM of NVIDIA's cuDNN, through jax.experimental.rnn, for `unroll`."""

import jax
import jax.experimental.rnn
import jax.numpy as jnp

from seqjax.cells import LSTM, LSTMState

# float32, with or without the tensor cores' shorter mantissa, as jax's rnn reads them.
PRECISIONS = (None, "high", "highest", "tensorfloat32", "float32")


def obstacle(cell, params, xs, state):
    """Why cuDNN cannot run this; None if it can.

    It runs an LSTM in float32 over one batch axis, on an NVIDIA GPU, outside vmap (of a
    compiled call it cannot be seen from here: there give `cudnn=False`).
    """
    if jax.default_backend() != "gpu" or "NVIDIA" not in jax.devices()[0].device_kind:
        return "there is no NVIDIA GPU"
    if type(cell) is not LSTM:
        return f"cuDNN here is for LSTM, not for {type(cell).__name__}"
    leaves = jax.tree.leaves((params, xs, state))
    if any(leaf.dtype != jnp.float32 for leaf in leaves):
        return "cuDNN here is for float32"
    if xs.ndim != 3 or 0 in xs.shape:
        return f"cuDNN takes xs [T, B, D] with nothing empty, got {xs.shape}"
    if any(hasattr(leaf, "batch_dim") for leaf in leaves):  # a tracer of vmap's
        return "cuDNN here has no rule for vmap"
    precision = jax.config.jax_default_matmul_precision
    if precision not in PRECISIONS:
        return f"cuDNN here has no products of precision {precision!r}"
    return None


def unroll(params, xs, state, lengths=None):
    """(state, ys) of an LSTM, as `seqjax.unroll` returns them.

    Args:
      params: LSTMParams.
      xs: [T, B, D].
      state: LSTMState.
      lengths: integers [B] in 0 .. T, or None.
    """
    num_steps, batch, input_size = xs.shape
    steps = jnp.full(batch, num_steps) if lengths is None else lengths
    valid = (jnp.arange(num_steps)[:, None] < steps.astype(int))[..., None]  # [T, B, 1]
    ys, h, c = jax.experimental.rnn.lstm(
        jnp.where(valid, xs, 0.0).swapaxes(0, 1),  # [T, B, D] -> [B, T, D]
        state.h[None],
        state.c[None],
        _flat_weights(params),
        jnp.maximum(steps, 1).astype(jnp.int32),  # cuDNN fails on length 0
        input_size,
        hidden_size=state.h.shape[-1],
        num_layers=1,
        dropout=0.0,
        bidirectional=False,
    )
    ys = jnp.where(valid, ys.swapaxes(0, 1), 0.0)  # [B, T, H] -> [T, B, H]
    some = valid[0]  # [B, 1]
    last = LSTMState(jnp.where(some, h[0], state.h), jnp.where(some, c[0], state.c))
    return last, ys


def _flat_weights(params):
    """w_x, w_h and two biases, of which ours is the first, as cuDNN lays them out."""
    b_h = jnp.zeros_like(params.b)
    parts = (params.w_x.T, params.w_h.T, params.b, b_h)
    return jnp.concatenate([p.ravel() for p in parts])
