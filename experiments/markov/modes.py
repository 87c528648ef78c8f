"""A text as a Markov chain: forwards, n steps ahead, in the long run, and backwards.

Examples:
    python -m experiments.markov
    python -m experiments.markov --dataset=time_machine --order=2
    python -m experiments.markov --dataset=time_machine --level=word --min_freq=20

The chain is a table of all contexts, which must not be many: characters, or few words.
Perplexities are of the same held-out tokens as those of experiments.ngrams; backwards
the text is read from its end, by the chain that Bayes' rule makes of the one forwards.
"""

import sys
import time

import numpy as np
from absl import flags

from experiments import run, texts
from experiments.workdir import Workdir
from seqjax import metrics
from seqjax.baselines import markov
from seqjax.data.text import detokenize

FLAGS = flags.FLAGS
for module in (run, texts):
    flags.adopt_module_key_flags(module)
flags.DEFINE_integer("order", 1, "tokens of a context", lower_bound=1)
flags.DEFINE_float("smoothing", 0.1, "added to every count", lower_bound=0)
flags.DEFINE_integer("steps", 20, "how far ahead to look", 1, 10_000)

FREE_FLAGS = {"workdir", "data_dir"}
MAX_CONTEXTS = 1500  # their stationary distribution takes seconds
SHOWN = 5  # frequent tokens whose neighbours the table shows


def main():
    clock = time.perf_counter()
    texts.check_flags()
    module = sys.modules[__name__]
    workdir = Workdir(run.workdir(module), module, FREE_FLAGS)
    workdir.check()
    corpus, data = texts.load()
    chain = fit(corpus, data)
    try:
        stationary = chain.stationary()
        backwards = chain.reversed(stationary)
    except ValueError as error:
        raise run.UserError(f"{error}; try --smoothing=0.1.") from None
    distances = forgetting(chain, stationary)
    summary = {
        "dataset_sha256": corpus.sha256,
        "vocabulary": len(data.vocab),
        "train_tokens": len(data.train),
        "valid_perplexity": perplexity(chain, data.valid),
        "test_perplexity": perplexity(chain, data.test),
        "test_perplexity_backwards": perplexity(backwards, data.test[::-1]),
        "own_perplexity": own_perplexity(chain, stationary),
        "distances": distances,
        "sample": sample(chain, data.vocab),
    }
    with workdir.open_for_training():
        draw(workdir.path / "forgetting.png", corpus.name, distances)
        summary["seconds"] = time.perf_counter() - clock
        workdir.write_summary(summary)
    report(workdir, corpus, data, chain, backwards, summary)


def fit(corpus, data):
    """The chain of the training text.

    Raises:
      UserError: for a text that is too short, or too many contexts.
    """
    size = len(data.vocab)
    if FLAGS.order >= len(data.train):
        raise run.UserError(
            f"--order={FLAGS.order} needs a training text of more tokens; that of "
            f"{corpus.name} has {len(data.train)}."
        )
    if size > MAX_CONTEXTS or size**FLAGS.order > MAX_CONTEXTS:
        raise run.UserError(
            f"--order={FLAGS.order} of {size:,} different tokens makes more than "
            f"{MAX_CONTEXTS:,} contexts; lower it, or raise --min_freq."
        )
    return markov.fit(data.train, size, FLAGS.order, FLAGS.smoothing)


def perplexity(chain, tokens):
    """Of all tokens but the first."""
    log_prob = chain.log_prob(tokens) - chain.log_prob(tokens[:1])
    return metrics.perplexity(-log_prob, len(tokens) - 1)


def own_perplexity(chain, stationary):
    """Of texts that the chain itself writes: exp of its entropy rate."""
    steps = chain.transition[chain.transition > 0]
    weights = chain.joint(stationary)[chain.transition > 0]
    return metrics.perplexity(-(weights @ np.log(steps)), 1)


def forgetting(chain, stationary):
    """How far n steps ahead still depend on the context, n = 1 .. --steps.

    Half the sum of |P_n(y | c) - P(y)| over y, from 0 (not at all) to 1, the mean over
    the contexts as they come in the long run.
    """
    size = len(stationary)
    weights, marginal = stationary.ravel(), stationary.reshape(-1, size).sum(axis=0)
    distances = []
    for steps in range(1, FLAGS.steps + 1):
        ahead = chain.after(steps).reshape(-1, size)
        distances.append(float(weights @ abs(ahead - marginal).sum(axis=1) / 2))
    return distances


def sample(chain, vocab):
    """The prompt and what the chain makes of it."""
    prompt = texts.known_prompt(vocab)
    start = vocab[prompt][-chain.order :]
    rng = np.random.default_rng(FLAGS.seed)
    try:
        written = chain.starting_with(start).sample(rng, len(start) + FLAGS.length)
    except ValueError as error:
        raise run.UserError(f"{error}; try --smoothing=0.1.") from None
    return "".join(texts.pieces(prompt, written[len(start) :, 0], vocab))


def draw(path, name, distances):
    """The distances against the steps, as a PNG."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.subplots()
    axes.plot(range(1, len(distances) + 1), np.maximum(distances, 1e-16), "o-")
    axes.set(yscale="log", xlabel="steps ahead", title=name)
    axes.set(ylabel="distance from the stationary distribution")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.3)
    figure.savefig(path, dpi=120)


def report(workdir, corpus, data, chain, backwards, summary):
    """The tables and the sample."""
    if chain.order == 1:
        rows = []
        for index in range(1, min(SHOWN + 1, len(data.vocab))):
            neighbours = [likeliest(c, index, data.vocab) for c in (chain, backwards)]
            rows.append([repr(name(data.vocab, index)), *neighbours])
        run.print_columns("frequent tokens", ["token", "after it", "before it"], rows)
    distances = summary["distances"]
    run.print_table(
        f"{corpus.name}, order {chain.order}",
        [
            ("valid perplexity", f"{summary['valid_perplexity']:.3f}"),
            ("test perplexity", f"{summary['test_perplexity']:.3f}"),
            (
                "test perplexity, backwards",
                f"{summary['test_perplexity_backwards']:.3f}",
            ),
            ("perplexity of its own texts", f"{summary['own_perplexity']:.3f}"),
            ("distance 1 step ahead", f"{distances[0]:.2g}"),
            (f"distance {len(distances)} steps ahead", f"{distances[-1]:.2g}"),
            ("test tokens unknown", f"{np.mean(data.test == 0):.2%}"),
            ("seconds", f"{summary['seconds']:.1f}"),
            ("files", workdir.path),
        ],
    )
    print(summary["sample"])


def likeliest(chain, index, vocab, number=3):
    """The tokens that most likely follow one in a chain of order 1, with shares."""
    row = chain.transition[index]
    best = np.argsort(-row, kind="stable")[:number]
    return ", ".join(f"{name(vocab, i)!r} {row[i]:.2f}" for i in best)


def name(vocab, index):
    return detokenize([vocab.to_tokens(index)], FLAGS.level)


if __name__ == "__main__":
    run.launch(main, sys.modules[__name__])
