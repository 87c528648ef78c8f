"""The n-gram command: count, score, report."""

import itertools
import math
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from experiments.common.console import print_columns, print_table, print_text
from experiments.common.errors import UserError
from experiments.common.line_io import evaluation_title
from experiments.common.text import (
    held_out_tokens,
    known_prompt,
    load_text,
    text_pieces,
)
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
from seqjax.data.text_tokenizer import TextTokenizer
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
    epsilons = choose_epsilons(config, counts, data)
    held_out = held_out_tokens(config.data, None, data)
    scores = score(config, counts, epsilons, held_out, data.vocab)
    seconds_scoring = time.perf_counter() - clock
    statistics = [describe(counts, n) for n in range(1, config.model.order + 1)]
    summary = {
        "dataset_sha256": corpus.sha256,
        "vocabulary": len(data.vocab),
        "train_tokens": len(data.train),
        "epsilons": epsilons,
        **scores,
        **by_order(statistics),
        **samples(config, counts, data.tokenizer, epsilons),
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


def evaluate(config: Config) -> dict[str, float]:
    """The perplexities of the held-out parts or of the text --input, also printed.

    The n-grams are counted anew, which takes seconds.
    """
    workdir = open_run(config, FILES, training=False, fixed=("corpus",))
    corpus, data = load_text(config.data, config.run.data_dir)
    workdir.check_data(corpus.sha256)
    held_out = held_out_tokens(config.data, config.files.input, data)
    counts = count(config, corpus, data)
    epsilons = choose_epsilons(config, counts, data)
    scores = score(config, counts, epsilons, held_out, data.vocab)
    title = evaluation_title("perplexity", config.files)
    print_perplexities(title, list(held_out), epsilons, scores)
    test = held_out["test"]
    rows = [
        ("test tokens", f"{len(test):,}"),
        ("test tokens unknown", f"{np.mean(test == 0):.2%}"),
        ("files", workdir.path),
    ]
    print_table("n-grams", rows)
    return scores


def choose_epsilons(
    config: Config, counts: NgramCounts, data: TokenizedCorpus
) -> list[float]:
    """The epsilons of Laplace smoothing, chosen on the validation part if not given."""
    return list(config.model.eps or ngram.choose_epsilons(counts, data.valid))


def score(
    config: Config,
    counts: NgramCounts,
    epsilons: Sequence[float],
    held_out: Mapping[str, np.ndarray],
    vocab: Vocab,
) -> dict[str, float]:
    """All perplexities by name."""
    scores = {}
    for order in range(1, config.model.order + 1):
        models = {
            "laplace": ngram.laplace(counts, epsilons[:order]),
            "kneser_ney": ngram.kneser_ney(counts, order),
        }
        for part, tokens in held_out.items():
            for name, model in models.items():
                log_probs = model.log_probs(tokens)
                check_defined(log_probs, tokens, order, vocab)
                perplexity = metrics.perplexity(-log_probs.sum(), len(log_probs))
                scores[f"{part}_perplexity_{name}_{order}"] = perplexity
    return scores


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
    config: Config,
    counts: NgramCounts,
    tokenizer: TextTokenizer,
    epsilons: Sequence[float],
) -> dict[str, str]:
    """A text that each model of the highest order generates."""
    prompt = known_prompt(config.data, config.prompt, tokenizer)
    models = ngram.laplace(counts, epsilons), ngram.kneser_ney(counts)
    found = {}
    for name, model in zip(MODELS, models, strict=True):
        rng = np.random.default_rng(config.run.seed)
        stream = itertools.islice(
            model.sample(prompt.indices.tolist(), rng), config.prompt.length
        )
        pieces = text_pieces(prompt, stream, tokenizer)
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

    print_perplexities("perplexity", ["valid", "test"], summary["epsilons"], summary)
    closing = [
        ("test tokens unknown", f"{np.mean(data.test == 0):.2%}"),
        ("seconds counting", f"{summary['seconds_counting']:.1f}"),
        ("seconds scoring", f"{summary['seconds_scoring']:.1f}"),
        ("seconds", f"{summary['seconds']:.1f}"),
        ("files", workdir.path),
    ]
    print_table("n-grams", closing)
    print_text(summary["sample_kneser_ney"], "a generated text")


def print_perplexities(
    title: str,
    parts: Sequence[str],
    epsilons: Sequence[float],
    scores: Mapping[str, float],
) -> None:
    """Print the perplexities of each order, part and model."""
    rows = []
    for n, eps in enumerate(epsilons, 1):
        laplace, kneser_ney = (
            [f"{scores[f'{part}_perplexity_{name}_{n}']:.3f}" for part in parts]
            for name in MODELS
        )
        rows.append([n, *laplace, f"({eps:.4g})", *kneser_ney])
    first, *others = parts
    names = [[f"{name} {first}", *others] for name in ("Laplace", "Kneser-Ney")]
    print_columns(title, ["order", *names[0], "(eps)", *names[1]], rows)
