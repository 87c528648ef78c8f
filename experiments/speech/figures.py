"""The figure of a speech run: what is heard, and when each label is recognized."""

import numpy as np

LONGEST_TITLE = 40  # characters: a panel's width


def draw_posteriors(path, shown, labels, seconds_a_frame, seconds_a_step):
    """Spectrograms with the probability of each label below, as a PNG.

    Labels are named where they are the likeliest symbol; those that nowhere reach a
    probability of a tenth have no line.

    Args:
      path: the file.
      shown: (title, features [T, D], probabilities [S, V], the blank first) for each
        utterance, at least one.
      labels: names of the labels, V - 1.
      seconds_a_frame, seconds_a_step: of the features and of the probabilities.
    """
    from matplotlib.figure import Figure  # only where a figure is drawn: 0.7 s to load

    names = ["blank", *("_" if label == " " else label for label in labels)]
    figure = Figure(figsize=(4.2 * len(shown), 5.6), layout="constrained")
    panels = figure.subplots(2, len(shown), squeeze=False, height_ratios=(3, 2))
    for (above, below), (title, xs, probs) in zip(panels.T, shown, strict=True):
        end = len(xs) * seconds_a_frame
        extent = (0, end, 0, xs.shape[1])
        above.imshow(
            xs.T, origin="lower", aspect="auto", extent=extent, cmap="magma", vmin=-2.5
        )
        above.set_title(title[:LONGEST_TITLE], parse_math=False)  # "$" is no formula
        above.set(ylabel="feature")
        times = (np.arange(len(probs)) + 0.5) * seconds_a_step
        below.plot(times, probs[:, 0], ":", color="0.6", label="blank")
        for place in np.flatnonzero(probs[:, 1:].max(axis=0, initial=0) > 0.1) + 1:
            (line,) = below.plot(times, probs[:, place])
            for top in _tops(probs, place):
                below.annotate(
                    names[place],
                    (times[top], probs[top, place]),
                    ha="center",
                    va="bottom",
                    color=line.get_color(),
                    parse_math=False,
                )
        below.set(xlim=(0, end), ylim=(0, 1.15), xlabel="seconds", ylabel="probability")
        below.grid(alpha=0.3)
    panels[1, 0].legend(loc="center left", fontsize=8)
    figure.savefig(path, dpi=110)


def _tops(probs, place):
    """The likeliest step of each stretch in which a symbol is the likeliest one."""
    best = np.flatnonzero(probs.argmax(axis=1) == place)
    stretches = np.split(best, np.flatnonzero(np.diff(best) > 1) + 1)
    return [s[probs[s, place].argmax()] for s in stretches if len(s)]
