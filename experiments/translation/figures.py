"""Figures of the attention of translations."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from experiments.common.plots import SEQUENTIAL, new_figure, save_figure
from experiments.translation.data import Tokenizers
from experiments.translation.translator import Translation
from seqjax.models.seq2seq import Seq2Seq


def draw_attention(
    folder: Path,
    model: Seq2Seq,
    params: Any,
    tokenizers: Tokenizers,
    sentences: Sequence[str],
    translations: Sequence[Sequence[Translation]],
) -> None:
    """Draw the attention of the best translation of each sentence.

    Args:
      folder: receives attention_1.png and so on; empty translations are skipped.
      model: a Seq2Seq with attention.
      params: its parameters.
      tokenizers: those of both languages.
      sentences: the sources.
      translations: of each sentence, best first.
    """
    folder.mkdir(parents=True, exist_ok=True)
    attention_weights = jax.jit(model.attention_weights)
    pairs = zip(sentences, translations, strict=True)
    for number, (sentence, found) in enumerate(pairs, start=1):
        target = found[0].tokens
        if not len(target):
            continue
        source = tokenizers.source.encode(sentence)
        lengths = np.asarray([len(source)])
        weights = attention_weights(params, source[:, None], lengths, target[:, None])
        draw_weights(
            folder / f"attention_{number}.png",
            np.asarray(weights[:, 0]),
            tokenizers.source.pieces(source),
            tokenizers.target.pieces(target),
        )


def draw_weights(
    path: Path, weights: np.ndarray, source: Sequence[str], target: Sequence[str]
) -> None:
    """Draw attention weights as a PNG.

    Args:
      path: the file.
      weights: [T, S].
      source: the source tokens, the labels of the columns.
      target: the target tokens, the labels of the rows.
    """
    size = 2 + 0.35 * len(source), 1.5 + 0.3 * len(target)
    figure, axes = new_figure(*size)
    image = axes.imshow(weights, cmap=SEQUENTIAL, vmin=0, vmax=1, aspect="auto")
    columns, rows = range(len(source)), range(len(target))
    axes.set_xticks(columns, source, rotation=60, ha="right")
    axes.set_yticks(rows, target)
    axes.set(xlabel="source", ylabel="translation")
    figure.colorbar(image, label="attention")
    save_figure(figure, path, dpi=120)
