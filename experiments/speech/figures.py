"""The figure of a speech run: features and the probability of each label over time."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.common.plots import new_figure, save_figure
from experiments.speech.data import LabelEncoder
from seqjax.data.speech import Utterance
from seqjax.models.ctc_model import CTCModel

MAX_TITLE = 40  # characters that fit above a panel


class Example(NamedTuple):
    """An utterance as it is drawn."""

    title: str
    features: np.ndarray  # [T, D]
    probs: np.ndarray  # [S, V], the blank first


def draw_examples(
    path: Path,
    utterances: Sequence[Utterance],
    model: CTCModel,
    front: Any,
    encoder: LabelEncoder,
    params: Any,
) -> None:
    """Draw utterances with the probabilities of their labels as a PNG."""

    @jax.jit
    def posteriors(samples: jax.Array) -> tuple[jax.Array, jax.Array]:
        length = jnp.int32(len(samples))
        xs, frames = front.apply(samples, length)
        logits, _ = model.apply(params, xs, frames)
        return xs, jax.nn.softmax(logits)

    examples = [
        Example(" ".join(u.words), *map(np.asarray, posteriors(u.samples)))
        for u in utterances
        if front.num_frames(len(u.samples)) > 0
    ]
    if examples:
        seconds = front.hop / front.rate
        draw_posteriors(
            path, examples, encoder.labels, seconds, seconds * model.stacking
        )


def draw_posteriors(
    path: Path,
    examples: Sequence[Example],
    labels: Sequence[str],
    seconds_per_frame: float,
    seconds_per_step: float,
) -> None:
    """Draw spectrograms with the probability of each label below, as a PNG.

    Labels are named where they are the most probable symbol; those whose probability
    stays below a tenth have no line.

    Args:
      path: the file.
      examples: at least one.
      labels: the names of the labels, V - 1.
      seconds_per_frame, seconds_per_step: of the features and of the probabilities.
    """
    names = ["blank", *("_" if label == " " else label for label in labels)]
    width, ratios = 4.2 * len(examples), (3, 2)
    figure, panels = new_figure(
        width, 5.6, 2, len(examples), squeeze=False, height_ratios=ratios
    )
    for (above, below), (title, xs, probs) in zip(panels.T, examples, strict=True):
        end = len(xs) * seconds_per_frame
        extent = (0, end, 0, xs.shape[1])
        above.imshow(
            xs.T, origin="lower", aspect="auto", extent=extent, cmap="magma", vmin=-2.5
        )
        above.set_title(title[:MAX_TITLE])
        above.set(ylabel="feature")
        times = (np.arange(len(probs)) + 0.5) * seconds_per_step
        below.plot(times, probs[:, 0], ":", color="0.6", label="blank")
        for label in (
            np.flatnonzero(probs[:, 1:].max(axis=0, initial=0) > 0.1) + 1
        ).tolist():
            (line,) = below.plot(times, probs[:, label], "-")
            for peak in _peaks(probs, label):
                below.annotate(
                    names[label],
                    (times[peak], probs[peak, label]),
                    ha="center",
                    va="bottom",
                    color=line.get_color(),
                )
        below.set(xlim=(0, end), ylim=(0, 1.15), xlabel="seconds", ylabel="probability")
        below.grid(alpha=0.3)
    panels[1, 0].legend(loc="center left", fontsize=8)
    save_figure(figure, path, dpi=110)


def _peaks(probs: np.ndarray, label: int) -> list[int]:
    """The most probable step of each stretch in which a label is the best symbol."""
    best = np.flatnonzero(probs.argmax(axis=1) == label)
    stretches = np.split(best, np.flatnonzero(np.diff(best) > 1) + 1)
    return [s[probs[s, label].argmax()] for s in stretches if len(s)]
