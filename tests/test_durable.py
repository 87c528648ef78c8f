"""Files that are whole or absent: the order of operations, what a failure leaves."""

import errno
import os
from pathlib import Path

import pytest

from seqjax import durable


@pytest.fixture
def operations(monkeypatch):
    """The file operations in their order, by what they flush or rename."""
    done = []
    fsync, replace = os.fsync, Path.replace

    def record_fsync(descriptor):
        done.append(("fsync", Path(os.readlink(f"/proc/self/fd/{descriptor}")).name))
        fsync(descriptor)

    def record_replace(path, target):
        done.append(("replace", target.name))
        return replace(path, target)

    monkeypatch.setattr(os, "fsync", record_fsync)
    monkeypatch.setattr(Path, "replace", record_replace)
    return done


def test_a_file_is_flushed_before_it_gets_its_name_and_its_folder_after(
    tmp_path, operations
):
    durable.write_bytes(tmp_path / "a", b"content")
    assert (tmp_path / "a").read_bytes() == b"content"
    flushed_folder = ("fsync", tmp_path.name)
    assert operations == [("fsync", "a.partial"), ("replace", "a"), flushed_folder]


@pytest.mark.parametrize("failing", ["open", "fsync", "replace"])
def test_a_failure_leaves_the_earlier_file(tmp_path, monkeypatch, failing):
    durable.write_bytes(tmp_path / "a", b"before")

    def fail(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    places = {"open": ("builtins.open",), "fsync": (os, "fsync")}
    place = places.get(failing, (Path, "replace"))
    monkeypatch.setattr(*place, fail)
    with pytest.raises(OSError, match="No space left"):
        durable.write_bytes(tmp_path / "a", b"after")
    monkeypatch.undo()
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == {"a": b"before"}


def test_every_new_folder_is_flushed_into_the_one_above(tmp_path, operations):
    durable.make_folder(tmp_path / "a" / "b")
    assert set(operations) == {("fsync", tmp_path.name), ("fsync", "a")}
    operations.clear()
    durable.make_folder(tmp_path / "a" / "b")
    assert operations == []


def test_a_tree_is_flushed_with_all_files_and_folders(tmp_path, operations):
    (tmp_path / "a" / "b").mkdir(parents=True)
    for name in ("x", "a/y", "a/b/z"):
        (tmp_path / name).write_text(name)
    durable.sync_tree(tmp_path)
    names = ("x", "y", "z", "a", "b", tmp_path.name)
    assert sorted(operations) == sorted(("fsync", name) for name in names)
    below = [str(p.relative_to(tmp_path)) for p in durable.files_below(tmp_path)]
    assert below == ["a/b/z", "a/y", "x"]


@pytest.mark.parametrize("walk", [durable.sync_tree, durable.files_below])
def test_a_folder_that_cannot_be_listed_is_an_error(tmp_path, monkeypatch, walk):
    (tmp_path / "a").mkdir()
    scandir = os.scandir

    def refuse(path):
        if str(path).endswith("a"):
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(PermissionError):
        walk(tmp_path)


@pytest.mark.parametrize("code", [errno.EINVAL, errno.EIO])
def test_only_folders_that_cannot_be_flushed_are_passed_over(
    tmp_path, monkeypatch, code
):
    def fail(descriptor):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "fsync", fail)
    if code == errno.EINVAL:
        durable.sync(tmp_path)
    else:
        with pytest.raises(OSError, match="error"):
            durable.sync(tmp_path)
