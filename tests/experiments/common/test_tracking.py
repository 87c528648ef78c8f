"""Event files and profiles on request, and the names that a profile shows."""

import struct
import sys

import jax
import jax.numpy as jnp
import pytest
from tensorboardX.proto.event_pb2 import Event

import seqjax
from seqjax import training
from seqjax.models import LanguageModel
from tests import commands, small_language_model
from tests.small_language_model import train, write_corpus


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return write_corpus(tmp_path_factory.mktemp("corpus") / "text")


def events(folder):
    """{(name, step): value} of all event files, in the order of their names."""
    found = {}
    for path in sorted(folder.iterdir()):
        content, at = path.read_bytes(), 0
        while at < len(content):  # TFRecord: length, its checksum, data, its checksum
            (size,) = struct.unpack_from("<Q", content, at)
            event = Event.FromString(content[at + 12 : at + 12 + size])
            at += 12 + size + 4
            for value in event.summary.value:
                found[value.tag, event.step] = value.simple_value
    return found


def test_event_files_hold_the_metrics(corpus, tmp_path):
    workdir = tmp_path / "run"
    assert train(corpus, workdir, "--tensorboard") == 0
    found = events(workdir / "tensorboard")
    lines = commands.metrics(workdir)
    expected = {
        (name, line["step"]): value
        for line in lines
        for name, value in line.items()
        if name not in ("step", "epoch")
    }
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        assert found[key] == pytest.approx(value, rel=1e-6), key


def test_without_tensorboardx_the_error_names_the_extra(
    corpus, tmp_path, capsys, monkeypatch
):
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    argv = (f"--corpus={corpus}", f"--workdir={tmp_path / 'run'}", "--tensorboard")
    sentence = 'needs tensorboardX: pip install "seqjax[tensorboard]"'
    assert sentence in small_language_model.refused(
        capsys, *argv, *small_language_model.SMALL
    )


def test_a_call_is_profiled(corpus, tmp_path, capsys):
    workdir = tmp_path / "run"
    assert train(corpus, workdir, "--profile") == 0
    files = [p.name for p in (workdir / "profile").rglob("*") if p.is_file()]
    assert "perfetto_trace.json.gz" in files
    assert any(name.endswith(".xplane.pb") for name in files)
    assert "a call of training is profiled in" in capsys.readouterr().err


def test_operations_have_the_names_of_their_parts():
    cell = seqjax.Stack((seqjax.GRU(4), seqjax.LSTM(3)))
    model, optimizer = LanguageModel(9, cell, 5), training.make_optimizer("adam", 0.1)

    def loss(params, carry, window, key):
        return model.loss(params, window, key)[0], carry

    params = model.init(jax.random.key(0))
    state = training.init_state(params, optimizer, None, jax.random.key(1))
    step = jax.jit(training.make_train_step(loss, optimizer))
    text = step.lower(state, jnp.ones((6, 2), jnp.int32)).compile().as_text()
    for name in ("embedding", "layer_0", "layer_1", "loss", "optimizer"):
        assert f"/{name}/" in text or f"({name})" in text, name
