"""The learning curve, and texts in figures whatever fonts are installed."""

import itertools
from pathlib import Path

import numpy as np
import pytest
from matplotlib import font_manager, rc_context
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.text import Text

from experiments.common import plots
from experiments.common.plots import draw_learning_curve, save_figure


def test_the_figure_has_both_curves(tmp_path, monkeypatch):
    kept = []
    monkeypatch.setattr(Figure, "savefig", lambda self, *_, **__: kept.append(self))
    metrics = [
        {"step": 5, "train_perplexity": 9.0},
        {"step": 10, "train_perplexity": 7.0},
        {"step": 10, "valid_perplexity": 8.0},
    ]
    draw_learning_curve(tmp_path / "figure.png", metrics)
    curves = {c.get_label(): c.get_xydata().tolist() for c in kept[0].axes[0].lines}
    assert curves == {"train": [[5, 9], [10, 7]], "valid": [[10, 8]]}


@pytest.fixture
def fonts(monkeypatch):
    """names -> only these fonts and the default one are installed."""
    default = font_manager.findfont("DejaVu Sans")

    def install(*names):
        fonts = font_manager.fontManager.ttflist
        kept = [f for f in fonts if f.name in names or f.fname == default]
        assert {f.name for f in kept} >= set(names)
        monkeypatch.setattr(font_manager.fontManager, "ttflist", kept)
        plots._fallbacks.cache_clear()

    yield install
    plots._fallbacks.cache_clear()


def figure_of(text):
    """A figure that has a text everywhere where our figures have one."""
    figure = Figure()
    axes = figure.subplots()
    axes.plot([0, 1], label=text)
    axes.set_xticks([0, 1], [text, "b"], rotation=60)
    axes.set_yticks([0, 1], ["a", text])
    axes.set_title(text, family="monospace")
    axes.set(xlabel=text, ylabel=text)
    axes.annotate(text, (0, 0))
    axes.text(0, 0.5, text)
    axes.legend()
    return figure


def texts(figure):
    axes = figure.axes[0]
    return [
        *(axes.get_xticklabels()[0], axes.get_yticklabels()[1], axes.title),
        *(axes.xaxis.label, axes.yaxis.label, *axes.texts),
        *axes.get_legend().get_texts(),
    ]


def test_a_text_that_the_font_has_is_drawn_as_it_is(fonts, tmp_path, capsys):
    fonts()
    figure = figure_of("Zeit, время, χρόνος, ½№…")
    families = [text.get_fontfamily() for text in texts(figure)]
    save_figure(figure, tmp_path / "a.png", dpi=50)
    assert {t.get_text() for t in texts(figure)} == {"Zeit, время, χρόνος, ½№…"}
    assert [text.get_fontfamily() for text in texts(figure)] == families
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    "text", ["$a^{ in $", "$a$", "a_b", "100 %", r"\alpha", "a & b # c", "$$", "^~{"]
)
@pytest.mark.parametrize("tex", [False, True])
def test_no_text_is_a_formula(tmp_path, text, tex):
    with rc_context({"text.usetex": tex}):  # there is no TeX here
        figure = figure_of(text)
        figure.axes[0].set(xlim=(-1, 2))
        save_figure(figure, tmp_path / "a.png", dpi=50)
    for drawn in texts(figure):
        assert drawn.get_text() == text
        assert not drawn.get_parse_math() and not drawn.get_usetex()


@pytest.mark.parametrize("tex", [False, True])
def test_numbers_on_axes_are_plain(tmp_path, monkeypatch, tex):
    kept = []
    save = Figure.savefig
    monkeypatch.setattr(
        Figure,
        "savefig",
        lambda self, *a, **k: (kept.append(self), save(self, *a, **k)),
    )
    metrics = [{"step": 10**i, "train_loss": 10.0**-i} for i in range(12)]
    with rc_context({"text.usetex": tex}):
        draw_learning_curve(tmp_path / "a.png", metrics, "loss")
    axes = kept[0].axes[0]
    labels = [label.get_text() for label in axes.get_yticklabels()]
    assert {"1e\u221208", "0.0001"} <= set(labels)
    drawn = [t.get_text() for t in kept[0].findobj(Text)]
    assert not any("$" in text for text in drawn)


@pytest.mark.parametrize("reverse", [False, True])
def test_another_font_draws_what_the_own_font_lacks(fonts, tmp_path, capsys, reverse):
    """In any order of a family's fonts, and without a warning of a missing glyph."""
    fonts("STIXGeneral")
    font_manager.fontManager.ttflist.sort(key=lambda f: f.fname, reverse=reverse)
    lacking = plots._characters(font_manager.findfont("STIXGeneral"))
    for name in ("DejaVu Sans", "DejaVu Sans Mono"):
        lacking -= plots._characters(font_manager.findfont(name))
    text = "a" + min(c for c in lacking if c.isprintable())
    figure = figure_of(text)
    save_figure(figure, tmp_path / "a.png", dpi=50)
    for drawn in texts(figure):
        assert drawn.get_text() == text
        assert drawn.get_fontfamily()[-1] == "STIXGeneral"
    assert capsys.readouterr().err == ""


def test_what_no_font_has_is_in_latin_letters_with_a_note(fonts, tmp_path, capsys):
    fonts()
    figure = figure_of("a春风b\ue000\t\u3000")
    save_figure(figure, tmp_path / "a.png", dpi=50)
    assert {text.get_text() for text in texts(figure)} == {
        "aChunFengb\\ue000\\t\\u3000"
    }
    noted = capsys.readouterr().err
    assert noted.count("\n") == 1
    assert "a.png: no installed font has 春 风; written in Latin letters." in noted
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


def test_a_font_file_that_is_gone_has_no_characters(tmp_path):
    assert plots._characters(str(tmp_path / "gone.ttf")) == frozenset()


def test_every_figure_is_saved_by_save_figure():
    experiments = Path(plots.__file__).parents[1]
    sources = {p.name: p.read_text(encoding="utf-8") for p in experiments.rglob("*.py")}
    assert {name for name, text in sources.items() if ".savefig(" in text} == {
        "plots.py"
    }


def test_only_new_figure_makes_figures():
    """All have one style."""
    folder = Path(plots.__file__).parents[1]
    makers = {p for p in folder.rglob("*.py") if "Figure(" in p.read_text("utf-8")}
    assert makers == {Path(plots.__file__)}


def lightness(color):
    """CIE L* of a color, 0 to 100: what is left of it in grey."""
    linear = [
        c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4
        for c in to_rgb(color)
    ]
    luminance = sum(
        w * c for w, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True)
    )
    return 116 * luminance ** (1 / 3) - 16 if luminance > 0.008856 else 903 * luminance


def test_any_two_lines_differ_in_grey():
    """By their dashes or by their lightness."""
    _, axes = plots.new_figure(4, 3)
    lines = [axes.plot([0, 1])[0] for _ in range(7)]
    for a, b in itertools.combinations(lines, 2):
        dashes = a._dash_pattern != b._dash_pattern
        light = abs(lightness(a.get_color()) - lightness(b.get_color()))
        assert dashes or light > 15
    assert len({line.get_color() for line in lines}) == 7


@pytest.mark.parametrize("kind", ["protan", "deutan"])
def test_any_two_lines_differ_for_the_color_blind(kind):
    """As dichromats see them: Viénot, Brettel and Mollon 1999, in linear RGB."""
    matrix = {
        "protan": [[0.112, 0.888, 0], [0.112, 0.888, 0], [0.004, -0.004, 1]],
        "deutan": [[0.293, 0.707, 0], [0.293, 0.707, 0], [-0.022, 0.022, 1]],
    }[kind]
    seen = [
        np.array(matrix) @ (np.array(to_rgb(color)) ** 2.2) for color in plots.COLORS
    ]
    for a, b in itertools.combinations(seen, 2):
        difference = np.clip(a, 0, 1) ** (1 / 2.2) - np.clip(b, 0, 1) ** (1 / 2.2)
        assert np.abs(difference).max() > 0.05
