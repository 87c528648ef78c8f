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
# # Translate your own file
#
# This tutorial writes a file of sentence pairs, trains a translation model on it with
# the command's Python interface, scores it with BLEU, and translates new sentences. At
# the end are the same steps as shell commands. It takes less than a minute on two CPU
# cores.
#
# The commands are in the folder `experiments` of the repository, not in the installed
# library. The first cell puts the clone, which `seqjax` was imported from, on the
# import path.

# %%
import json
import sys
from pathlib import Path

import matplotlib.pyplot as plt

import seqjax
from seqjax.data import parallel
from seqjax.data.synthetic import grammar

sys.path.insert(0, str(Path(seqjax.__file__).parents[1]))
from experiments.translation import Config, evaluate, train, translate

# %% [markdown]
# ## The file
#
# Each line is a sentence, a tab, and its translation, in UTF-8. Here a grammar of
# English and French writes the pairs, so nothing is downloaded; only sentences of up to
# five words are kept, so that training is short. Your own file has the same form.

# %%
train_pairs, _, _ = grammar.pairs(num_train=60_000, num_valid=0, num_test=0)
short = [(en, fr) for en, fr in train_pairs if len(en.split()) <= 5]
Path("pairs.tsv").write_text(
    "".join(f"{en}\t{fr}\n" for en, fr in short), encoding="utf-8"
)

print(f"{len(short):,} pairs")
for english, french in short[:5]:
    print(f"{english:28} {french}")

# %% [markdown]
# `pairs.parquet` and `pairs.jsonl` (one JSON object on each line) are read too. Their
# columns are `source` and `target`, or those that the setting `columns` names, such as
# `columns=("en", "fr")`.
#
# One file is split by a hash of the source sentence: 2 % of the sources validate, 2 %
# test, the others train. No source sentence is in two parts. Three files, given as a
# tuple, are training, validation and test set. The command reads the file in the same
# way as this function:

# %%
corpus = parallel.load_tsv("pairs.tsv")
for part in ("train", "valid", "test"):
    print(f"{part:5} {len(getattr(corpus, part).source):5,} pairs")

# %% [markdown]
# ## Train
#
# `Config.of` takes settings by the names of the command's flags; all others have their
# defaults. The default model is a bidirectional GRU encoder of the source words, and a
# GRU decoder with attention over the encoder's outputs. At word level sentences are
# lower-cased and their punctuation is spaced.
#
# `train` writes everything to the folder `workdir` and prints a table: scores on the
# test set, with four samples. Started again on the same folder, it continues from the
# last checkpoint.

# %%
config = Config.of(
    corpus="pairs.tsv",
    workdir="runs/pairs",
    epochs=7,
    learning_rate=0.005,
    schedule="cosine",
    figures=0,
)
summary = train(config)

# %% [markdown]
# The function returns the numbers of the table. `metrics.jsonl` has a JSON object for
# each part of the training and for each validation.

# %%
print(f"test BLEU {summary['test_bleu']:.1f}, chrF {summary['test_chrf']:.1f}")

lines = Path("runs/pairs/metrics.jsonl").read_text(encoding="utf-8").splitlines()
entries = [json.loads(line) for line in lines]

figure, axes = plt.subplots(figsize=(6, 3), dpi=80, layout="constrained")
for style, name in (("-", "train_perplexity"), ("s--", "valid_perplexity")):
    points = [(entry["step"], entry[name]) for entry in entries if name in entry]
    axes.plot(*zip(*points, strict=True), style, label=name.replace("_", " "))
axes.set(xlabel="minibatches", ylabel="perplexity", yscale="log")
axes.legend(frameon=False)
axes.grid(alpha=0.3)
plt.show()

# %% [markdown]
# ## Evaluate
#
# `Config.of_run` reads the settings of a run from its folder and changes those given.
# `evaluate` scores the test set, or, with `input` and `references`, two other files
# with one sentence in each line. Here the grammar writes new pairs: each has a
# combination of words, such as an adjective with a noun, that is in no training
# sentence. They are harder than the test set.

# %%
_, new_pairs, _ = grammar.pairs(num_train=60_000, num_valid=1_000, num_test=0)
new_pairs = [(en, fr) for en, fr in new_pairs if len(en.split()) <= 5]
for name, side in zip(("new.en", "new.fr"), zip(*new_pairs, strict=True), strict=True):
    Path(name).write_text("".join(f"{line}\n" for line in side), encoding="utf-8")

scores = evaluate(Config.of_run("runs/pairs", input="new.en", references="new.fr"))

# %%
print(f"{len(new_pairs)} new pairs: BLEU {scores['test_bleu']:.1f}")

# %% [markdown]
# ## Translate
#
# `translate` reads a file with one sentence in each line. With `n_best=2` it keeps the
# two best hypotheses of beam search. The score is the log probability of the
# translation, divided by its number of tokens to the power 0.75 (`length_penalty`,
# `alpha`). The results also go to the file `output`.

# %%
Path("mine.txt").write_text(
    "He is not young.\nAlice bought a table.\nWhy are they tired?\n", encoding="utf-8"
)
translations = translate(
    Config.of_run("runs/pairs", input="mine.txt", n_best=2, output="mine.tsv")
)

for sentence, hypotheses in zip(
    Path("mine.txt").read_text(encoding="utf-8").splitlines(), translations, strict=True
):
    print(sentence)
    for found in hypotheses:
        print(f"  {found.score:6.2f}  {found.text}")

# %% [markdown]
# ## The files of the run
#
# `report.html` shows tables, samples and figures in a browser. `model` is the trained
# model for `seqjax.load`, which needs nothing from `experiments`.

# %%
print(sorted(path.name for path in Path("runs/pairs").iterdir()))

model, params, extra = seqjax.load("runs/pairs/model")
print(type(model).__name__, model.encoder)
print(sorted(extra))

# %% [markdown]
# ## The same as shell commands
#
# In the folder of the clone:
#
# ```sh
# python -m experiments.translation --corpus=pairs.tsv --workdir=runs/pairs \
#     --epochs=7 --learning_rate=0.005 --schedule=cosine --figures=0
# python -m experiments.translation --workdir=runs/pairs --mode=evaluate \
#     --input=new.en --references=new.fr
# python -m experiments.translation --workdir=runs/pairs --mode=translate \
#     --input=mine.txt --n_best=2 --output=mine.tsv
# python -m experiments.translation --workdir=runs/pairs --mode=interactive
# ```
#
# The last one translates what you type. For real sentences, use subwords
# (`--level=subword`), which also keep upper case and have no unknown words, a larger
# `--hidden_size`, and dropout. `--swap` translates from the second column into the
# first. [The page of the command](../tasks/translation.md) lists its flags and its
# results on published data sets.
