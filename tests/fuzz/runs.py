"""Folders of runs and of checkpoints with files that are missing, damaged or added."""

import functools
import json
import math
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import strategies as st

from experiments.common.settings import entries
from experiments.common.stored_settings import FORMAT
from experiments.common.training_run import open_run
from experiments.common.workdir import Workdir
from experiments.language_model.config import Config
from seqjax import checkpoint
from seqjax.data.vocab import Vocab
from tests import commands, equality
from tests.fuzz.contents import edited, split_lines, words
from tests.sealed import seal

TEMPLATE = {"key": jax.random.key(0), "n": jnp.int32(0), "w": jnp.zeros(3)}
ADDED = (
    "7/x",
    "9",
    "²/x",
    "٣/x",
    "007/x",
    "3.partial/x",
    "2/x",
    "1/x",
    "x",
    "-1",
)
Files = Mapping[str, bytes | None]  # name in the folder: content; None is missing


class Changes(NamedTuple):
    """What happens to the files of a folder."""

    files: Files
    resealed: bool = False  # whether the checksums are made anew afterwards


def write(folder: Path, saved: Files, changes: Files) -> None:
    """Write a folder anew, with changes."""
    shutil.rmtree(folder, ignore_errors=True)
    for name, content in {**saved, **changes}.items():
        if content is not None:
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)


def contents_of(folder: Path) -> dict[str, bytes]:
    """The content of each file by its name in a folder."""
    found = commands.files(folder)
    return {str(path.relative_to(folder)): found[path] for path in sorted(found)}


# ---------------------------------------------------------------- checkpoints


def state_of(step: int) -> dict[str, jax.Array]:
    return {
        "key": jax.random.key(step),
        "n": jnp.int32(step),
        "w": jnp.arange(3.0) + step,
    }


@functools.cache
def saved_checkpoints() -> dict[str, bytes]:
    """The files of two checkpoints."""
    with tempfile.TemporaryDirectory() as folder:
        checkpoints = checkpoint.Checkpoints(folder)
        for step in (1, 2):
            checkpoints.save(step, state_of(step), {"step": step, "best": 1 / step})
        return contents_of(Path(folder))


@st.composite
def checkpoint_changes(draw) -> Changes:
    """Some files of one or both checkpoints missing, damaged or replaced."""
    saved = saved_checkpoints()
    changes: dict[str, bytes | None] = {}
    for name in draw(st.lists(st.sampled_from(sorted(saved)), max_size=3)):
        how = draw(st.sampled_from(("miss", "edit", "edit", "replace", "swap")))
        if how == "miss":
            changes[name] = None
        elif how == "edit":
            changes[name] = draw(edited(saved[name]))
        elif how == "replace":
            changes[name] = draw(st.binary(max_size=30))
        else:
            changes[name] = saved[draw(st.sampled_from(sorted(saved)))]
    if draw(st.sampled_from((False,) * 7 + (True,))):  # a whole checkpoint or part
        begin = draw(st.sampled_from(("1/", "2/", "2/s", "1/p", "2/f", "2/S")))
        changes |= {name: None for name in saved if name.startswith(begin)}
    for name in draw(st.lists(st.sampled_from(ADDED), max_size=1)):
        changes[name] = draw(st.binary(max_size=9))
    return Changes(changes, draw(st.sampled_from((False, False, False, True))))


def write_checkpoints(folder: Path, changes: Changes) -> Path:
    folder = folder / "last"
    write(folder, saved_checkpoints(), changes.files)
    for step in ("1", "2") if changes.resealed else ():
        if (folder / step).is_dir():
            seal(folder / step)
    return folder


def check_checkpoints(changes: Changes, found: tuple[Any, ...]) -> None:
    """The newest whole checkpoint, bit for bit, and a sentence for each newer one."""
    state, progress, unreadable = found
    saved = saved_checkpoints()
    files = {n: c for n, c in {**saved, **changes.files}.items() if c is not None}
    there = {name.partition("/")[0] for name in files if "/" in name}
    steps = sorted((s for s in there if s in ("1", "2", "7")), reverse=True)
    whole = [s for s in steps if _of(files, s) == _of(saved, s) != {}]
    if not changes.resealed:
        assert len(unreadable) == steps.index(whole[0])
    elif not (progress.get("step") in (1, 2) and np.isfinite(state["w"]).all()):
        return  # what was resealed reads as it is written
    assert all(s.count("\n") == 0 and s.endswith(".") for s in unreadable)
    step = progress["step"]
    if not changes.resealed:
        assert step == int(whole[0]) and progress["best"] == 1 / step
        equality.assert_same(state, state_of(step))
    jax.tree.map(lambda a, b: None, state, TEMPLATE)
    described = [(jnp.shape(a), a.dtype) for a in jax.tree.leaves(state)]
    assert described == [(jnp.shape(a), a.dtype) for a in jax.tree.leaves(TEMPLATE)]


def _of(files: Mapping[str, bytes], step: str) -> dict[str, bytes]:
    """The files of a checkpoint, without added ones, which nothing reads."""
    names = [name for name in saved_checkpoints() if name.startswith(f"{step}/")]
    return {name: files[name] for name in names if name in files}


def read_checkpoints(folder: Path) -> tuple[Any, ...]:
    return checkpoint.Checkpoints(folder).restore(TEMPLATE)


# ---------------------------------------------------------------- text files of a run

TOKENS = ["<unk>", "a", "é", "\n"]
TEXTS = ("flags.txt", "metrics.jsonl", "summary.json", "vocab.json")
json_values = st.recursive(
    st.sampled_from((None, True, 0, 1, -2, 10**30, 0.5, math.nan, "<unk>", "a")),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.sampled_from(("step", "tokens")), inner, max_size=2),
    ),
    max_leaves=6,
)
hostile_json = st.one_of(
    json_values.map(lambda value: json.dumps(value).encode()),
    json_values.map(lambda value: json.dumps(["0" * 64, value]).encode()),
    st.sampled_from((b"[" * 99_999, b'{"a":' * 99_999, b"1" * 9_999, b"")),
)


@functools.cache
def saved_run() -> dict[str, bytes]:
    """The text files of a run without checkpoints."""
    with tempfile.TemporaryDirectory() as folder:
        config = Config.of(workdir=f"{folder}/run", corpus=("a,b.txt",), shrink=())
        workdir = Workdir(config.run.workdir, config)
        with workdir.open_for_training():
            workdir.write_vocab(TOKENS, "0" * 64)
            workdir.log(step=1, valid_loss=2.5)
            workdir.log(step=2, valid_loss=None)
            workdir.write_summary({"test_perplexity": 2.5, "name": "é"})
        return contents_of(workdir.path)


@st.composite
def flag_changes(draw) -> bytes:
    """flags.txt with another value of some flags, and lines that are no flags."""
    *lines, _ = saved_run()["flags.txt"].decode().split("\n")
    for _ in range(draw(st.integers(1, 2))):
        index = draw(st.integers(0, len(lines) - 1))
        name = lines[index].partition("=")[0]
        value = st.sampled_from(
            ("", "0", "-1", "1.5", "nan", "1e999", "x", "a\rb", '"a', "true", "1_0")
        )
        lines[index] = draw(
            st.one_of(
                value.map(f"{name}={{}}".format),
                st.just(name),
                st.sampled_from(("--", "--=", "x", "", "--nothing=1", "--noseed")),
            )
        )
    return "\n".join(lines).encode()


objects = st.dictionaries(st.sampled_from(("step", "a", "é")), json_values, max_size=3)
ALLOWED = {  # other contents that a run may have
    "flags.txt": st.integers(1, 99).map((FORMAT + "\n--epochs={}\n").format),
    "metrics.jsonl": st.lists(objects.map(json.dumps)).map("\n".join),
    "summary.json": objects.map(json.dumps),
    "vocab.json": st.sets(words).map(
        lambda tokens: json.dumps(["1" * 64, ["<unk>", *sorted(tokens)]])
    ),
}


@st.composite
def run_changes(draw) -> Changes:
    """Some text files of a run changed, and often one of them missing or damaged."""
    saved, changes = saved_run(), {}
    for name in draw(st.lists(st.sampled_from(TEXTS), unique=True)):
        changes[name] = draw(ALLOWED[name]).encode()
    if draw(st.sampled_from((False, True))):
        name = draw(st.sampled_from(TEXTS))
        kinds = [st.none(), edited(saved[name]), edited(saved[name])]
        kinds.append(flag_changes() if name == "flags.txt" else hostile_json)
        changes[name] = draw(st.one_of(kinds))
    return Changes(changes)


def write_run(folder: Path, changes: Changes) -> Path:
    write(folder / "run", saved_run(), changes.files)
    return folder / "run"


class Run(NamedTuple):
    """What a command reads of a run's folder."""

    config: Config
    vocab: tuple[Vocab, str]
    metrics: list[dict[str, Any]]
    summary: dict[str, Any]
    rewound: bytes | None


def read_run(folder: Path) -> Run:
    config = Config.of_run(folder)
    workdir = open_run(config, training=False)
    vocab, metrics = workdir.read_vocab(), workdir.read_metrics()
    summary = workdir.read_summary()
    workdir.rewind_metrics(1)
    path = folder / "metrics.jsonl"
    return Run(
        config, vocab, metrics, summary, path.read_bytes() if path.exists() else None
    )


def check_run(changes: Changes, found: Run) -> None:
    """Each file as the standard library reads it."""
    files = {**saved_run(), **changes.files}
    sha256, tokens = _json(files["vocab.json"])
    assert found.vocab[0].tokens == tokens and found.vocab[1] == str(sha256)
    assert all(isinstance(token, str) for token in tokens)
    summary, metrics = files["summary.json"], files["metrics.jsonl"]
    assert repr(found.summary) == repr({} if summary is None else _json(summary))
    lines = [] if metrics is None else split_lines(metrics)
    assert repr(found.metrics) == repr([_json(line.encode()) for line in lines])
    assert all(isinstance(line, dict) for line in found.metrics)
    if found.rewound is not None:
        steps = [metrics.get("step") for metrics in found.metrics]
        early = [isinstance(step, (int, float)) and step <= 1 for step in steps]
        expected = [line for line, kept in zip(lines, early, strict=True) if kept]
        assert split_lines(found.rewound) == expected
    values = {entry.name: entry.value for entry in entries(found.config)}
    given = dict(
        line.removeprefix("--").split("=", 1)
        for line in split_lines(files["flags.txt"])
        if line.startswith("--") and "=" in line
    )
    for name, text in given.items():
        value = values[name]
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            assert float(text) == value
        elif isinstance(value, str) and name != "workdir":
            assert value == text


def _json(content: bytes) -> Any:
    return json.loads(content.removeprefix(b"\xef\xbb\xbf"))
