"""The thread that saves: its order, and errors that are never lost."""

import threading

import pytest

from seqjax.checkpoint import Writer


@pytest.fixture
def writer():
    writer = Writer()
    yield writer
    writer.close()


def test_tasks_run_in_their_order_and_submit_does_not_wait(writer):
    gate, done = threading.Event(), []
    writer.submit(gate.wait)
    for number in range(20):
        writer.submit(lambda number=number: done.append(number))
    assert done == []
    gate.set()
    writer.wait()
    assert done == list(range(20))


@pytest.mark.parametrize("again", ["submit", "check", "wait"])
def test_an_error_is_raised_by_whatever_comes_next_and_ends_the_work(writer, again):
    done = []

    def fail():
        raise OSError(28, "No space left on device", "checkpoints/7")

    writer.submit(fail)
    writer.submit(lambda: done.append(1)) if again == "later" else None
    writer.close()
    for _ in range(2):  # again and again
        with pytest.raises(OSError, match="No space left"):
            writer.submit(print) if again == "submit" else getattr(writer, again)()
    assert done == []


def test_what_was_submitted_after_a_failed_task_is_not_run(writer):
    gate, done = threading.Event(), []

    def fail():
        gate.wait()
        raise KeyboardInterrupt

    writer.submit(fail)
    writer.submit(lambda: done.append(1))
    gate.set()
    with pytest.raises(KeyboardInterrupt):
        writer.wait()
    assert done == []


def test_nothing_was_submitted(writer):
    writer.check()
    writer.wait()
