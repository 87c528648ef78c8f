"""Signals to a process of its own, whatever it does: code, time, and one line."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from experiments.common import interrupts

ROOT = Path(__file__).parents[3]
NOTHING = b"interrupted: nothing was saved; the same command starts again.\n"
MOMENT = 20.0  # seconds within which a process ends, on a busy machine
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
BUSY = {  # what the main thread does when the signal comes
    "computes": "while True: pass",
    "waits": "time.sleep(60)",
    "is in C without the lock": "hashlib.pbkdf2_hmac('sha256', b'', b'', 10**9)",
    "swallows exceptions": """
while True:
    try: time.sleep(0.01)
    except BaseException: pass""",
    "reads": "sys.stdin.read()",
    "prints into a full pipe": "while True: print('x' * 1000)",
    "waits for a thread": "threading.Event().wait()",
    "imports": "sys.path.insert(0, 'folder'); __import__('slow')",
}


@pytest.fixture(autouse=True)
def usual_signals():
    """Python's handlers, also where a shell or nohup has turned a signal off.

    Processes inherit signals that are turned off.
    """
    usual = dict.fromkeys(SIGNALS, signal.SIG_DFL)
    usual[signal.SIGINT] = signal.default_int_handler
    before = {number: signal.signal(number, usual[number]) for number in usual}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def start():
    """`_start`, whose processes and pipes are closed after the test."""
    with contextlib.ExitStack() as opened:

        def start(*args, **options):
            process = opened.enter_context(_start(*args, **options))
            opened.callback(process.kill)
            return process

        yield start


def _start(code, *before, cwd=ROOT, **options):
    """A process that installs the handlers, says so, and runs `code`."""
    head = (
        "import hashlib, os, sys, threading, time\n"
        "from experiments.common import interrupts\n"
        "interrupts.install()\n"
        "os.write(2, b'ready\\n')\n"
    )
    process = subprocess.Popen(
        [*before, sys.executable, "-c", head + code],
        cwd=cwd,
        env=os.environ | {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": ""},
        **{
            **{"stdin": subprocess.PIPE, "stdout": subprocess.PIPE},
            **{"stderr": subprocess.PIPE},
        }
        | options,
    )
    assert process.stderr.readline() == b"ready\n"
    return process


def ended(process, number=signal.SIGINT):
    """(exit code, stderr) after a signal, within a moment."""
    time.sleep(0.1)
    process.send_signal(number)
    process.wait(MOMENT)
    return process.returncode, process.stderr.read()


@pytest.mark.parametrize("code", BUSY.values(), ids=BUSY)
def test_a_process_ends_whatever_it_does(start, code, tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "slow.py").write_text("import time\ntime.sleep(60)")
    assert ended(start(code, cwd=tmp_path)) == (130, NOTHING)


@pytest.mark.parametrize("number", SIGNALS, ids=[s.name for s in SIGNALS])
def test_the_exit_code_tells_the_signal(start, number):
    assert ended(start("time.sleep(60)"), number) == (128 + number, NOTHING)


def test_a_signal_that_is_turned_off_stays_off(start):
    process = start("time.sleep(0.5); print('done')", "nohup")
    process.send_signal(signal.SIGHUP)
    assert process.wait(MOMENT) == 0
    assert process.stdout.read() == b"done\n"


STEPS = """
interrupts.keep("the last step is saved")
step = 0
while True:
    with interrupts.held():
        {work}
        step += 1
        if interrupts.requested():
            time.sleep({save})
            interrupts.keep(f"step {{step}} is saved")
            open("saved", "w").write(str(step))
"""
LEAVE = """
try:
    exec(steps)
except KeyboardInterrupt:
    print("closed")
    interrupts.leave()
"""


def steps(work, save=0.0):
    return f"steps = {STEPS.format(work=work, save=save)!r}\n{LEAVE}"


@pytest.mark.parametrize("save", [0.0, 0.7])
def test_a_step_is_finished_and_saved(start, tmp_path, save):
    process = start(steps("time.sleep(0.3)", save), cwd=tmp_path)
    code, err = ended(process)
    step = (tmp_path / "saved").read_text()
    assert (code, err) == (130, f"interrupted: step {step} is saved.\n".encode())
    assert process.stdout.read() == b"closed\n"


def test_a_signal_that_is_sent_twice_at_once_is_one(start, tmp_path):
    """As `timeout` sends it, to the process and to its group."""
    process = start(steps("time.sleep(0.3)", 0.3), cwd=tmp_path)
    process.send_signal(signal.SIGINT)
    code, err = ended(process)
    step = (tmp_path / "saved").read_text()
    assert (code, err) == (130, f"interrupted: step {step} is saved.\n".encode())


def test_a_second_signal_does_not_wait_for_the_step(start, tmp_path):
    process = start(steps("time.sleep(60)"), cwd=tmp_path)
    process.send_signal(signal.SIGINT)
    time.sleep(0.8)
    assert process.poll() is None
    assert ended(process) == (130, b"interrupted: the last step is saved.\n")
    assert not (tmp_path / "saved").exists()


def test_a_step_that_takes_too_long_is_not_waited_for(start, tmp_path):
    code = "interrupts.PATIENCE = 0.5\n" + steps("time.sleep(60)")
    found = ended(start(code, cwd=tmp_path))
    assert found == (130, b"interrupted: the last step is saved.\n")


@pytest.mark.parametrize("takes", [0.5, 60.0])
def test_a_save_in_another_thread_is_waited_for_a_moment(start, tmp_path, takes):
    code = (
        "interrupts.PATIENCE = 2\n"
        f"def save():\n    time.sleep({takes})\n    interrupts.keep('all is saved')\n"
        "threading.Thread(target=interrupts.awaited(save), daemon=True).start()\n"
        "time.sleep(60)"
    )
    kept = b"all is saved" if takes < 2 else NOTHING.removeprefix(b"interrupted: ")[:-2]
    found = ended(start(code, cwd=tmp_path))
    assert found == (130, b"interrupted: %b.\n" % kept)


def test_many_signals_are_one(start, tmp_path):
    """A user who presses Ctrl-C again and again, as the process ends."""
    process = start(steps("time.sleep(0.01)", save=0.05), cwd=tmp_path)
    while process.poll() is None:
        process.send_signal(signal.SIGINT)
        time.sleep(0.01)
    assert process.returncode == 130
    assert process.stderr.read().count(b"\n") == 1


def test_no_gap_between_two_steps_loses_them(start, tmp_path):
    """Short steps: a signal comes between two of them as often as within."""
    for _ in range(5):
        process = start(steps("time.sleep(1e-4)"), cwd=tmp_path)
        code, err = ended(process)
        step = (tmp_path / "saved").read_text()
        assert (code, err) == (130, f"interrupted: step {step} is saved.\n".encode())
        (tmp_path / "saved").unlink()


def test_readers_and_terminals_that_are_gone_do_not_matter(start):
    read, write = os.pipe()
    process = start("print('x'); time.sleep(60)", stdout=write)
    os.close(read), os.close(write)
    assert ended(process) == (130, NOTHING)


def test_what_was_printed_is_not_lost(start):
    process = start("print('printed'); time.sleep(60)")
    ended(process)
    assert process.stdout.read() == b"printed\n"


def test_in_a_notebook_a_step_is_finished_before_keyboard_interrupt():
    """Where `install` was not called, and Python's own handler returns afterwards."""
    main, saved = threading.main_thread().ident, []
    with pytest.raises(KeyboardInterrupt):
        for _ in range(100):
            with interrupts.held():
                signal.pthread_kill(main, signal.SIGINT)
                saved.append("whole")
                if interrupts.requested():
                    saved.append("saved")
    assert saved == ["whole", "saved"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert not interrupts.requested()


def test_in_a_notebook_a_second_interrupt_cuts_the_step():
    main = threading.main_thread().ident
    with pytest.raises(KeyboardInterrupt), interrupts.held():
        signal.pthread_kill(main, signal.SIGINT)
        signal.pthread_kill(main, signal.SIGINT)
        raise AssertionError("the step went on")
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert not interrupts.requested()
