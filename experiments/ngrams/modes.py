"""The n-gram command: count, score, report."""

import itertools
import math
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from experiments.common.console import print_columns, print_table
from experiments.common.errors import UserError
from experiments.common.text import known_prompt, load_text, text_pieces
from experiments.common.training_run import open_run
from experiments.common.workdir import Workdir
from experiments.ngrams.config import Config
from experiments.ngrams.statistics import (
    Statistics,
    by_order,
    describe,
    draw_frequencies,
    frequency_lines,
)
from seqjax import metrics
from seqjax.baselines import ngram
from seqjax.data.corpora import Corpus, TokenizedCorpus
from seqjax.data.ngrams import NgramCounts, count_ngrams
from seqjax.data.vocab import Vocab

FILES = ("frequencies.tsv", "rank_frequency.png")
MODELS = ("laplace", "kneser_ney")


def run(config: Config) -> dict[str, Any]:
    """Count and score all n-grams; the entries of summary.json."""
    started = time.perf_counter()
    workdir = open_run(config, FILES, fixed=("corpus", "prompt", "length"))
    corpus, data = load_text(config.data, config.run.data_dir)
    clock = time.perf_counter()
    counts = count(config, corpus, data)
    seconds_counting = time.perf_counter() - clock
    clock = time.perf_counter()
    epsilons, scores = score(config, counts, data)
    seconds_scoring = time.perf_counter() - clock
    statistics = [describe(counts, n) for n in range(1, config.model.order + 1)]
    summary = {
        "dataset_sha256": corpus.sha256,
        "vocabulary": len(data.vocab),
        "train_tokens": len(data.train),
        "epsilons": epsilons,
        **scores,
        **by_order(statistics),
        **samples(config, counts, data.vocab, epsilons),
        "seconds_counting": seconds_counting,
        "seconds_scoring": seconds_scoring,
    }
    with workdir.open_for_training():
        lines = frequency_lines(counts, data.vocab, config.data.level)
        workdir.write("frequencies.tsv", lines)
        draw_frequencies(workdir.file("rank_frequency.png"), corpus.name, statistics)
        summary["seconds"] = time.perf_counter() - started
        workdir.write_summary(summary)
    report(config, workdir, corpus, data, statistics, summary)
    return summary


def count(config: Config, corpus: Corpus, data: TokenizedCorpus) -> NgramCounts:
    """The n-grams of the training text.

    Raises:
      UserError: for a text that is shorter than the longest n-gram.
    """
    order = config.model.order
    if order > len(data.train):
        raise UserError(
            f"--order={order} needs a training text of {order} tokens; that of "
            f"{corpus.name} has {len(data.train)}."
        )
    return count_ngrams(data.train, len(data.vocab), order)


def score(
    config: Config, counts: NgramCounts, data: TokenizedCorpus
) -> tuple[Sequence[float], dict[str, float]]:
    """The epsilons, chosen where none are given, and all perplexities by name."""
    epsilons = config.model.eps or ngram.choose_epsilons(counts, data.valid)
    scores = {}
    for order in range(1, config.model.order + 1):
        models = {
            "laplace": ngram.laplace(counts, epsilons[:order]),
            "kneser_ney": ngram.kneser_ney(counts, order),
        }
        for part in ("valid", "test"):
            tokens = getattr(data, part)
            for name, model in models.items():
                log_probs = model.log_probs(tokens)
                check_defined(log_probs, tokens, order, data.vocab)
                perplexity = metrics.perplexity(-log_probs.sum(), len(log_probs))
                scores[f"{part}_perplexity_{name}_{order}"] = perplexity
    return list(epsilons), scores


def check_defined(
    log_probs: np.ndarray, tokens: np.ndarray, order: int, vocab: Vocab
) -> None:
    """Refuse an epsilon of 0 that makes a probability 0/0.

    Raises:
      UserError: naming the context.
    """
    (undefined,) = np.nonzero(np.isnan(log_probs))
    if len(undefined):
        predicted = undefined[0] + 1  # the first token is not predicted
        context = vocab.to_tokens(tokens[predicted - order + 1 : predicted])
        raise UserError(
            f"--eps: 0 for order {order} makes a probability 0/0, as the training text "
            f"has nothing after {context}; give a number above 0."
        )


def samples(
    config: Config, counts: NgramCounts, vocab: Vocab, epsilons: Sequence[float]
) -> dict[str, str]:
    """A text that each model of the highest order generates."""
    prompt = known_prompt(config.data, config.prompt, vocab)
    models = ngram.laplace(counts, epsilons), ngram.kneser_ney(counts)
    found = {}
    for name, model in zip(MODELS, models, strict=True):
        rng = np.random.default_rng(config.run.seed)
        stream = itertools.islice(
            model.sample(vocab[prompt], rng), config.prompt.length
        )
        pieces = text_pieces(prompt, stream, vocab, config.data.level)
        try:
            found[f"sample_{name}"] = "".join(pieces)
        except ValueError:
            raise UserError(
                "--eps: 0 leaves nothing to draw from where the sample continues; give "
                "a number above 0."
            ) from None
    return found


def report(
    config: Config,
    workdir: Workdir,
    corpus: Corpus,
    data: TokenizedCorpus,
    statistics: Sequence[Statistics],
    summary: dict[str, Any],
) -> None:
    """Print the tables and the text of the better model."""
    rows = []
    for n, one in enumerate(statistics, 1):
        first, last = one.zipf_ranks
        fitted = math.isfinite(one.zipf_exponent)
        exponent = f"{one.zipf_exponent:.3f} ({first:,}-{last:,})" if fitted else "-"
        rows.append([n, f"{one.distinct:,}", f"{one.once:.1%}", exponent])
    header = ["order", "distinct", "occur once", "Zipf exponent (ranks)"]
    level = config.data.level
    title = f"{corpus.name}, {len(data.train):,} tokens, {len(data.vocab):,} {level}s"
    print_columns(title, header, rows)

    header = ["order", "Laplace valid", "test", "(eps)", "Kneser-Ney valid", "test"]
    rows = []
    for n, eps in enumerate(summary["epsilons"], 1):
        laplace, kneser_ney = (
            [
                f"{summary[f'{part}_perplexity_{name}_{n}']:.3f}"
                for part in ("valid", "test")
            ]
            for name in MODELS
        )
        rows.append([n, *laplace, f"({eps:.4g})", *kneser_ney])
    print_columns("perplexity", header, rows)
    closing = [
        ("test tokens unknown", f"{np.mean(data.test == 0):.2%}"),
        ("seconds counting", f"{summary['seconds_counting']:.1f}"),
        ("seconds scoring", f"{summary['seconds_scoring']:.1f}"),
        ("seconds", f"{summary['seconds']:.1f}"),
        ("files", workdir.path),
    ]
    print_table("n-grams", closing)
    print(summary["sample_kneser_ney"])
