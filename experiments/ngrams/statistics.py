"""Frequencies of n-grams: what is distinct, what occurs once, Zipf's law."""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from experiments.common.plots import label_plainly, new_figure, save_figure
from seqjax.data.ngrams import NgramCounts, zipf_exponent
from seqjax.data.text import detokenize
from seqjax.data.vocab import Vocab

ZIPF_RANK, ZIPF_COUNT = 10, 10  # fitted from this rank down to this frequency
NUM_FREQUENT = 100  # n-grams of each order in frequencies.tsv


class Statistics(NamedTuple):
    """The frequencies of the n-grams of one order."""

    frequencies: np.ndarray  # in falling order
    distinct: int
    once: float  # the share of distinct n-grams that occur once
    zipf_exponent: float  # nan where too few are frequent
    zipf_ranks: tuple[int, int]  # the first and the last rank of the fit


def describe(counts: NgramCounts, n: int) -> Statistics:
    """The statistics of the n-grams of order n."""
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


def by_order(statistics: Sequence[Statistics]) -> dict[str, Any]:
    """The numbers of every order as entries of summary.json."""
    return {
        f"{name}_{n}": value
        for n, one in enumerate(statistics, 1)
        for name, value in one._asdict().items()
        if name != "frequencies"
    }


def frequency_lines(counts: NgramCounts, vocab: Vocab, level: str) -> str:
    """Lines of order, rank, count and n-gram, which is quoted as in JSON."""
    lines = ["order\trank\tcount\tngram"]
    for n, number in enumerate(counts.counts, 1):
        indices = np.argsort(-number, kind="stable")[:NUM_FREQUENT]
        for rank, index in enumerate(indices[number[indices] > 0], 1):
            tokens = vocab.to_tokens(counts.tokens_of(n, index))
            text = json.dumps(detokenize(tokens, level), ensure_ascii=False)
            lines.append(f"{n}\t{rank}\t{number[index]}\t{text}")
    return "\n".join(lines) + "\n"


def draw_frequencies(path: Path, name: str, statistics: Sequence[Statistics]) -> None:
    """Draw frequency against rank, both logarithmic, with the fits, as a PNG."""
    figure, axes = new_figure(7, 5)
    for n, one in enumerate(statistics, 1):
        label = f"order {n}"
        ranks = np.unique(np.geomspace(1, one.distinct, 500).astype(int))
        fitted = math.isfinite(one.zipf_exponent)
        if fitted:
            first, last = one.zipf_ranks
            label += f": exponent {one.zipf_exponent:.2f}, ranks {first:,}-{last:,}"
        (curve,) = axes.plot(ranks, one.frequencies[ranks - 1], "-", label=label)
        if fitted:
            law = np.arange(first, last + 1.0) ** -one.zipf_exponent
            law *= one.frequencies[first - 1 : last].sum() / law.sum()
            ends = [0, -1]
            axes.plot([first, last], law[ends], "--", color=curve.get_color(), lw=1)
    axes.set(xscale="log", yscale="log", xlabel="rank", ylabel="frequency")
    for axis in (axes.xaxis, axes.yaxis):
        label_plainly(axis)
    axes.set_title(name)
    axes.grid(alpha=0.3)
    axes.legend()
    save_figure(figure, path, dpi=120)
