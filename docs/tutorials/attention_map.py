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
# # Read an attention map
#
# A translation model with attention reads the whole source sentence again at every
# step, with weights that say which words matter for the next word. This tutorial trains
# such a model on English-French sentences, draws the weights of two sentences, and
# explains how to read them. It takes about a minute on two CPU cores.

# %%
from pathlib import Path

import jax
import numpy as np
from IPython.display import Image, display
from IPython.utils.capture import capture_output

import seqjax
from experiments.common.plots import SEQUENTIAL, new_figure, save_figure
from experiments.translation import Config, train
from seqjax import decoding
from seqjax.data.vocab import BOS, EOS, PAD, Vocab

# %% [markdown]
# ## Train
#
# The sentences come from a grammar that is part of seqjax, so there is nothing to
# download. French puts most adjectives after the noun and object pronouns before the
# verb, so the model has to learn which words belong together.
#
# Encoder and decoder are GRUs, and the score of the attention is additive. Training
# sentences have at most 12 tokens, which shortens the run. `capture_output` keeps the
# progress of the command off the page; we print the result.

# %%
config = Config.of(
    attention="additive",
    hidden_size=96,
    embed_size=48,
    max_length=12,
    epochs=4,
    learning_rate=0.006,
    schedule="cosine",
    figures=0,
    workdir="runs/attention",
)
with capture_output():
    summary = train(config)

print(f"validation perplexity {summary['valid_perplexity']:.2f}")
print(f"test BLEU {summary['test_bleu']:.1f}")

# %% [markdown]
# A perplexity near 1 means that the model gives nearly every right word a probability
# near 1. The test sentences hold combinations of words that training never showed.
#
# ## Load the model and translate
#
# The run left its model in `runs/attention/model`. `seqjax.load` returns the model, its
# parameters and the vocabularies.

# %%
model, params, extra = seqjax.load("runs/attention/model")
source_vocab = Vocab.from_list(extra["vocabulary"]["source"])
target_vocab = Vocab.from_list(extra["vocabulary"]["target"])

sentences = [
    "the old man does not have this red car .",
    "i took the apples but i did not eat them .",
]
words = [sentence.split() for sentence in sentences]
lengths = np.array([len(sentence) for sentence in words])
source = np.full((max(lengths), len(words)), PAD, np.int32)  # [S, B]
for b, sentence in enumerate(words):
    source[: lengths[b], b] = source_vocab.encode(sentence)
print("source", source.shape, "lengths", lengths)

# %% [markdown]
# The second sentence is longer, so the first one ends with padding. Greedy search
# takes the most probable word at each step and ends with the token `<eos>`.


# %%
def step(state, token, context):
    return model.step(params, state, token, context)


state, context = model.start(params, source, lengths)
found = decoding.greedy(step, state, bos=BOS, eos=EOS, max_length=20, context=context)
print("tokens", found.tokens.shape)
translations = []
for tokens, length in zip(found.tokens[:, 0], found.lengths[:, 0], strict=True):
    translations.append(target_vocab.to_tokens(np.asarray(tokens[:length])))
for sentence, translation in zip(sentences, translations, strict=True):
    print(f"{sentence}  ->  {' '.join(translation)}")

# %% [markdown]
# ## The weights
#
# `attention_weights` returns the weights of every step of given translations: T target
# tokens, B sentences, S source tokens. Each row over S is a softmax, so it sums to one.
# Padding is masked, so its weights are zero, not just small.

# %%
target = found.tokens[:, 0].T  # [T, B]
attention_weights = jax.jit(model.attention_weights)
weights = np.asarray(attention_weights(params, source, lengths, target))
print("weights", weights.shape)
print(f"largest |sum - 1|: {np.abs(weights.sum(-1) - 1).max():.0e}")
print("largest weight on padding:", weights[:, 0, lengths[0] :].max())


# %% [markdown]
# ## The map
#
# Each row of the map is one step of the decoder, labeled with the word that it
# produced. Each column is a word of the source. The darker a cell, the larger the
# weight. Steps and words go on in reading order, from the top and from the left.


# %%
def draw(axes, weights, sentence, translation):
    """Draw the weights [T, S] of one sentence."""
    image = axes.imshow(weights, cmap=SEQUENTIAL, vmin=0, vmax=1)
    axes.set_xticks(range(len(sentence)), sentence, rotation=60, ha="right")
    axes.set_yticks(range(len(translation)), translation)
    axes.set(xlabel="source")
    return image


def map_of(b, weights):
    """The weights [T, S] of sentence b without the padding of both sides."""
    return weights[: len(translations[b]), b, : lengths[b]]


figure, panels = new_figure(10, 4.8, columns=2)
for b, axes in enumerate(panels):
    image = draw(axes, map_of(b, weights), words[b], translations[b])
panels[0].set(ylabel="translation")
figure.colorbar(image, ax=panels, label="attention weight")
save_figure(figure, Path("attention.png"), dpi=72)
display(Image("attention.png"))

# %% [markdown]
# The same as text: for each produced word the source word with the largest weight, and
# this weight. An arrow marks a row whose largest weight lies further left than that of
# the row before: here the order of the words differs between the languages.


# %%
def print_strongest(weights, sentence, translation):
    """Print the strongest source word of each row of weights [T, S]."""
    previous = 0
    for word, row in zip(translation, weights, strict=True):
        strongest = int(row.argmax())
        mark = "<-- back" if strongest < previous else ""
        print(f"{word:10} {sentence[strongest]:8} {row[strongest]:.2f} {mark}".rstrip())
        previous = strongest


for b in range(len(sentences)):
    print(f"-- {sentences[b]}")
    print_strongest(map_of(b, weights), words[b], translations[b])

# %% [markdown]
# What the maps say:
#
# - A **diagonal** means equal order: word by word, the decoder reads the source from
#   left to right.
# - A **step back** means another order. French puts "rouge" after "voiture", so the row
#   of "rouge" goes back from "car" to "red".
# - A **column** may serve several rows, or none. "n'a" and "pas" both read "not", and
#   hardly any weight is on "does", which has no counterpart in French.
# - A **sharp row** has nearly all its weight on one word: here the model knows which
#   word it translates.
# - A **flat row** spreads its weight over several words. Either the word depends on all
#   of them, or the model is not sure. In the second sentence the rows from "ne" to
#   "mangé" are the flattest, and there the model errs: right is "ne les ai pas
#   mangées".
#
# Sums of float32 numbers differ between machines in the last digits, and training
# amplifies this. So your run may differ in single words and weights from this page.
#
# A map shows where the decoder reads, which need not be why it chose a word: the
# encoder is bidirectional, so the memory at each position also depends on its
# neighbors.
#
# ## A model without training
#
# The same model with initial parameters gives nearly equal weights to all words of the
# source. If the map of a trained model looks like this, the attention has not learned.

# %%
initial = model.init(jax.random.key(0))
flat = np.asarray(attention_weights(initial, source, lengths, target))
figure, axes = new_figure(5, 4.2)
image = draw(axes, map_of(0, flat), words[0], translations[0])
axes.set(ylabel="translation")
figure.colorbar(image, label="attention weight")
save_figure(figure, Path("attention_initial.png"), dpi=72)
display(Image("attention_initial.png"))
print(f"weights from {map_of(0, flat).min():.3f} to {map_of(0, flat).max():.3f}")
print(f"equal weights would be {1 / lengths[0]:.3f}")

# %% [markdown]
# ## On the command line
#
# The command draws the same maps: `--figures=3` for three test sentences at the end of
# a training, and `--attention_dir` for each line of a file.
#
# ```sh
# python -m experiments.translation --attention=additive --workdir=runs/attention
# python -m experiments.translation --workdir=runs/attention \
#     --mode=translate --input=lines.txt --attention_dir=maps
# ```
#
# `docs/tasks/translation.md` lists all flags and how to train on sentence pairs of your
# own.
