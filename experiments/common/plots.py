"""The style of all figures, and the figure that several commands draw."""

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments.common.console import note

if TYPE_CHECKING:
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

# The colors of Okabe and Ito (2008), which the color-blind tell apart. Neighbors differ
# in their dashes too, so that they differ in grey.
BLUE, ORANGE, GREEN, VERMILION = "#0072B2", "#E69F00", "#009E73", "#D55E00"
COLORS = (BLUE, VERMILION, GREEN, ORANGE, "#CC79A7", "#56B4E9", "#000000")
DASHES = ("-", "--", "-.", ":", (0, (6, 2, 1, 2, 1, 2)), (0, (3, 3)), (0, (1, 3)))
SEQUENTIAL = "Greys"  # of shares, from none to all


def new_figure(
    width: float, height: float, rows: int = 1, columns: int = 1, **options: Any
) -> tuple["Figure", Any]:
    """A figure in the style of all figures, and its axes.

    Args:
      width, height: in inches.
      rows, columns: of axes.
      **options: of `Figure.subplots`.
    """
    import matplotlib  # loads in 0.7 s: only where it is needed
    from cycler import cycler
    from matplotlib.figure import Figure

    style: Any = {
        "axes.prop_cycle": cycler(color=COLORS) + cycler(linestyle=DASHES),
        "axes.spines.top": False,
        "axes.spines.right": False,
        "legend.frameon": False,
    }
    with matplotlib.rc_context(style):
        figure = Figure(figsize=(width, height), layout="constrained")
        return figure, figure.subplots(rows, columns, **options)


def draw_learning_curve(
    path: Path, metrics: Sequence[Mapping[str, Any]], measure: str = "perplexity"
) -> None:
    """Draw a measure of training and validation against minibatches as a PNG.

    Args:
      path: the file.
      metrics: dicts with "step" and f"train_{measure}" or f"valid_{measure}".
      measure: the name of the measure.
    """
    figure, axes = new_figure(7, 4.5)
    values: list[float] = []
    for key, style in ((f"train_{measure}", "-"), (f"valid_{measure}", "o-")):
        points = [(m["step"], m[key]) for m in metrics if m.get(key) is not None]
        if points:
            axes.plot(*zip(*points, strict=True), style, label=key.split("_")[0])
            values += [value for _, value in points]
    axes.set(xlabel="minibatches", ylabel=measure)
    if min(values, default=1) > 0:  # the logarithm of a density can be negative
        axes.set(yscale="log")
        label_plainly(axes.yaxis)
    axes.grid(alpha=0.3, which="both")
    axes.legend()
    save_figure(figure, path, dpi=120)


def label_plainly(axis: "Axis") -> None:
    """Label a logarithmic axis with plain numbers; its own labels are formulas.

    Call it when the limits of the axis are known.
    """
    from matplotlib.ticker import LogLocator, NullFormatter

    low, high = axis.get_view_interval()
    subs = (1, 2, 5) if high < 1e4 * low else (1,)
    axis.set_major_locator(LogLocator(subs=subs))
    axis.set_major_formatter("{x:g}")
    axis.set_minor_formatter(NullFormatter())


def save_figure(figure: "Figure", path: Path, dpi: int) -> None:
    """Write a figure as a PNG, with each text as it is, in fonts that have it.

    No text is a formula: neither dollar signs nor, if the user's settings call TeX, any
    other character has a meaning. Logarithmic axes need `label_plainly`.

    A character that the text's own font lacks is drawn in another installed font. One
    that no font has is written in Latin letters, and a note names it. Control
    characters are drawn as in Python's strings.

    Args:
      figure: a matplotlib Figure.
      path: the file.
      dpi: the resolution.
    """
    import matplotlib
    from matplotlib.text import Text
    from matplotlib.ticker import ScalarFormatter

    nowhere: set[str] = set()
    for text in figure.findobj(Text):
        text.set_parse_math(False)
        text.set_usetex(False)
        shown, families, missing = _drawable(text.get_text(), text.get_fontproperties())
        nowhere |= missing
        if families:
            text.set_fontfamily([*text.get_fontfamily(), *families])
        if shown != text.get_text():
            text.set_text(shown)
    for axes in figure.axes:  # an axis sets the texts of its ticks again
        for axis in (axes.xaxis, axes.yaxis):
            if isinstance(formatter := axis.get_major_formatter(), ScalarFormatter):
                formatter.set_usetex(False)
                formatter.set_useMathText(False)
            ticks = axis.get_ticklabels()
            labels = [_drawable(t.get_text(), t.get_fontproperties())[0] for t in ticks]
            if labels != [tick.get_text() for tick in ticks]:
                axis.set_ticks(axis.get_ticklocs(), labels)
    if nowhere:
        some = " ".join(sorted(nowhere)[:10]) + (" ..." if len(nowhere) > 10 else "")
        note(f"{path}: no installed font has {some}; written in Latin letters.")
    plain: Any = {"text.parse_math": False, "text.usetex": False}  # of further ticks
    with matplotlib.rc_context(plain):
        figure.savefig(path, dpi=dpi)


def _drawable(text: str, font: Any) -> tuple[str, list[str], set[str]]:
    """(the text that can be drawn, families to add, characters that no font has)."""
    from anyascii import anyascii
    from matplotlib.font_manager import findfont

    absent = set(text) - _characters(findfont(font)) - {"\n"}
    if not absent:
        return text, [], set()
    absent_letters = {c for c in absent if c.isprintable()}
    families, missing = _fallbacks(frozenset(absent_letters))
    table: dict[str, str | int | None]
    table = {c: c.encode("unicode_escape").decode() for c in absent - absent_letters}
    table |= {c: anyascii(c) or "?" for c in missing}
    return text.translate(str.maketrans(table)), families, missing


@functools.lru_cache
def _fallbacks(wanted: frozenset[str]) -> tuple[list[str], set[str]]:
    """Installed fonts for some characters, and the characters that none has."""
    from matplotlib.font_manager import fontManager

    # The regular font of a family, which comes last here, may have more characters than
    # its others. The last resort has a box for every character.
    fonts = {
        font.name: font.fname
        for font in sorted(fontManager.ttflist, key=_is_regular)
        if "Last Resort" not in font.name
    }
    families: list[str] = []
    rest = set(wanted)
    while rest and fonts:
        found = {name: rest & _characters(file) for name, file in fonts.items()}
        name = max(found, key=lambda name: len(found[name]))
        if not found[name]:
            break
        families.append(name)
        rest -= found[name]
    return families, rest


def _is_regular(font: Any) -> bool:
    upright = font.style == font.variant == font.stretch == "normal"
    return upright and font.weight in (400, "normal")


@functools.cache
def _characters(font_file: str) -> frozenset[str]:
    """The characters that a font has."""
    from matplotlib.font_manager import get_font

    try:
        return frozenset(map(chr, get_font(font_file).get_charmap()))
    except (OSError, RuntimeError):  # removed since matplotlib listed it, or damaged
        return frozenset()
