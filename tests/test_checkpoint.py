"""Checkpoints: equal bit for bit, the newest kept, damage detected."""

import shutil
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import seqjax
from seqjax import named_arrays, sharding, training
from seqjax.checkpoint import (
    CheckpointError,
    Checkpoints,
    size_of,
    snapshot,
)
from tests import equality
from tests.sealed import seal


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
    assert jnp.issubdtype(restored.key.dtype, jax.dtypes.prng_key)


@pytest.mark.parametrize("impl", ["threefry2x32", "rbg", "unsafe_rbg"])
def test_keys_of_every_generator_are_restored(tmp_path, impl):
    state = {"key": jax.random.split(jax.random.key(7, impl=impl), 3)}
    checkpoints = Checkpoints(tmp_path / "c")
    checkpoints.save(1, snapshot(state), {})
    for template in (state, jax.eval_shape(lambda: state), sharding.gather(state)):
        found = checkpoints.restore(template)[0]["key"]
        assert found.dtype == state["key"].dtype
        assert (found == state["key"]).all()


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


@pytest.mark.parametrize("cut", [1, 2, 3])
def test_a_replacement_that_is_cut_short_loses_no_checkpoint(
    tmp_path, state, monkeypatch, cut
):
    """A kill at any of its renames: before, between and after the two names."""
    checkpoints, rename, calls = Checkpoints(tmp_path, keep=1), Path.rename, []
    checkpoints.save(5, state, {"n": 1})

    def killed(path, target):
        calls.append(path)
        if len(calls) == cut:
            raise KeyboardInterrupt
        return rename(path, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", killed)
        patch.setattr(shutil, "rmtree", lambda path: killed(path, path))
        with pytest.raises(KeyboardInterrupt):
            checkpoints.save(5, other(state, 1), {"n": 2})
    again = Checkpoints(tmp_path, keep=1)
    assert again.steps() == [5]
    number = 2 if cut == 3 else 1
    assert again.restore(state)[1:] == ({"n": number}, [])
    assert again.restore(state, 5)[1] == again.progress() == {"n": number}
    Checkpoints(tmp_path / "best").copy(again, 5)
    assert Checkpoints(tmp_path / "best").progress() == {"n": number}
    shutil.rmtree(tmp_path / "best")
    again.save(5, other(state, 2), {"n": 3})
    assert [p.name for p in tmp_path.iterdir()] == ["5"]
    assert again.progress() == {"n": 3}


def test_a_checkpoint_is_removed_with_the_one_that_it_replaced(tmp_path, state):
    checkpoints = Checkpoints(tmp_path / "last")
    checkpoints.save(5, state, {})
    path = tmp_path / "last" / "5"
    shutil.copytree(path, path.with_name("5.replaced.partial"))
    checkpoints.remove(5)
    assert checkpoints.steps() == []
    assert not path.parent.exists()


def damaged(content, how):
    """A file that was torn, or one bit of it flipped."""
    if how in ("first", "middle", "last"):
        index = {"first": 0, "middle": len(content) // 2, "last": -1}[how]
        changed = bytearray(content)
        changed[index] ^= 1
        return bytes(changed)
    return {"cut": content[: len(content) // 2], "empty": b""}[how]


@pytest.mark.parametrize("how", ["first", "middle", "last", "cut", "empty", "remove"])
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


CONTENTS = {
    "state.safetensors": (b"", b"{", b"\xff" * 100, b"\x02" + bytes(7) + b"{}x"),
    "progress.json": (b"", b"[1]", b"{", b"[" * 99_999, b"\xff"),
    "format.txt": (b"", b"two", b"\xc2\xb2", b"-1"),
}


@pytest.mark.parametrize("name", CONTENTS)
def test_files_that_cannot_be_read_are_damage(tmp_path, state, name):
    """Although the checksums are right."""
    checkpoints = Checkpoints(tmp_path)
    for step in (1, 2):
        checkpoints.save(step, state, {"step": step})
    for content in (None, *CONTENTS[name]):
        path = tmp_path / "2" / name
        path.unlink() if content is None else path.write_bytes(content)
        seal(tmp_path / "2")
        _, progress, (sentence,) = checkpoints.restore(state)
        assert progress == {"step": 1}
        assert "2 is damaged: " in sentence and "\n" not in sentence


def test_any_dtype_of_safetensors_is_restored(tmp_path):
    rng = np.random.default_rng(0)
    state = {
        f"{dtype}{number}": rng.integers(0, 2, shape).astype(dtype)
        for dtype in named_arrays.DTYPES.values()
        for number, shape in enumerate([(), (0, 3), (2, 3)])
        if np.dtype(dtype).itemsize < 8  # jax makes them half as wide
    }
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(1, state, {})
    restored, *_ = checkpoints.restore(state)
    for name, array in state.items():
        assert restored[name].dtype == array.dtype, name
        np.testing.assert_array_equal(restored[name], array)


def test_arrays_in_another_order_are_saved_as_they_are(tmp_path):
    checkpoints, w = Checkpoints(tmp_path), np.arange(6.0, dtype=np.float32)
    state = {"t": w.reshape(2, 3).T, "s": w[::2]}
    checkpoints.save(1, state, {})
    jax.tree.map(np.testing.assert_array_equal, checkpoints.restore(state)[0], state)


def test_a_dtype_that_safetensors_lacks_is_named(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    with pytest.raises(CheckpointError, match=r"\['w'\] has dtype complex128\.$"):
        checkpoints.save(1, {"w": np.zeros(2, np.complex128)}, {})
    assert checkpoints.steps() == []


def test_a_checkpoint_of_another_model_is_refused(tmp_path, state):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(3, state.replace(params=state.params[:1]), {})
    with pytest.raises(CheckpointError, match="belongs to another model"):
        checkpoints.restore(state)
    wider = seqjax.Stack((seqjax.LSTM(5), seqjax.GRU(3))).init(jax.random.key(0), 2)
    checkpoints.save(4, state.replace(params=wider), {})
    with pytest.raises(CheckpointError, match=r"\[0\]\.b differs"):
        checkpoints.restore(state)


def set_format(path, text):
    """The checksums are those of the changed checkpoint."""
    (path / "format.txt").write_text(text)
    seal(path)


def test_a_newer_format_is_refused_and_no_older_checkpoint_is_used(tmp_path, state):
    """Training would go on from the older one, and delete the newer."""
    checkpoints = Checkpoints(tmp_path)
    for step in (1, 2):
        checkpoints.save(step, state, {"step": step})
    set_format(tmp_path / "2", "3\n")
    for read in (checkpoints.progress, lambda: checkpoints.restore(state)):
        with pytest.raises(
            CheckpointError, match=r"2 has format 3, of a newer .* format 2\.$"
        ):
            read()


def test_checkpoints_of_the_first_format_are_refused_by_name(tmp_path, state):
    """orbax wrote them; they are not damaged."""
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(1, state, {"step": 1})
    (tmp_path / "2" / "state").mkdir(parents=True)
    for name in ("_CHECKPOINT_METADATA", "SHA256SUMS"):
        (tmp_path / "2" / name).write_text("")
    with pytest.raises(CheckpointError, match="2 has format 1, of an earlier version"):
        checkpoints.restore(state)


def test_a_snapshot_does_not_change_with_later_steps():
    """Neither where a step reuses the buffers, nor where NumPy changes an array."""
    state = {"w": jnp.arange(3.0), "key": jax.random.key(7), "n": np.arange(3)}
    expected = [array.copy() for array in bits(state)]
    copied = snapshot(state)
    for name, step in (
        ("w", lambda w: w + 1),
        ("key", lambda k: jax.random.split(k)[0]),
    ):
        jax.jit(step, donate_argnums=0)(state[name])
    state["n"] += 1
    for a, b in zip(bits(copied), expected, strict=True):
        assert a.tobytes() == b.tobytes()


def test_the_size_is_that_of_all_arrays():
    state = {
        "w": jnp.zeros((3, 5)),
        "key": jax.random.key(0),
        "n": np.zeros(2, np.int8),
    }
    assert size_of(state) == 4 * 15 + 8 + 2


def test_a_deletion_that_is_cut_short_leaves_no_checkpoint_behind(
    tmp_path, state, monkeypatch
):
    checkpoints = Checkpoints(tmp_path)
    for step in (1, 2):
        checkpoints.save(step, state, {"step": step})

    def cut(path):
        (path / "SHA256SUMS").unlink()
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", cut)
        with pytest.raises(KeyboardInterrupt):
            checkpoints.remove(2)
    assert checkpoints.steps() == [1]
    assert checkpoints.restore(state)[1:] == ({"step": 1}, [])
    checkpoints.save(3, state, {"step": 3})
    assert {p.name for p in tmp_path.iterdir()} == {"1", "3"}


@pytest.mark.parametrize("name", ["9", "9.partial", "9.deleted.partial"])
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
