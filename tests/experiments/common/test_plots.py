"""The learning curve."""

from matplotlib.figure import Figure

from experiments.common.plots import draw_learning_curve


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
