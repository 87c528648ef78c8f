"""Runs whose parameters are averaged."""

import numpy as np
import pytest
from safetensors.numpy import load_file

from tests.commands import metrics, summary
from tests.small_language_model import arrays, saved_steps, train


def newest(workdir):
    """The arrays of the last checkpoint."""
    step = saved_steps(workdir)[-1]
    return arrays(workdir / "checkpoints" / "last" / str(step))


@pytest.mark.parametrize("averaging", ["ema", "nt_asgd"])
def test_averages_survive_a_stop_bit_for_bit(corpus, tmp_path, averaging, capsys):
    """Of a rate that makes the validations fluctuate, so that the trigger fires."""
    options = (f"--averaging={averaging}", "--optimizer=sgd", "--learning_rate=8")
    options += ("--nonmonotone=1", "--finetunings=1") * (averaging == "nt_asgd")
    options += ("--schedule=constant", "--clip_norm=0.5")
    for epochs in (1, 2, 4, 6):
        train(corpus, tmp_path / "often", *options, f"--epochs={epochs}")
    capsys.readouterr()
    train(corpus, tmp_path / "once", *options, "--epochs=6")
    assert ("averaging begins" in capsys.readouterr().out) == (averaging == "nt_asgd")
    (one, two) = (
        arrays(
            tmp_path / name / "checkpoints/last" / str(saved_steps(tmp_path / name)[-1])
        )
        for name in ("often", "once")
    )
    assert one.keys() == two.keys()
    assert any("average" in name for name in one)
    for name in one:
        np.testing.assert_array_equal(one[name], two[name])
    key = "test_perplexity"
    assert summary(tmp_path / "often")[key] == summary(tmp_path / "once")[key]


@pytest.mark.parametrize("checkpoint", ["best", "last"])
def test_the_average_is_validated_evaluated_and_kept(corpus, tmp_path, checkpoint):
    run = tmp_path / "run"
    flags = ("--averaging=ema", "--ema_decay=0.99", f"--checkpoint={checkpoint}")
    train(corpus, run, *flags, "--epochs=1", "--learning_rate=0.02")
    found = newest(run)
    kept = load_file(run / "model" / "params.safetensors")
    weight = next(a for name, a in found.items() if name.endswith(".weight"))
    (average,) = (a for name, a in found.items() if name.endswith(".average.embed"))
    np.testing.assert_allclose(kept[".embed"], average / weight, rtol=1e-6)
    assert np.abs(kept[".embed"] - found[".params.embed"]).max() > 1e-4
    validated = metrics(run)[-1]["valid_perplexity"]
    np.testing.assert_allclose(validated, summary(run)["valid_perplexity"], rtol=1e-6)
