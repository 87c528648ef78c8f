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
# # Take over a torch LSTM
#
# This tutorial takes the weights of a `torch.nn.LSTM` with two layers and both
# directions, compares outputs and gradients on sequences of different lengths,
# fine-tunes the network in seqjax, and exports it: back to torch, to StableHLO, and to
# ONNX. It takes less than half a minute on two CPU cores and needs torch.

# %%
import importlib.util
from functools import partial

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import torch

import seqjax
from seqjax import interop, training
from seqjax.data.labeled import LabeledBatch

# %% [markdown]
# ## The weights
#
# The LSTM reads 12 features and has 32 units for each direction. Its weights are random
# here; those of a trained module are taken in the same way. Sequences have the time
# first, `[T, B, D]`, which is torch's default (`batch_first=False`).

# %%
torch.manual_seed(0)
module = torch.nn.LSTM(input_size=12, hidden_size=32, num_layers=2, bidirectional=True)

cell, params = interop.from_torch(module)
print(cell)
print("first layer, forward, w_x:", params[0][0].w_x.shape)
print("second layer, backward, w_x:", params[1][1].w_x.shape)

# %% [markdown]
# The second layer reads the 64 outputs of both directions. torch has two biases for
# each gate; only their sum matters in an LSTM, and seqjax has the sum.
#
# ## Outputs
#
# In torch, sequences of different lengths are packed. In seqjax the padded array stays
# as it is, and `lengths` says where each sequence ends. Both give zeros after the end.


# %%
def torch_outputs(module, xs, lengths):
    """Padded xs [T, B, D] -> padded ys [T, B, 2H]."""
    packed = torch.nn.utils.rnn.pack_padded_sequence(xs, lengths, enforce_sorted=False)
    ys, _ = module(packed)
    return torch.nn.utils.rnn.pad_packed_sequence(ys, total_length=len(xs))[0]


def largest_difference(one, other):
    return float(np.abs(np.asarray(one) - np.asarray(other)).max())


lengths = [25, 7, 18, 1]
xs = np.random.default_rng(0).normal(size=(25, 4, 12)).astype(np.float32)

with torch.no_grad():
    want = torch_outputs(module, torch.tensor(xs), torch.tensor(lengths)).numpy()
states, ys = seqjax.unroll(cell, params, jnp.asarray(xs), lengths=jnp.array(lengths))

print("ys", ys.shape, ys.dtype)
print(f"largest difference of the outputs: {largest_difference(ys, want):.0e}")

# %% [markdown]
# ## Gradients
#
# The same loss in both libraries: the mean square of the outputs. `to_torch` names
# arrays as torch does, here the gradients.

# %%
inputs = torch.tensor(xs, requires_grad=True)
torch_outputs(module, inputs, torch.tensor(lengths)).square().mean().backward()


@partial(jax.grad, argnums=(0, 1))
def gradients(params, xs):
    _, ys = seqjax.unroll(cell, params, xs, lengths=jnp.array(lengths))
    return jnp.square(ys).mean()


d_params, d_xs = gradients(params, jnp.asarray(xs))
named = interop.to_torch(cell, d_params)
differences = {
    name: largest_difference(named[name], weight.grad)
    for name, weight in module.named_parameters()
    if not name.startswith("bias_hh")  # the second bias has the gradient of the first
}
largest_gradient = max(float(w.grad.abs().max()) for w in module.parameters())

print(f"largest gradient of a weight: {largest_gradient:.0e}")
print(f"largest difference, weights:  {max(differences.values()):.0e}")
print(f"largest difference, inputs:   {largest_difference(d_xs, inputs.grad):.0e}")

# %% [markdown]
# ## Files, without torch
#
# `save_file` of the package safetensors writes a state dict to a file. `read_weights`
# reads it where torch is not installed. Pickles (`.pt`, `.bin`) are refused, because
# reading one can run code.

# %%
from safetensors.torch import save_file

save_file(module.state_dict(), "lstm.safetensors")

weights = interop.read_weights("lstm.safetensors")
same_cell, same_params = interop.from_torch(weights)
print(len(weights), "arrays, among them", "weight_ih_l0", weights["weight_ih_l0"].shape)
print("the same cell:", same_cell == cell)
print(
    "the same parameters:",
    all(map(np.array_equal, jax.tree.leaves(same_params), jax.tree.leaves(params))),
)

# %% [markdown]
# Of a whole model's state dict, `from_torch(weights, prefix="encoder.rnn.")` takes the
# layer whose names begin so.
#
# ## Fine-tune it in a model
#
# The LSTM becomes the `cell` of a `Classifier`: an embedding table, the cell, pooling
# over time, and a linear layer. The task is small: a sequence of tokens from 0 to 9 has
# label 1 if it has more tokens 3 than tokens 7. The embedding and the linear layer
# start at random; the LSTM starts with the weights of torch, and all of them train.

# %%
model = seqjax.Classifier(10, 2, cell, embed_size=12, pooling="mean")
model_params = model.init(jax.random.key(0))._replace(cell=params)
print("embedding", model_params.embed.shape, "output", model_params.out.w.shape)

# %% [markdown]
# `make_train_loop` compiles many steps of training into one call. The loss of a
# `Classifier` reads a `LabeledBatch`: tokens `[T, B]`, lengths `[B]`, labels `[B]`.

# %%
STEPS, ROWS, MINIBATCHES = 25, 64, 400


def labeled(rng, number):
    """A LabeledBatch whose arrays begin with an axis of `number` minibatches."""
    tokens = rng.integers(0, 10, (number, STEPS, ROWS))
    lengths = rng.integers(5, STEPS + 1, (number, ROWS))
    real = np.arange(STEPS)[:, None] < lengths[:, None]
    threes, sevens = (((tokens == token) & real).sum(axis=1) for token in (3, 7))
    return jax.tree.map(jnp.asarray, LabeledBatch(tokens, lengths, threes > sevens))


def loss_fn(params, carry, batch, key):
    return model.loss(params, batch, key), carry


train_set = labeled(np.random.default_rng(0), MINIBATCHES)
test_set = labeled(np.random.default_rng(1), 1)
tokens, test_lengths, labels = (array[0] for array in test_set[:3])

optimizer = training.make_optimizer("adam", learning_rate=0.003, clip_norm=1.0)
train_loop = training.make_train_loop(
    training.make_train_step(loss_fn, optimizer),
    lambda data, index: jax.tree.map(lambda array: array[index], data),
)
copies = jax.tree.map(jnp.copy, model_params)  # train_loop reuses their memory
state = training.init_state(copies, optimizer, None, jax.random.key(1))
plan, losses = jnp.arange(MINIBATCHES), []
for begin in range(0, MINIBATCHES, 20):
    state, found = train_loop(state, train_set, plan, begin, begin + 20)
    losses.append(float(found.total / found.count))


def accuracy(params):
    predicted = model.apply(params, tokens, test_lengths).argmax(axis=-1)
    return float((predicted == labels).mean())


tuned = state.params
print(f"accuracy on {ROWS} test sequences")
print(f"before training {accuracy(model_params):.2f}, after {accuracy(tuned):.2f}")
print(f"always the label 0 {float((labels == 0).mean()):.2f}")

# %%
figure, axes = plt.subplots(figsize=(6, 3), dpi=80, layout="constrained")
axes.plot(range(20, MINIBATCHES + 1, 20), losses, "o-")
axes.set(xlabel="minibatches", ylabel="training loss (nats)")
axes.grid(alpha=0.3)
plt.show()

# %% [markdown]
# ## Back to torch
#
# `to_torch` gives the state dict of the fine-tuned LSTM. `load_state_dict` puts it into
# a module, whose outputs are again the same. `write_weights` writes it to a file for
# another machine.

# %%
back = interop.to_torch(cell, tuned.cell)
interop.write_weights("tuned.safetensors", back)
module.load_state_dict({name: torch.tensor(array) for name, array in back.items()})

with torch.no_grad():
    want = torch_outputs(module, torch.tensor(xs), torch.tensor(lengths)).numpy()
_, ys = seqjax.unroll(cell, tuned.cell, jnp.asarray(xs), lengths=jnp.array(lengths))
print(f"largest difference of the outputs: {largest_difference(ys, want):.0e}")

# %% [markdown]
# ## The whole model as a program
#
# `to_stablehlo` writes the classifier with its parameters as one program for CPU, CUDA
# and TPU. It runs by `jax.export`, without the code of the model. The sizes of the
# batch and of the time axis are open. `save` keeps the model itself, for more training.

# %%
seqjax.save("classifier", model, tuned)
interop.to_stablehlo(model, tuned, "classifier.stablehlo")
run = interop.from_stablehlo("classifier.stablehlo")

want = model.apply(tuned, tokens, test_lengths)
(logits,) = run(tokens.astype(np.int32), test_lengths.astype(np.int32))
print("logits", logits.shape)
print(f"largest difference of the logits: {largest_difference(logits, want):.0e}")

# %% [markdown]
# `to_onnx` writes the same model as an ONNX graph with the operator LSTM. It needs the
# package `onnx`; `onnxruntime` runs the file. Where one of them is missing, the next
# cell says so.

# %%
if all(importlib.util.find_spec(name) for name in ("onnx", "onnxruntime")):
    import onnxruntime

    interop.to_onnx(model, tuned, "classifier.onnx")
    session = onnxruntime.InferenceSession("classifier.onnx")
    (logits,) = session.run(
        None,
        {
            "tokens": np.asarray(tokens, np.int64),
            "lengths": np.asarray(test_lengths, np.int32),
        },
    )
    print(f"largest difference of the logits: {largest_difference(logits, want):.0e}")
else:
    print('pip install "seqjax[onnx]" onnxruntime')

# %% [markdown]
# [Other libraries](../interop.md) has the same for flax, haiku and Keras.
