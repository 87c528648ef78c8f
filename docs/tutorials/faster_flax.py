# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Make a Flax model faster
#
# A model of `flax.nnx` with a recurrent layer trains faster after one changed import:
#
#     from seqjax.interop.nnx import RNN   # instead of nnx.RNN
#
# The outputs, the gradients and the parameters stay the same. This tutorial shows each
# of these statements on a small tagger. It takes about half a minute on two CPU cores.

# %%
import statistics
import time

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen, nnx

import seqjax
from seqjax import interop
from seqjax.interop import linen as fast_linen
from seqjax.interop.nnx import RNN

# %% [markdown]
# ## The model
#
# The tagger predicts a tag for every word: an embedding, an LSTM and a dense layer. The
# class of the recurrent layer is an argument, so that both versions share the code.
# Shapes are in the comments; B is the batch, T the number of time steps.

# %%
BATCH, STEPS, WORDS, TAGS, SIZE = 16, 50, 1000, 20, 256


class Tagger(nnx.Module):
    """A tag for each word of a sentence."""

    def __init__(self, rnn_class, rngs):
        self.embed = nnx.Embed(WORDS, SIZE, rngs=rngs)
        self.rnn = rnn_class(nnx.OptimizedLSTMCell(SIZE, SIZE, rngs=rngs))
        self.dense = nnx.Linear(SIZE, TAGS, rngs=rngs)

    def __call__(self, tokens, lengths):
        xs = self.embed(tokens)  # [B, T] -> [B, T, SIZE]
        ys = self.rnn(xs, seq_lengths=lengths)  # [B, T, SIZE]
        return self.dense(ys)  # [B, T, TAGS]


before = Tagger(nnx.RNN, nnx.Rngs(0))  # as it was
after = Tagger(RNN, nnx.Rngs(0))  # the changed import

# %% [markdown]
# The data are random. The sentences have different lengths and are padded to `STEPS`.
# The loss is the mean cross-entropy of the words within the lengths.

# %%
rng = np.random.default_rng(0)
tokens = jnp.asarray(rng.integers(0, WORDS, (BATCH, STEPS)))
tags = jnp.asarray(rng.integers(0, TAGS, (BATCH, STEPS)))
lengths = jnp.asarray(rng.integers(20, STEPS + 1, BATCH))
mask = jnp.arange(STEPS) < lengths[:, None]  # [B, T], True within the lengths
print("tokens", tokens.shape, "tags", tags.shape, "lengths", lengths.shape)


def loss_of(model, tokens, tags, lengths):
    logits = model(tokens, lengths)
    losses = optax.softmax_cross_entropy_with_integer_labels(logits, tags)
    return jnp.sum(losses, where=mask) / jnp.sum(mask)


loss_and_gradients = nnx.jit(nnx.value_and_grad(loss_of))

# %% [markdown]
# ## Equal outputs and gradients
#
# Both models were drawn from the same seed. We compare the logits and the gradients of
# all parameters. The two programs sum float32 numbers in a different order, so that the
# last digits may differ.


# %%
def largest_difference(a, b):
    """The largest difference of two arrays, and the largest number of the first."""
    return f"{jnp.abs(a - b).max():.1e} (largest number {jnp.abs(a).max():.1e})"


print("logits:", largest_difference(before(tokens, lengths), after(tokens, lengths)))

loss_before, gradients_before = loss_and_gradients(before, tokens, tags, lengths)
loss_after, gradients_after = loss_and_gradients(after, tokens, tags, lengths)
print(f"loss: {loss_before:.6f} before, {loss_after:.6f} after")

flat_before = nnx.to_flat_state(gradients_before)
flat_after = dict(nnx.to_flat_state(gradients_after))
for path, gradient in flat_before:
    name = ".".join(path)
    print(f"{name}:", largest_difference(gradient[...], flat_after[path][...]))

# %% [markdown]
# ## Time
#
# We call both programs in turns, forward and backward, and compare the medians. The
# first calls, which compile, are already done.

# %%
seconds = {"before": [], "after": []}
for _ in range(25):
    for name, model in (("before", before), ("after", after)):
        start = time.perf_counter()
        jax.block_until_ready(loss_and_gradients(model, tokens, tags, lengths))
        seconds[name].append(time.perf_counter() - start)

medians = {name: statistics.median(values) for name, values in seconds.items()}
ratio = medians["after"] / medians["before"]
print(f"time after / time before: about {ratio:.2f}")

# %% [markdown]
# The ratio depends on the machine, its load and the sizes. The embedding and the dense
# layer are the same in both models, so the ratio of the recurrent layer alone is
# further from 1. `docs/benchmarks.md` has the ratios of `nnx.RNN` for seven shapes and
# three cells, and `python -m experiments.benchmarks.drop_in` measures them on your
# machine.

# %% [markdown]
# ## A checkpoint loads unchanged
#
# The new `RNN` has the parameters of `nnx.RNN`, with the same names and shapes. So the
# state of a trained model, as a checkpoint holds it, fits. Here the state of `before`
# goes into a model that was drawn from another seed.

# %%
state = nnx.state(before)
for path, variable in nnx.to_flat_state(nnx.state(before, nnx.Param)):
    print(".".join(path), variable.shape)

loaded = Tagger(RNN, nnx.Rngs(1))
same = jax.tree.structure(state) == jax.tree.structure(nnx.state(loaded))
print("same structure:", same)
nnx.update(loaded, state)
print("logits:", largest_difference(before(tokens, lengths), loaded(tokens, lengths)))

# %% [markdown]
# ## The same for flax.linen
#
# `seqjax.interop.linen` has the same two names, `RNN` and `Bidirectional`. The
# variables of one module are passed to the other.

# %%
xs = before.embed(tokens)  # [B, T, SIZE]
linen_before = linen.RNN(linen.OptimizedLSTMCell(SIZE))
linen_after = fast_linen.RNN(linen.OptimizedLSTMCell(SIZE))
variables = linen_before.init(jax.random.key(0), xs)
ys_before = linen_before.apply(variables, xs, seq_lengths=lengths)
ys_after = linen_after.apply(variables, xs, seq_lengths=lengths)
print("outputs", ys_after.shape, largest_difference(ys_before, ys_after))

# %% [markdown]
# ## What runs in flax as before
#
# `LSTMCell`, `OptimizedLSTMCell`, `GRUCell` and `SimpleCell` run in the loop of seqjax.
# Other cells, mixed dtypes and other activations run in flax, without a message. An
# LSTM that computes in bfloat16 from float32 parameters is such a case: its outputs are
# those of flax bit for bit.


# %%
def mixed_lstm(rnn_class):
    """An LSTM with float32 parameters that computes in bfloat16."""
    rngs = nnx.Rngs(0)
    return rnn_class(nnx.OptimizedLSTMCell(SIZE, SIZE, dtype=jnp.bfloat16, rngs=rngs))


ys_before, ys_after = mixed_lstm(nnx.RNN)(xs), mixed_lstm(RNN)(xs)
print("outputs", ys_after.shape, "equal:", bool(jnp.all(ys_before == ys_after)))

# %% [markdown]
# One use does not fall back: the loop of seqjax has reverse-mode derivatives only.
# `jax.jvp`, `jax.jacfwd` and `jax.hessian` raise an error; use the `RNN` of flax for
# them. The next cell differentiates both linen layers in forward mode.

# %%
for name, module in (("flax.linen", linen_before), ("seqjax.interop", linen_after)):

    def outputs(xs, module=module):
        return module.apply(variables, xs)

    try:
        _, tangents = jax.jvp(outputs, (xs,), (jnp.ones_like(xs),))
        print(f"{name}: tangents {tangents.shape}")
    except TypeError as error:
        print(f"{name}: TypeError, {str(error).splitlines()[0]}")

# %% [markdown]
# ## Leave the modules of flax
#
# `interop.from_flax` returns the cell and its parameters as seqjax has them, for
# `seqjax.unroll`, beam search or an own model. Two things change. Time is the first
# axis, and past the length of a sequence the outputs are zero, where flax goes on with
# the padding. Within the lengths the outputs are equal.

# %%
cell, params = interop.from_flax(after.rnn)
print(cell)
for name, array in params._asdict().items():
    print(name, array.shape)

last, ys = seqjax.unroll(cell, params, xs.swapaxes(0, 1), lengths=lengths)
print("outputs", ys.shape, "last state", last.h.shape, last.c.shape)

of_flax = before.rnn(xs, seq_lengths=lengths).swapaxes(0, 1)  # [T, B, SIZE]
within = mask.T[..., None]  # [T, B, 1]
print("within the lengths:", largest_difference(of_flax * within, ys * within))
print("past the lengths, largest output:", float(jnp.abs(ys * ~within).max()))

# %% [markdown]
# `interop.to_flax` goes the other way. `docs/interop.md` lists what moves between
# seqjax and flax, torch, haiku and Keras.
