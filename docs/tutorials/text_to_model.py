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
# # From a text to a talking model
#
# This tutorial trains a character language model on a text, compares its perplexity
# with two baselines, generates text, and saves the model. It takes about half a minute
# on two CPU cores.

# %%
import itertools

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt

import seqjax
from seqjax import decoding, metrics, training
from seqjax.baselines import ngram
from seqjax.data import batching, corpora
from seqjax.data.ngrams import count_ngrams
from seqjax.data.vocab import Vocab

# %% [markdown]
# ## The text
#
# `python_docs` is the language reference that is part of CPython, so nothing is
# downloaded. For a text of your own, change this one line:
#
# ```python
# corpus = corpora.load_files(["my.txt"])
# ```
#
# The file is UTF-8 text. The first 90 % of the characters are the training set, the
# next 5 % the validation set, and the last 5 % the test set.

# %%
corpus = corpora.load("python_docs")

for part in ("train", "valid", "test"):
    print(f"{part:5} {len(getattr(corpus, part)):7,} characters")
print(corpus.train[:300])

# %% [markdown]
# A token is one character. The vocabulary holds the characters of the training set, the
# most frequent first; index 0 is the unknown token `<unk>`. Each part becomes an array
# of indices.

# %%
data = corpora.tokenize_corpus(corpus, level="char")
vocab = data.vocab

print(f"vocabulary: {len(vocab)} tokens, the first ones are {vocab.tokens[:8]}")
print(f"training set: {data.train.dtype} {data.train.shape}")
print(f"{data.train[:12]} is {vocab.to_tokens(data.train[:12])}")

# %% [markdown]
# ## Two baselines
#
# The perplexity of a model is exp of its mean cross-entropy per character, on text that
# it did not train on. A uniform guess over V tokens has perplexity V. A bigram model
# counts how often each character follows each other one. Its smoothing is chosen on the
# validation set.

# %%
perplexities = {"uniform guess": float(len(vocab))}

counts = count_ngrams(data.train, len(vocab), order=2)
bigrams = ngram.laplace(counts, ngram.choose_epsilons(counts, data.valid))
log_probs = bigrams.log_probs(data.test)
perplexities["bigram counts"] = metrics.perplexity(-log_probs.sum(), len(log_probs))

for name, value in perplexities.items():
    print(f"{name:14} test perplexity {value:7.2f}")

# %% [markdown]
# ## The model
#
# A `LanguageModel` is an embedding table, a recurrent cell and a softmax. It holds no
# arrays; `init` draws its parameters. `apply` maps tokens `[T, B]`, time first, to
# logits `[T, B, V]` of the next tokens.

# %%
model = seqjax.LanguageModel(len(vocab), seqjax.LSTM(hidden_size=160), embed_size=64)
params = model.init(jax.random.key(0))

tokens = jnp.asarray(data.train[: 7 * 2]).reshape(7, 2)
state, logits = model.apply(params, tokens, model.initial_state((2,)))
print(f"logits {logits.shape}")
print(jax.tree.map(jnp.shape, params))
print(f"{sum(p.size for p in jax.tree.leaves(params)):,} parameters")

# %% [markdown]
# ## Training
#
# The training set is cut into `BATCH` rows, which are read side by side. A minibatch is
# the next `STEPS` tokens of every row. The state of the LSTM at the end of a minibatch
# is the initial state of the next one (`carry`), and the gradient stops there:
# truncated backpropagation through time.
#
# `make_train_step` makes one step of the optimizer from a loss.
# `make_train_loop` compiles many steps into one call. The loss returns the sum of the
# cross-entropies and their number.

# %%
BATCH, STEPS, EPOCHS = 8, 64, 5

optimizer = training.make_optimizer("adam", learning_rate=0.004, clip_norm=1.0)


def loss_fn(params, carry, window, key):
    return model.loss(params, window, key, state=carry)  # window [STEPS + 1, BATCH]


train_loop = training.make_train_loop(
    training.make_train_step(loss_fn, optimizer),
    lambda tokens, starts: training.windows(tokens, starts, STEPS),
)
train_state = training.init_state(
    params, optimizer, model.initial_state((BATCH,)), jax.random.key(1)
)

# %% [markdown]
# The evaluation reads a whole held-out text with a carried state and predicts every
# character but the first exactly once. 16 rows are read side by side, for speed.

# %%
evaluate = training.make_evaluate(
    lambda params, carry, window, mask: model.loss(
        params, window, state=carry, mask=mask
    ),
    model.initial_state,
    STEPS,
)


def perplexity_of(model_params, text):
    plan = batching.whole_text(len(text), num_rows=16, num_steps=STEPS)
    sums = evaluate(model_params, jnp.asarray(text), *map(jnp.asarray, plan))
    return metrics.perplexity(*sums)


# %% [markdown]
# One call of `train_loop` is one epoch. The learning rate is divided by two after each
# epoch from the third on: `learning_rate_scale` is a factor on every update.

# %%
train_tokens = jnp.asarray(data.train)
curve = {"training": [], "validation": []}

for epoch in range(EPOCHS):
    starts = batching.sequential_partition(
        batching.epoch_rng(0, epoch), len(train_tokens), BATCH, STEPS
    )
    train_state = train_state.replace(
        carry=model.initial_state((BATCH,)),
        learning_rate_scale=jnp.asarray(0.5 ** max(0, epoch - 1)),
    )
    train_state, found = train_loop(
        train_state, train_tokens, jnp.asarray(starts), 0, len(starts)
    )
    curve["training"].append(metrics.perplexity(float(found.total), float(found.count)))
    curve["validation"].append(perplexity_of(train_state.params, data.valid))
    print(
        f"epoch {epoch + 1}: {len(starts)} minibatches, perplexity "
        + ", ".join(f"{name} {values[-1]:.2f}" for name, values in curve.items())
    )

params = train_state.params

# %%
figure, axes = plt.subplots(figsize=(6, 3), dpi=80, layout="constrained")
for style, (name, values) in zip(("o-", "s--"), curve.items(), strict=True):
    axes.plot(range(1, EPOCHS + 1), values, style, label=name)
axes.set(xlabel="epoch", ylabel="perplexity", xticks=range(1, EPOCHS + 1))
axes.legend(frameon=False)
axes.grid(alpha=0.3)
plt.show()

# %% [markdown]
# Now all three on the test set. The last row is a much stronger baseline, Kneser-Ney
# n-grams of up to 8 characters. An LSTM that has trained for less than a minute is not
# expected to beat it; the command at the end of this page trains a larger one.

# %%
perplexities["LSTM"] = perplexity_of(params, data.test)

counts = count_ngrams(data.train, len(vocab), order=8)
log_probs = ngram.kneser_ney(counts).log_probs(data.test)
perplexities["8-grams"] = metrics.perplexity(-log_probs.sum(), len(log_probs))

for name, value in perplexities.items():
    print(f"{name:14} test perplexity {value:7.2f}")

# %% [markdown]
# ## Generated text
#
# `stream` reads a prompt and then yields one sampled token after the other, without
# end. The logits are divided by the temperature before sampling. 0 always takes the
# most probable character, and often repeats itself. 1 samples from the distribution of
# the model, and higher values flatten the distribution. `model.step` is one step for
# one token; the parameters are passed as `context`.


# %%
def generate(model, params, vocab, prompt, temperature, length=240, seed=0):
    """Yield the prompt and then one character at a time."""
    yield from prompt
    indices = decoding.stream(
        lambda state, token, params: model.step(params, state, token),
        model.initial_state(),
        vocab.encode(prompt),
        jax.random.key(seed),
        context=params,
        temperature=temperature,
    )
    for index in itertools.islice(indices, length):
        yield vocab.to_tokens(index)


for temperature in (0.0, 0.5, 1.0, 1.5):
    print(f"--- temperature {temperature}")
    for character in generate(model, params, vocab, "The ", temperature):
        print(character, end="", flush=True)  # each one as soon as it is sampled
    print("\n")

# %% [markdown]
# ## Save and load
#
# `save` writes a folder: the settings of the model as JSON, the parameters as
# safetensors, and checksums. The vocabulary goes with them as an extra value. `load`
# needs nothing but the folder. The loaded model generates the same text.

# %%
seqjax.save("text_model", model, params, {"tokens": vocab.tokens})
loaded, loaded_params, extra = seqjax.load("text_model")
loaded_vocab = Vocab.from_list(extra["tokens"])

first = "".join(generate(model, params, vocab, "The ", 0.5))
second = "".join(generate(loaded, loaded_params, loaded_vocab, "The ", 0.5))
print(loaded)
print("the same model:", loaded == model)
print("the same text:", first == second)

# %% [markdown]
# ## The same as a command
#
# In a clone of the repository, one command does all of this for your own file, with
# checkpoints, figures and a report. The second command generates text
# with the trained model.
#
# ```sh
# python -m experiments.language_model --corpus=my.txt --workdir=runs/my_text
# python -m experiments.language_model --workdir=runs/my_text --mode=generate \
#     --prompt="The " --temperature=0.5
# ```
#
# Its default model has 448 units, dropout and weight decay; its closing table shows the
# perplexity beside that of the 8-grams. `runs/my_text/model` is a folder for
# `seqjax.load`. [The page of the command](../tasks/language_model.md) lists its flags
# and its results.
