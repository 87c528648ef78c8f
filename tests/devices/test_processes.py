"""Several devices and several processes: equal numbers, signals, deaths, mistakes."""

import platform
import signal
import socket
import time

import numpy as np
import pytest

from seqjax.checkpoint import Checkpoints
from tests.commands import metrics
from tests.devices.groups import (
    SMALL,
    Group,
    finished,
    flags_of_each,
    free_port,
    group,
    write_text,
)

MINUTE = 60.0
LONG = ("--epochs=16", "--eval_every=8", "--checkpoint_every=50")  # some seconds


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("processes")
    write_text(path / "text")
    return path


@pytest.fixture(scope="module")
def undisturbed(folder):
    """What a long run of two processes leaves."""
    return finished(folder, 2, *LONG, workdir="undisturbed")


@pytest.fixture(scope="module")
def one(folder):
    """The numbers of a run on one device."""
    finished(folder, 1, workdir="one")
    return numbers(folder / "one")


def numbers(workdir):
    """The training losses and the validation losses of a run."""
    lines = metrics(workdir)
    names = ("train_perplexity", "valid_perplexity")
    return [np.log([m[name] for m in lines if name in m]) for name in names]


WAYS = {
    "two_devices": (1, 2, "--mesh=data:2"),
    "eight_devices": (1, 8, "--mesh=data:8"),
    "model_axis": (1, 8, "--mesh=data:4,model:2"),
    "two_processes": (2, 1),
    "two_processes_of_four": (2, 4, "--mesh=data:4,model:2"),
}


@pytest.mark.parametrize("way", WAYS)
def test_many_devices_are_one(folder, one, way):
    """Over 192 steps, to rounding."""
    processes, devices, *flags = WAYS[way]
    finished(folder, processes, *flags, devices=devices, workdir=way)
    for ours, theirs in zip(numbers(folder / way), one, strict=True):
        assert len(ours) == len(theirs)
        np.testing.assert_allclose(ours, theirs, rtol=1e-6)


def test_two_processes_repeat_themselves_bit_for_bit(folder, undisturbed):
    assert finished(folder, 2, *LONG, workdir="again") == undisturbed


def wait_for(checkpoints, step, run):
    """Until a run has saved a step, or a later one."""
    end = time.monotonic() + MINUTE
    while not any(s >= step for s in Checkpoints(checkpoints).steps()):
        assert time.monotonic() < end, run.last_lines()
        assert all(p.poll() is None for p in run.processes), run.last_lines()
        time.sleep(0.005)


@pytest.mark.parametrize(("number", "sent"), [(0, signal.SIGINT), (1, signal.SIGTERM)])
def test_a_signal_to_one_process_saves_and_ends_all(folder, undisturbed, number, sent):
    workdir = f"signal{number}{sent}"
    last = folder / workdir / "checkpoints" / "last"
    with group(folder, 2, *LONG, workdir=workdir) as run:
        wait_for(last, 20, run)
        run.processes[number].send_signal(sent)
        codes = run.wait(MINUTE)
        assert codes[number] == 128 + sent
        assert codes[1 - number] in (128 + sent, 128 + signal.SIGTERM)
        step = Checkpoints(last).steps()[-1]
        for line in run.last_lines():
            assert line.startswith(f"interrupted: step {step} is saved in ")
    assert finished(folder, 2, *LONG, workdir=workdir) == undisturbed


@pytest.mark.parametrize("number", [0, 1])
def test_a_process_that_dies_ends_the_others_with_a_sentence(
    folder, undisturbed, number
):
    workdir = f"killed{number}"
    with group(folder, 2, *LONG, workdir=workdir) as run:
        wait_for(folder / workdir / "checkpoints" / "last", 100, run)
        run.processes[number].kill()
        codes = run.wait(MINUTE)
        assert codes[1 - number] == 2
        sentence = f"error: process {number} has ended; start all again, and they go on"
        assert run.last_lines()[1 - number].startswith(sentence)
    assert finished(folder, 2, *LONG, workdir=workdir) == undisturbed


def test_a_run_goes_on_with_other_numbers_of_devices_and_processes(folder, one):
    """2 processes of 2 devices, then one device, then eight."""
    ways = ((2, 2, 5), (1, 1, 20), (1, 8, None))
    workdir = "moved"
    for processes, devices, step in ways:
        mesh = [f"--mesh=data:{processes * devices}"] if processes * devices > 1 else []
        if step is None:
            finished(folder, processes, *mesh, devices=devices, workdir=workdir)
            continue
        with group(
            folder,
            processes,
            *mesh,
            "--checkpoint_every=5",
            devices=devices,
            workdir=workdir,
        ) as run:
            wait_for(folder / workdir / "checkpoints" / "last", step, run)
            run.processes[0].send_signal(signal.SIGTERM)
            assert set(run.wait(MINUTE)) == {143}
    for ours, theirs in zip(numbers(folder / workdir), one, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-6)


def refused(folder, flags, sentence, devices=1):
    """The processes end with code 2, and one of them with the sentence."""
    with Group(folder, flags, devices) as run:
        assert set(run.wait(MINUTE)) == {2}
        assert any(sentence in line for line in run.last_lines()), run.last_lines()
        for line in run.last_lines():
            assert line.startswith("error: ")


def meeting(folder, *each, port=None):
    """Flags of processes that meet."""
    where = f"--coordinator=127.0.0.1:{port or free_port()}"
    corpus, workdir = f"--corpus={folder / 'text'}", f"--workdir={folder / 'meeting'}"
    return [[corpus, workdir, *SMALL, where, *flags] for flags in each]


def test_nobody_answers(folder):
    flags = ("--num_processes=2", "--process_id=1", "--connect_seconds=2")
    port = free_port()
    sentence = f"nobody answered at --coordinator=127.0.0.1:{port} in time"
    refused(folder, meeting(folder, flags, port=port), sentence)


def test_nobody_comes(folder):
    flags = ("--num_processes=3", "--process_id=0", "--connect_seconds=2")
    refused(folder, meeting(folder, flags), "process 1, 2 did not connect in time")


def test_a_number_is_there_twice(folder):
    others = ("--num_processes=3", "--process_id=1")
    flags = meeting(folder, ("--num_processes=3",), others, others)
    refused(folder, flags, "process 1 was started twice")


@pytest.mark.parametrize(
    ("flag", "sentence"),
    [
        ("--num_processes=3", "process 1 has --num_processes=3, but process 0 has 2"),
        ("--hidden_size=9", "process 1 has --hidden_size=9, but process 0 has 8"),
        ("--seed=1", "process 1 has --seed=1, but process 0 has 0"),
        ("--mesh=data:1", "process 1 has --mesh=['data:1'], but process 0 has None"),
        ("--keep_last=7", "process 1 has --keep_last=7, but process 0 has 2"),
        ("--divergence=0", "process 1 has --divergence=0.0, but process 0 has 10.0"),
    ],
)
def test_processes_with_other_flags_are_refused(folder, flag, sentence):
    flags = ("--num_processes=2",), ("--num_processes=2", "--process_id=1", flag)
    refused(folder, meeting(folder, *flags), sentence)


def test_a_workdir_that_is_not_shared_is_refused(folder):
    flags = meeting(
        folder,
        ("--num_processes=2",),
        ("--num_processes=2", "--process_id=1", f"--workdir={folder / 'other'}"),
    )
    refused(folder, flags, "other is not the same folder for this process as for")


@pytest.mark.parametrize(
    ("flag", "sentence"),
    [
        ("--coordinator=localhost", "host:port was expected"),
        ("--coordinator=localhost:99999", "host:port was expected"),
        ("--coordinator=no.such.host.invalid:99", "there is no such host"),
        ("--process_id=2", "--process_id=2 does not exist among --num_processes=2"),
    ],
)
def test_addresses_and_numbers_that_do_not_exist(folder, flag, sentence):
    flags = ("--num_processes=2", "--process_id=1", "--connect_seconds=3", flag)
    refused(folder, meeting(folder, flags), sentence)


def test_a_port_that_is_taken(folder):
    with socket.create_server(("", 0)) as server:
        flags = meeting(folder, ("--num_processes=2",), port=server.getsockname()[1])
        refused(folder, flags, "this process cannot listen at port ")


def test_other_data_are_refused(folder):
    """The same path may be another file on each machine."""
    for number in (0, 1):
        (folder / "machines" / str(number)).mkdir(parents=True)
        path = folder / "machines" / str(number) / "text"
        path.write_text(f"text of machine {number}\n" * 300)
    flags = ("--corpus=text", f"--workdir={folder / 'data'}", *SMALL)
    each = [[f"folder={folder / 'machines'}", *own] for own in flags_of_each(2, *flags)]
    with Group(folder, each, module="tests.devices.disturbed") as run:
        assert run.wait(MINUTE) == [2, 2], run.last_lines()
        sentence = "this process has other data than process 0: their sha256 is"
        first, second = run.last_lines()
        assert second.startswith(f"error: {sentence}")
        assert first.startswith(f"error: process 1: {sentence}")


def test_a_run_of_several_processes_is_evaluated_by_one(folder, undisturbed):
    flags = [f"--workdir={folder / 'undisturbed'}", "--mode=evaluate"]
    with Group(folder / "evaluated", [flags]) as run:
        assert run.wait(MINUTE) == [0], run.last_lines()


@pytest.mark.parametrize("number", [0, 1])
def test_a_signal_before_training_ends_all(folder, number):
    """While they compile: all with a signal's exit code."""
    with group(folder, 2, *LONG, "--hidden_size=300", workdir=f"early{number}") as run:
        wait_until_they_meet(folder / f"early{number}")
        run.processes[number].send_signal(signal.SIGTERM)
        assert run.wait(MINUTE) == [143, 143], run.last_lines()
        for line in run.last_lines():
            assert line.startswith("interrupted: "), line


def wait_until_they_meet(workdir):
    """Until process 0 has the folder."""
    end = time.monotonic() + MINUTE
    while not (workdir / "flags.txt").exists():
        assert time.monotonic() < end
        time.sleep(0.005)


def test_an_unexpected_error_of_one_process_ends_all(folder):
    """With its traceback, and within a minute."""
    flags = (f"--corpus={folder / 'text'}", f"--workdir={folder / 'wrong'}", *SMALL)
    each = [["error", *own] for own in flags_of_each(2, *flags)]
    with Group(folder, each, module="tests.devices.disturbed") as run:
        assert run.wait(MINUTE) == [2, 1], run.last_lines()
        assert run.last_lines()[0].startswith("error: process 1 has ended")
        assert run.last_lines()[1] == "KeyError: 'a fault of the program'"


def test_the_lock_is_of_process_0(folder):
    with group(folder, 2, *LONG, workdir="locked") as run:
        wait_for(folder / "locked" / "checkpoints" / "last", 100, run)
        flags = [
            f"--corpus={folder / 'text'}",
            f"--workdir={folder / 'locked'}",
            *SMALL,
            *LONG,
        ]
        number = run.processes[0].pid
        sentence = f"process {number} on {platform.node()} is training in"
        (folder / "second").mkdir()
        refused(folder / "second", [flags], sentence)
