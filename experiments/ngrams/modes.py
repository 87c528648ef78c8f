"""N-grams of a text: their statistics, and the models that the networks must beat.

Examples:
    python -m experiments.ngrams
    python -m experiments.ngrams --dataset=wikitext2 --level=word
    python -m experiments.ngrams --corpus=my.txt --order=3 --eps=0.1,10,5

Counts are of the training text. Perplexities are those of experiments.language_model:
the same flags give the same vocabulary and the same predictions, all held-out tokens
but the first. Every order up to --order is scored, by Laplace's model and by Kneser and
Ney's.
"""

import itertools
import json
import math
import sys
import time
from typing import NamedTuple

import numpy as np
from absl import flags

from experiments import run, texts
from experiments.workdir import Workdir
from seqjax import metrics
from seqjax.baselines import ngram
from seqjax.data.ngrams import count_ngrams, zipf_exponent
from seqjax.data.text import detokenize

FLAGS = flags.FLAGS
for module in (run, texts):
    flags.adopt_module_key_flags(module)
flags.DEFINE_integer("order", 5, "of the longest n-grams", lower_bound=1)
flags.DEFINE_list("eps", None, "Laplace's epsilons, one an order (chosen on valid)")

FREE_FLAGS = {"workdir", "data_dir"}
MODELS = ("laplace", "kneser_ney")
ZIPF_RANK, ZIPF_COUNT = 10, 10  # fitted from this rank on, down to this frequency
FREQUENT = 100  # n-grams of each order that are written out


def main():
    clock = time.perf_counter()
    texts.check_flags()
    epsilons = parse_epsilons()
    module = sys.modules[__name__]
    workdir = Workdir(run.workdir(module), module, FREE_FLAGS)
    workdir.check()
    corpus, data = texts.load()
    counts, seconds_counting = timed(count, corpus, data)
    (epsilons, scores), seconds_scoring = timed(score, counts, data, epsilons)
    statistics = [describe(counts, n) for n in range(1, FLAGS.order + 1)]
    summary = {
        "dataset_sha256": corpus.sha256,
        "vocabulary": len(data.vocab),
        "train_tokens": len(data.train),
        "epsilons": epsilons,
        **scores,
        **flat(statistics),
        **samples(counts, data.vocab, epsilons),
        "seconds_counting": seconds_counting,
        "seconds_scoring": seconds_scoring,
    }
    with workdir.open_for_training():
        workdir.write("frequencies.tsv", frequencies(counts, data.vocab))
        draw(workdir.path / "rank_frequency.png", corpus.name, statistics)
        summary["seconds"] = time.perf_counter() - clock
        workdir.write_summary(summary)
    report(workdir, corpus, data, statistics, summary)


def parse_epsilons():
    """--eps as floats, None if it is not given.

    Raises:
      UserError: for what is no number at least 0, or not one an order.
    """
    if FLAGS.eps is None:
        return None
    try:
        epsilons = [float(text) for text in FLAGS.eps]
    except ValueError:
        epsilons = [math.nan]
    if not all(0 <= eps < math.inf for eps in epsilons):
        raise run.UserError(
            f"--eps takes numbers, at least 0, joined by commas, got {FLAGS.eps}."
        )
    if len(epsilons) != FLAGS.order:
        raise run.UserError(
            f"--eps has {len(epsilons)} numbers, --order={FLAGS.order} needs as many."
        )
    return epsilons


def timed(call, *args):
    """(what a call returns, its seconds)."""
    clock = time.perf_counter()
    result = call(*args)
    return result, time.perf_counter() - clock


def count(corpus, data):
    if FLAGS.order > len(data.train):
        raise run.UserError(
            f"--order={FLAGS.order} needs a training text of as many tokens; that of "
            f"{corpus.name} has {len(data.train)}."
        )
    return count_ngrams(data.train, len(data.vocab), FLAGS.order)


# ---------------------------------------------------------------- models


def score(counts, data, epsilons):
    """The epsilons, chosen where None, and all perplexities by name."""
    epsilons = epsilons or ngram.choose_epsilons(counts, data.valid)
    scores = {}
    for order in range(1, FLAGS.order + 1):
        models = {
            "laplace": ngram.laplace(counts, epsilons[:order]),
            "kneser_ney": ngram.kneser_ney(counts, order),
        }
        for split in ("valid", "test"):
            tokens = getattr(data, split)
            for name, model in models.items():
                log_probs = model.log_probs(tokens)
                check_defined(log_probs, tokens, order, data.vocab)
                perplexity = metrics.perplexity(-log_probs.sum(), len(log_probs))
                scores[f"{split}_perplexity_{name}_{order}"] = perplexity
    return epsilons, scores


def check_defined(log_probs, tokens, order, vocab):
    """Refuse an epsilon of 0 where it makes a probability 0/0.

    Raises:
      UserError: with the context.
    """
    (undefined,) = np.nonzero(np.isnan(log_probs))
    if len(undefined):
        predicted = undefined[0] + 1  # the first token is not
        context = vocab.to_tokens(tokens[predicted - order + 1 : predicted])
        raise run.UserError(
            f"--eps: 0 for order {order} makes a probability 0/0, as the training text "
            f"has nothing after {context}; give a number above 0."
        )


def samples(counts, vocab, epsilons):
    """A text that each model of the highest order writes, by name."""
    prompt = texts.known_prompt(vocab)
    models = ngram.laplace(counts, epsilons), ngram.kneser_ney(counts)
    written = {}
    for name, model in zip(MODELS, models, strict=True):
        rng = np.random.default_rng(FLAGS.seed)
        stream = itertools.islice(model.sample(vocab[prompt], rng), FLAGS.length)
        try:
            written[f"sample_{name}"] = "".join(texts.pieces(prompt, stream, vocab))
        except ValueError:
            raise run.UserError(
                "--eps: 0 leaves nothing to draw from where the sample goes on; give "
                "a number above 0."
            ) from None
    return written


# ---------------------------------------------------------------- statistics


class Statistics(NamedTuple):
    """The n-grams of one order by falling frequency, and what is known of them."""

    frequencies: np.ndarray
    distinct: int
    once: float  # the share of them that stands in the text once
    zipf_exponent: float  # nan where too few are frequent
    zipf_ranks: tuple  # the first and the last it was fitted over


def describe(counts, n):
    frequencies = np.sort(counts.counts[n - 1])[::-1]
    frequencies = frequencies[frequencies > 0]
    first, last = ZIPF_RANK, int((frequencies >= ZIPF_COUNT).sum())
    return Statistics(
        frequencies,
        distinct=len(frequencies),
        once=float((frequencies == 1).mean()),
        zipf_exponent=zipf_exponent(frequencies, first, last),
        zipf_ranks=(first, last),
    )


def flat(statistics):
    """The numbers of every order under names of their own, for summary.json."""
    return {
        f"{name}_{n}": value
        for n, one in enumerate(statistics, 1)
        for name, value in one._asdict().items()
        if name != "frequencies"
    }


def frequencies(counts, vocab):
    """Lines of order, rank, count and n-gram, which is in quotes as JSON has it."""
    lines = ["order\trank\tcount\tngram"]
    for n, number in enumerate(counts.counts, 1):
        places = np.argsort(-number, kind="stable")[:FREQUENT]
        for rank, place in enumerate(places[number[places] > 0], 1):
            tokens = vocab.to_tokens(counts.tokens_of(n, place))
            text = json.dumps(detokenize(tokens, FLAGS.level), ensure_ascii=False)
            lines.append(f"{n}\t{rank}\t{number[place]}\t{text}")
    return "\n".join(lines) + "\n"


def draw(path, name, statistics):
    """Frequency against rank, both logarithmic, with the fitted laws, as a PNG."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 5), layout="constrained")
    axes = figure.subplots()
    for n, one in enumerate(statistics, 1):
        number, label = one.distinct, f"order {n}"
        ranks = np.unique(np.geomspace(1, number, 500).astype(int))
        fitted = math.isfinite(one.zipf_exponent)
        if fitted:
            first, last = one.zipf_ranks
            label += f": exponent {one.zipf_exponent:.2f}, ranks {first:,}-{last:,}"
        (curve,) = axes.plot(ranks, one.frequencies[ranks - 1], label=label)
        if fitted:
            law = np.arange(first, last + 1.0) ** -one.zipf_exponent
            law *= one.frequencies[first - 1 : last].sum() / law.sum()
            ends = [0, -1]
            axes.plot([first, last], law[ends], "--", color=curve.get_color(), lw=1)
    axes.set(xscale="log", yscale="log", xlabel="rank", ylabel="frequency", title=name)
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=120)


# ---------------------------------------------------------------- the end


def report(workdir, corpus, data, statistics, summary):
    """Both tables and the better model's text."""
    rows = []
    for n, one in enumerate(statistics, 1):
        first, last = one.zipf_ranks
        fitted = math.isfinite(one.zipf_exponent)
        exponent = f"{one.zipf_exponent:.3f} ({first:,}-{last:,})" if fitted else "-"
        rows.append([n, f"{one.distinct:,}", f"{one.once:.1%}", exponent])
    header = ["order", "distinct", "seen once", "Zipf exponent (ranks)"]
    title = f"{corpus.name}, {len(data.train):,} tokens, {len(data.vocab):,} words"
    run.print_columns(title.replace("words", f"{FLAGS.level}s"), header, rows)

    header = ["order", "Laplace valid", "test", "(eps)", "Kneser-Ney valid", "test"]
    rows = []
    for n, eps in enumerate(summary["epsilons"], 1):
        laplace, kneser_ney = (
            [
                f"{summary[f'{split}_perplexity_{name}_{n}']:.3f}"
                for split in ("valid", "test")
            ]
            for name in MODELS
        )
        rows.append([n, *laplace, f"({eps:.4g})", *kneser_ney])
    run.print_columns("perplexity", header, rows)
    run.print_table(
        "all",
        [
            ("test tokens unknown", f"{np.mean(data.test == 0):.2%}"),
            ("seconds counting", f"{summary['seconds_counting']:.1f}"),
            ("seconds scoring", f"{summary['seconds_scoring']:.1f}"),
            ("seconds", f"{summary['seconds']:.1f}"),
            ("files", workdir.path),
        ],
    )
    print(summary["sample_kneser_ney"])


if __name__ == "__main__":
    run.launch(main, sys.modules[__name__])
