"""The Markov chain command: fit, measure, report."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from experiments.common.console import print_columns, print_table, print_text
from experiments.common.errors import UserError
from experiments.common.line_io import evaluation_title
from experiments.common.plots import label_plainly, new_figure, save_figure
from experiments.common.text import (
    held_out_tokens,
    known_prompt,
    load_text,
    text_pieces,
)
from experiments.common.training_run import open_run
from experiments.common.workdir import Workdir
from experiments.markov.config import Config
from seqjax import metrics
from seqjax.baselines import markov
from seqjax.baselines.markov import MarkovChain
from seqjax.data.corpora import Corpus, TokenizedCorpus
from seqjax.data.text import detokenize
from seqjax.data.text_tokenizer import TextTokenizer

FILES = ("forgetting.png",)
MAX_CONTEXTS = 1500  # their stationary distribution takes seconds
NUM_SHOWN = 5  # frequent tokens whose neighbors the table shows


def run(config: Config) -> dict[str, Any]:
    """Fit the chain and measure it; the entries of summary.json."""
    started = time.perf_counter()
    workdir = open_run(config, FILES, fixed=("corpus", "prompt", "length"))
    corpus, data = load_text(config.data, config.run.data_dir)
    chain = fit(config, corpus, data)
    stationary, backwards = long_run(chain)
    distances = forgetting(chain, stationary, config.model.steps)
    summary = {
        "dataset_sha256": corpus.sha256,
        "vocabulary": len(data.vocab),
        "train_tokens": len(data.train),
        "valid_perplexity": perplexity(chain, data.valid),
        "test_perplexity": perplexity(chain, data.test),
        "test_perplexity_backwards": perplexity(backwards, data.test[::-1]),
        "own_perplexity": own_perplexity(chain, stationary),
        "distances": distances,
        "sample": sample(config, chain, data.tokenizer),
    }
    with workdir.open_for_training():
        draw_forgetting(workdir.file("forgetting.png"), corpus.name, distances)
        summary["seconds"] = time.perf_counter() - started
        workdir.write_summary(summary)
        report(config, workdir, corpus, data, chain, backwards, summary)
    return summary


def evaluate(config: Config) -> dict[str, float]:
    """The perplexities of the held-out parts or of the text --input, also printed.

    The chain is fitted anew, which takes seconds.
    """
    workdir = open_run(config, FILES, training=False, fixed=("corpus",))
    corpus, data = load_text(config.data, config.run.data_dir)
    workdir.check_data(corpus.sha256)
    held_out = held_out_tokens(config.data, config.files.input, data)
    chain = fit(config, corpus, data)
    _, backwards = long_run(chain)
    test = held_out["test"]
    found = {f"{k}_perplexity": perplexity(chain, part) for k, part in held_out.items()}
    found["test_perplexity_backwards"] = perplexity(backwards, test[::-1])
    rows = [
        *(
            (f"{part} perplexity", f"{found[f'{part}_perplexity']:.4f}")
            for part in held_out
        ),
        (
            "test perplexity, reversed chain",
            f"{found['test_perplexity_backwards']:.4f}",
        ),
        ("test tokens", f"{len(test):,}"),
        ("test tokens unknown", f"{np.mean(test == 0):.2%}"),
        ("files", workdir.path),
    ]
    print_table(evaluation_title(f"order {chain.order}", config.files), rows)
    return found


def long_run(chain: MarkovChain) -> tuple[np.ndarray, MarkovChain]:
    """(stationary distribution, reversed chain).

    Raises:
      UserError: for a chain without a unique stationary distribution.
    """
    try:
        stationary = chain.stationary()
        return stationary, chain.reversed(stationary)
    except ValueError as error:
        raise UserError(f"{error}; try --smoothing=0.1.") from None


def fit(config: Config, corpus: Corpus, data: TokenizedCorpus) -> MarkovChain:
    """The chain of the training text.

    Raises:
      UserError: for a text that is too short, or too many contexts.
    """
    size, order = len(data.vocab), config.model.order
    if order >= len(data.train):
        raise UserError(
            f"--order={order} needs a training text of more tokens; that of "
            f"{corpus.name} has {len(data.train)}."
        )
    if size > MAX_CONTEXTS or size**order > MAX_CONTEXTS:
        raise UserError(
            f"--order={order} of {size:,} different tokens makes more than "
            f"{MAX_CONTEXTS:,} contexts; lower it, or raise --min_freq."
        )
    return markov.fit(data.train, size, order, config.model.smoothing)


def perplexity(chain: MarkovChain, tokens: np.ndarray) -> float:
    """The perplexity of all tokens but the first."""
    log_prob = chain.log_prob(tokens) - chain.log_prob(tokens[:1])
    return metrics.perplexity(-log_prob, len(tokens) - 1)


def own_perplexity(chain: MarkovChain, stationary: np.ndarray) -> float:
    """The perplexity of the texts that the chain generates: exp of its entropy rate."""
    steps = chain.transition[chain.transition > 0]
    weights = chain.joint(stationary)[chain.transition > 0]
    return metrics.perplexity(-(weights @ np.log(steps)), 1)


def forgetting(
    chain: MarkovChain, stationary: np.ndarray, num_steps: int
) -> list[float]:
    """How far tokens n steps ahead depend on the context, n = 1 .. num_steps.

    Half the sum of |P_n(y | c) - P(y)| over y, from 0 (independent) to 1, as the mean
    over the stationary distribution of the contexts c.
    """
    size = len(stationary)
    weights, marginal = stationary.ravel(), stationary.reshape(-1, size).sum(axis=0)
    distances = []
    for steps in range(1, num_steps + 1):
        ahead = chain.after(steps).reshape(-1, size)
        distances.append(float(weights @ abs(ahead - marginal).sum(axis=1) / 2))
    return distances


def sample(config: Config, chain: MarkovChain, tokenizer: TextTokenizer) -> str:
    """The prompt and its continuation."""
    prompt = known_prompt(config.data, config.prompt, tokenizer)
    start = prompt.indices.tolist()[-chain.order :]
    rng = np.random.default_rng(config.run.seed)
    try:
        number = len(start) + config.prompt.length
        found = chain.starting_with(start).sample(rng, number)
    except ValueError as error:
        raise UserError(f"{error}; try --smoothing=0.1.") from None
    indices = found[len(start) :, 0]
    return "".join(text_pieces(prompt, indices, tokenizer))


def draw_forgetting(path: Path, name: str, distances: Sequence[float]) -> None:
    """Draw the distances against the number of steps as a PNG."""
    from matplotlib.ticker import MaxNLocator

    figure, axes = new_figure(7, 4.5)
    axes.plot(range(1, len(distances) + 1), np.maximum(distances, 1e-16), "o-")
    axes.set(yscale="log", xlabel="steps ahead")
    label_plainly(axes.yaxis)
    axes.set(ylabel="distance from the stationary distribution")
    axes.set_title(name)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.3)
    save_figure(figure, path, dpi=120)


def report(
    config: Config,
    workdir: Workdir,
    corpus: Corpus,
    data: TokenizedCorpus,
    chain: MarkovChain,
    backwards: MarkovChain,
    summary: dict[str, Any],
) -> None:
    """Print the tables and the sample."""

    def text(index: int) -> str:
        return detokenize([data.vocab.to_tokens(index)], config.data.level)

    def most_probable(chain: MarkovChain, index: int) -> str:
        row = chain.transition[index]
        best = np.argsort(-row, kind="stable")[:3]
        return ", ".join(f"{text(i)!r} {row[i]:.2f}" for i in best)

    if chain.order == 1:
        rows = []
        for index in range(1, min(NUM_SHOWN + 1, len(data.vocab))):
            neighbors = [most_probable(c, index) for c in (chain, backwards)]
            rows.append([repr(text(index)), *neighbors])
        print_columns("frequent tokens", ["token", "after it", "before it"], rows)
    distances = summary["distances"]
    backward = summary["test_perplexity_backwards"]
    rows = [
        ["valid perplexity", f"{summary['valid_perplexity']:.3f}"],
        ["test perplexity", f"{summary['test_perplexity']:.3f}"],
        ["test perplexity, reversed chain", f"{backward:.3f}"],
        ["perplexity of generated text", f"{summary['own_perplexity']:.3f}"],
        ["distance 1 step ahead", f"{distances[0]:.2g}"],
        [f"distance {len(distances)} steps ahead", f"{distances[-1]:.2g}"],
        ["test tokens unknown", f"{np.mean(data.test == 0):.2%}"],
        ["seconds", f"{summary['seconds']:.1f}"],
        ["files", str(workdir.path)],
    ]
    print_table(f"{corpus.name}, order {chain.order}", rows)
    print_text(summary["sample"], "a generated text")
