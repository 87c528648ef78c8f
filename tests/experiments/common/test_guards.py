"""Guards of a run: minibatches that are not finite, divergence, a full disk."""

import collections
import math
import shutil

import jax
import jax.numpy as jnp
import optax
import pytest

from experiments.common import interrupts, saving
from experiments.common.errors import UserError
from experiments.common.job import Job, TrainConfig, loss_objective
from experiments.common.train_loop import fit
from experiments.common.workdir import Workdir
from experiments.language_model import Config
from seqjax import training
from seqjax.checkpoint import Checkpoints
from tests.commands import metrics


def fit_losses(path, losses, **settings):
    """A run of scripted losses, a minibatch each; None is one that is skipped."""

    def train_loop(state, data, plan, begin, end, total=0.0, count=0.0):
        found = plan[begin:end]
        kept = [loss for loss in found if loss is not None]
        state = state.replace(step=state.step + len(found))
        total, count = total + sum(kept), count + len(kept)
        skipped = len(found) - len(kept)
        return state, training.Metrics(total, count, 1.0, 1.0, 1.0, skipped)

    job = Job(
        train_loop,
        data=None,
        plan=lambda epoch: losses,
        total_steps=len(losses),
        validate=lambda state: {"valid_loss": 1.0},
        objective=loss_objective("tokens"),
    )
    params, key = {"w": jnp.zeros(1000)}, jax.random.key(0)
    state = training.init_state(params, optax.sgd(1.0), None, key)
    workdir = Workdir(path, Config())
    config = TrainConfig(**{"log_every": 1, "checkpoint_every": 2} | settings)
    with workdir.open_for_training():
        return fit(job, workdir, state, config)[1]


@pytest.mark.parametrize(
    ("losses", "factor", "step"),
    [
        ([5.0, 4.0, 12.1, 4.0], 2.0, 3),  # above 4 + 2 * 4
        ([5.0, 4.0, 11.9, 4.0], 2.0, None),
        ([0.01, 2.02, 0.1], 2.0, 2),  # small losses count as 1
        ([0.01, 2.0, 0.1], 2.0, None),
        ([-3.0, 3.1, 0.0], 2.0, 2),
        ([-3.0, 2.9, 0.0], 2.0, None),
        ([5.0, 1e30, 5.0], 0.0, None),  # turned off
        ([20.0, 4.0, 19.0, 50.0], 10.0, 4),
    ],
)
def test_a_run_stops_where_its_loss_is_far_above_the_lowest(
    tmp_path, losses, factor, step
):
    if step is None:
        assert fit_losses(tmp_path, losses, divergence=factor).step == len(losses)
        return
    lowest, loss = min(losses[:step]), losses[step - 1]
    sentence = f"rose from {lowest:.4g} to {loss:.4g} at step {step}: the run diverged"
    with pytest.raises(UserError, match=sentence):
        fit_losses(tmp_path, losses, divergence=factor)
    saved = Checkpoints(tmp_path / "checkpoints" / "last").steps()
    assert all(s < step for s in saved)


def test_the_lowest_loss_is_remembered_by_a_resumed_run(tmp_path):
    losses = [4.0, 5.0, 6.0, 7.0, 20.0]
    with pytest.raises(
        UserError, match=r"to 20 at step 5.*checkpoint of step 4 is kept"
    ):
        fit_losses(tmp_path, losses, divergence=3.0)
    with pytest.raises(UserError, match="rose from 4 to 20 at step 5"):
        fit_losses(tmp_path, losses, divergence=3.0)
    assert fit_losses(tmp_path, losses, divergence=5.0).step == 5


def test_skipped_minibatches_are_counted_and_limited(tmp_path, capsys):
    losses = [1.0, None, 2.0, None, None, 3.0]
    progress = fit_losses(tmp_path / "a", losses, max_skipped=4)
    assert (progress.skipped, progress.predictions) == (3, 3.0)
    counts = [line.get("skipped", 0) for line in metrics(tmp_path / "a")]
    assert counts == [0, 1, 1, 2, 3, 3, 0]  # the last is the validation
    assert "3 minibatches so far were not finite" in capsys.readouterr().err
    sentence = "3 minibatches were not finite; the checkpoint of step 4 is kept"
    for _ in range(2):  # a resumed run counts those before
        with pytest.raises(UserError, match=sentence):
            fit_losses(tmp_path / "b", losses, max_skipped=3)


def test_lines_without_a_finite_minibatch_say_nothing_about_divergence(tmp_path):
    assert fit_losses(tmp_path, [None, 4.0, None, 5.0]).lowest_loss == 4.0
    assert math.isinf(fit_losses(tmp_path / "b", [None, None]).lowest_loss)


Usage = collections.namedtuple("Usage", "total used free")


@pytest.mark.parametrize("kept", [1, 3])
def test_a_full_disk_is_named_before_the_first_step(tmp_path, monkeypatch, kept):
    size = 4 * 1000 + 4 + 8 + 4 + 2**20  # parameters, step, key, scale and the rest
    needed = (kept + 1 + 1) * size  # last, best, and the one that is being written
    for free in (needed - 1, needed):
        monkeypatch.setattr(
            shutil, "disk_usage", lambda path, free=free: Usage(0, 0, free)
        )
        if free == needed:
            assert fit_losses(tmp_path, [1.0, 2.0], keep_last=kept).step == 2
            continue
        with pytest.raises(UserError, match=r"MB free, and checkpoints of 1 MB need"):
            fit_losses(tmp_path, [1.0, 2.0], keep_last=kept)
        assert not (tmp_path / "checkpoints").exists()
    # A run whose checkpoints exist needs room for one more.
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(0, 0, size))
    assert fit_losses(tmp_path, [1.0, 2.0], keep_last=1).step == 2


@pytest.mark.parametrize("kept", [1, 2, 4])
def test_so_many_checkpoints_are_kept(tmp_path, kept):
    fit_losses(tmp_path, [1.0] * 10, keep_last=kept)
    saved = Checkpoints(tmp_path / "checkpoints" / "last").steps()
    assert saved == [2, 4, 6, 8, 10][-kept:]


def test_an_error_of_a_save_ends_training_at_the_next_call(tmp_path, monkeypatch):
    """It is not lost, and the checkpoint before stays the newest."""
    save = Checkpoints.save

    def fail(self, step, state, progress):
        if step == 4:
            raise OSError(28, "No space left on device", str(self.directory))
        save(self, step, state, progress)

    monkeypatch.setattr(Checkpoints, "save", fail)
    with pytest.raises(OSError, match="No space left"):
        fit_losses(tmp_path, [1.0] * 1000)
    assert Checkpoints(tmp_path / "checkpoints" / "last").steps() == [2]
    assert len(metrics(tmp_path)) < 1000
    monkeypatch.undo()
    assert fit_losses(tmp_path, [1.0] * 1000).step == 1000


def test_a_signal_waits_for_what_is_being_saved(tmp_path, monkeypatch):
    waits = []
    for name in ("save", "copy"):
        method = getattr(Checkpoints, name)

        def recorded(self, *args, method=method):
            waits.append(bool(interrupts._State.tasks))
            method(self, *args)

        monkeypatch.setattr(Checkpoints, name, recorded)
    fit_losses(tmp_path, [1.0] * 4)
    assert len(waits) >= 4 and all(waits)
    assert not interrupts._State.tasks


def test_an_error_of_the_last_save_is_raised(tmp_path, monkeypatch):
    def fail(self, step, state, progress):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(saving.Checkpoints, "save", fail)
    with pytest.raises(OSError, match="Input/output error"):
        fit_losses(tmp_path, [1.0], checkpoint_every=1000)
