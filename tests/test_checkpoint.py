"""Checkpoints: equal bit for bit, the newest kept, damage detected."""

import shutil
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import seqjax
from seqjax import checkpoint, training
from seqjax.checkpoint import CheckpointError, Checkpoints
from tests import equality


@pytest.fixture
def state():
    cell = seqjax.Stack((seqjax.LSTM(4), seqjax.GRU(3)))
    params = cell.init(jax.random.key(3), 2)
    optimizer = training.make_optimizer("adam", 0.1, 1.0)
    return training.init_state(
        params, optimizer, cell.initial_state((2,)), jax.random.key(4)
    )


def bits(tree):
    return [
        np.asarray(
            jax.random.key_data(x)
            if jnp.issubdtype(x.dtype, jax.dtypes.prng_key)
            else x
        )
        for x in jax.tree.leaves(tree)
    ]


def assert_same(a, b):
    """Bit for bit."""
    equality.assert_same(a, b)
    for x, y in zip(bits(a), bits(b), strict=True):
        assert x.dtype == y.dtype
        assert x.tobytes() == y.tobytes()


def other(state, k):
    return jax.tree.map(
        lambda x: x + k if jnp.issubdtype(x.dtype, jnp.floating) else x, state
    )


def test_what_is_restored_is_what_was_saved(tmp_path, state):
    checkpoints = Checkpoints(tmp_path / "c")
    progress = {"best": 1 / 3, "nan": float("inf"), "step": 7}
    saved = other(state, 0.1).replace(key=jax.random.key(99))
    checkpoints.save(7, saved, progress)
    restored, got, unreadable = checkpoints.restore(state)
    assert_same(restored, saved)
    assert got == progress
    assert unreadable == []
    jax.random.normal(restored.key)  # still a typed key


def test_the_newest_are_kept_and_the_last_one_is_restored(tmp_path, state):
    checkpoints = Checkpoints(tmp_path, keep=2)
    for step in (5, 9, 10, 100):
        checkpoints.save(step, other(state, step), {"step": step})
    assert checkpoints.steps() == [10, 100]
    restored, progress, _ = checkpoints.restore(state)
    assert progress == {"step": 100}
    assert_same(restored, other(state, 100))


def test_later_checkpoints_are_removed_after_continuing_from_an_earlier_one(
    tmp_path, state
):
    checkpoints = Checkpoints(tmp_path, keep=2)
    checkpoints.save(1000, state, {"step": 1000})
    (tmp_path / "1000" / "SHA256SUMS").write_text("")
    for step in (500, 600):
        checkpoints.save(step, other(state, step), {"step": step})
    assert checkpoints.steps() == [500, 600]
    assert checkpoints.restore(state)[1:] == ({"step": 600}, [])


def test_a_step_can_be_saved_again(tmp_path, state):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(5, state, {"n": 1})
    checkpoints.save(5, other(state, 1), {"n": 2})
    restored, progress, _ = checkpoints.restore(state)
    assert progress == {"n": 2}
    assert_same(restored, other(state, 1))


def damaged(content, how):
    if how == "flip":
        middle = len(content) // 2
        return (
            content[:middle]
            + bytes(b ^ 0xFF for b in content[middle:][:1])
            + (content[middle + 1 :])
        )
    return {"cut": content[: len(content) // 2], "empty": b""}[how]


@pytest.mark.parametrize("how", ["flip", "cut", "empty", "remove"])
def test_damage_to_any_file_restores_the_checkpoint_before(tmp_path, state, how):
    """It is equal bit for bit, and the damaged one is named."""
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(10, other(state, 10), {"step": 10})
    checkpoints.save(20, other(state, 20), {"step": 20})
    files = [p for p in (tmp_path / "20").rglob("*") if p.is_file()]
    files = [p for p in files if how == "remove" or p.read_bytes()]
    for path in files:
        content = path.read_bytes()
        if how == "remove":
            path.unlink()
        else:
            path.write_bytes(damaged(content, how))
        restored, progress, unreadable = checkpoints.restore(state)
        assert progress == {"step": 10}, path
        assert_same(restored, other(state, 10))
        assert unreadable == [
            f"{tmp_path / '20'} is damaged: its files do not match its SHA256SUMS."
        ]
        path.write_bytes(content)
    assert checkpoints.restore(state)[1] == {"step": 20}


NAMES = (
    *("a[b]", "[!x]", "a\\b", "\\", "*", "?", "a b ", "ü漢", "a#b%20", "{x}", "gs:"),
    *("~", "$HOME", "a\nb", "-x", "..x", "a'b\"c", "file:", "x@1,y"),
)


@pytest.mark.parametrize("name", NAMES)
def test_a_folder_may_have_any_name(tmp_path, name):
    checkpoints = Checkpoints(tmp_path / name / "inner")
    state = {"w": jnp.arange(3.0)}
    for step in (1, 2):
        checkpoints.save(step, state, {"step": step})
    assert {p.name for p in checkpoints.directory.iterdir()} == {"1", "2"}
    restored, progress, _ = checkpoints.restore({"w": jnp.zeros(3)})
    assert_same(restored, state)
    assert progress == checkpoints.progress() == {"step": 2}


def test_a_copy_is_what_was_saved_and_only_the_newest_stay(tmp_path, state):
    ours, theirs = Checkpoints(tmp_path / "a", 2), Checkpoints(tmp_path / "b", 9)
    for step in (5, 9):
        theirs.save(step, other(state, step), {"step": step})
    (tmp_path / "a" / "8.partial").mkdir(parents=True)
    for step in (5, 9):
        ours.copy(theirs, step)
    assert {p.name for p in ours.directory.iterdir()} == {"5", "9"}
    restored, *_ = ours.restore(state, 5)
    assert_same(restored, other(state, 5))
    ours.copy(theirs, 5)  # after continuing from before 9
    assert ours.steps() == [5]


def test_with_the_last_checkpoint_empty_folders_are_removed(tmp_path, state):
    checkpoints = Checkpoints(tmp_path / "run" / "last")
    for step in (1, 2):
        checkpoints.save(step, state, {})
    checkpoints.remove(2)
    assert checkpoints.steps() == [1]
    checkpoints.remove(1)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(CheckpointError, match="there is no checkpoint"):
        checkpoints.progress()


def test_no_complete_checkpoint_is_an_error_of_one_sentence(tmp_path, state):
    checkpoints = Checkpoints(tmp_path)
    with pytest.raises(CheckpointError, match="there is no checkpoint in"):
        checkpoints.restore(state)
    checkpoints.save(3, state, {})
    (tmp_path / "3" / "SHA256SUMS").write_bytes(b"")
    with pytest.raises(
        CheckpointError, match=r"no checkpoint in .* can be read"
    ) as error:
        checkpoints.restore(state)
    assert "\n" not in str(error.value)


def test_checkpoints_without_checksums_are_damaged_not_absent(tmp_path, state):
    """A run that holds nothing else is not begun anew."""
    checkpoints = Checkpoints(tmp_path)
    for step in (1, 2):
        checkpoints.save(step, state, {"step": step})
    (tmp_path / "2" / "SHA256SUMS").unlink()
    assert checkpoints.progress() == {"step": 1}
    (tmp_path / "1" / "SHA256SUMS").unlink()
    (tmp_path / "1" / "SHA256SUMS").mkdir()
    assert checkpoints.steps() == [1, 2]
    for read in (checkpoints.progress, lambda: checkpoints.restore(state)):
        with pytest.raises(CheckpointError, match=r"can be read: .*2 is damaged"):
            read()


@pytest.mark.parametrize("name", ["²", "٣", "007", "x", "-1", "1_0", "9"])
def test_other_names_are_no_checkpoints(tmp_path, state, name):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(1, state, {})
    (tmp_path / name).write_bytes(b"") if name == "9" else (
        (tmp_path / name / "x").mkdir(parents=True)
    )
    assert checkpoints.steps() == [1]
    assert checkpoints.restore(state)[1:] == ({}, [])
    checkpoints.save(2, state, {})
    assert (tmp_path / name).exists()


@pytest.mark.parametrize("part", ["state", "progress", "state/_METADATA"])
def test_what_orbax_cannot_read_is_one_sentence(tmp_path, state, part):
    """Although the checksums are right, as after another version of orbax."""
    checkpoints = Checkpoints(tmp_path)
    for step in (1, 2):
        checkpoints.save(step, state, {"step": step})
    path = tmp_path / "2" / part
    shutil.rmtree(path) if path.is_dir() else path.write_text("{")
    (tmp_path / "2" / "SHA256SUMS").write_bytes(checkpoint._checksums(tmp_path / "2"))
    _, progress, (sentence,) = checkpoints.restore(state)
    assert progress == {"step": 1}
    assert "2 is damaged: " in sentence and "\n" not in sentence


def test_a_checkpoint_of_another_model_is_refused(tmp_path, state):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(3, state.replace(params=state.params[:1]), {})
    with pytest.raises(CheckpointError, match="belongs to another model"):
        checkpoints.restore(state)
    wider = seqjax.Stack((seqjax.LSTM(5), seqjax.GRU(3))).init(jax.random.key(0), 2)
    checkpoints.save(4, state.replace(params=wider), {})
    with pytest.raises(CheckpointError, match=r"\[0\]\.b differs"):
        checkpoints.restore(state)


def test_without_orbax_the_error_names_the_extra(tmp_path, state, monkeypatch):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(3, state, {})
    monkeypatch.setitem(sys.modules, "orbax.checkpoint", None)
    sentence = (
        r'^checkpoints need orbax-checkpoint: pip install "seqjax\[experiments\]"\.$'
    )
    with pytest.raises(CheckpointError, match=sentence):
        checkpoints.save(4, state, {})
    for step in (None, 3):
        with pytest.raises(CheckpointError, match=sentence):
            checkpoints.restore(state, step)


@pytest.mark.parametrize("name", ["9.orbax-checkpoint-tmp-1", "9", "9.partial"])
def test_leftovers_of_a_killed_save_are_ignored_and_removed(tmp_path, state, name):
    (tmp_path / name).mkdir()
    checkpoints = Checkpoints(tmp_path)
    assert checkpoints.steps() == []
    with pytest.raises(CheckpointError, match="there is no checkpoint"):
        checkpoints.restore(state)
    checkpoints.save(10, state, {})
    assert not (tmp_path / name).exists()
    assert checkpoints.steps() == [10]


def test_a_killed_save_is_done_again(tmp_path, state):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(10, other(state, 1), {})
    (tmp_path / "10").rename(tmp_path / "10.partial")
    checkpoints.save(10, state, {})
    assert_same(checkpoints.restore(state)[0], state)
