"""Ctrl-C and SIGTERM: a command ends within a moment and says what is saved.

Python runs a signal handler between two bytecodes of the main thread, which may be
within one compilation for a minute, and an exception there leaves the threads of XLA
behind, which crash when the interpreter ends. A thread of its own therefore receives
the signals, prints a line and ends the process. It waits for the main thread only while
that is in `held`, where training saves at its next step before it ends.

Only the standard library is imported here: the thread starts before jax is loaded.
"""

import contextlib
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, ClassVar, NoReturn

SIGNALS = tuple(
    getattr(signal, name)
    for name in ("SIGINT", "SIGTERM", "SIGHUP")
    if hasattr(signal, name)
)
ECHO = 0.5  # seconds within which another signal is the same one, sent twice
GAP = 0.05  # seconds, at most, between a `held` and the next
PATIENCE = 8.0  # seconds that the thread waits for the next step; Docker kills after 10
NOTHING = "nothing was saved; the same command starts again"
SHOW_CURSOR = "\x1b[?25h"


class _State:
    """What the two threads share."""

    kept = NOTHING
    installed = False
    received: int | None = None  # the first signal
    is_held = False
    tasks: ClassVar[set[object]] = set()  # of other threads, that are waited for
    farewell: Callable[[], object] = lambda: None
    is_saving = False  # the main thread has seen the signal, and will end the process
    leaving = threading.Lock()  # held by the thread that ends the process


def keep(sentence: str) -> None:
    """Set what the closing line says: what is saved, and how to go on."""
    _State.kept = sentence


def kept() -> str | None:
    """What is saved, and how to go on; None if it is nothing."""
    return None if _State.kept == NOTHING else _State.kept


def requested() -> bool:
    """Whether a signal has come; within `held`, the caller saves before it leaves."""
    if _State.received is None:
        return False
    _State.is_saving = True
    return True


def before_leaving(farewell: Callable[[], object]) -> None:
    """Set what this process does last before a signal ends it."""
    _State.farewell = staticmethod(farewell)


@contextlib.contextmanager
def held() -> Iterator[None]:
    """A block that saves if a signal is `requested`, and is not cut before that.

    The block then ends with KeyboardInterrupt. So it does in a notebook, where
    `install` is not called and Python's own handler returns after the block.
    """
    if _State.is_held:  # within another block, which ends with the exception
        yield
        return
    before: Any = None
    if not _State.installed and threading.current_thread() is threading.main_thread():
        before = signal.getsignal(signal.SIGINT)
    borrowed = before is signal.default_int_handler
    if borrowed:
        signal.signal(signal.SIGINT, _receive)
    _State.is_held = True
    try:
        yield
    finally:
        _State.is_held = False
        ends = _State.is_saving if _State.installed else _State.received is not None
        if borrowed:
            signal.signal(signal.SIGINT, before)
            _State.received, _State.is_saving = None, False
    if ends:
        raise KeyboardInterrupt


def awaited(task: Callable[[], object]) -> Callable[[], None]:
    """A task for another thread, such as a save, which a signal does not cut.

    The process waits for it as it waits for the next step.
    """
    token = object()
    _State.tasks.add(token)

    def run() -> None:
        try:
            task()
        finally:
            _State.tasks.discard(token)

    return run


def _receive(signum: int, frame: Any) -> None:
    del frame
    if _State.received is not None and not _State.installed:  # a second Ctrl-C
        raise KeyboardInterrupt
    _State.received = _State.received or signum


def install() -> None:
    """Start the thread that ends this process after a signal; from the main thread.

    A signal that the parent process has turned off, as nohup does, stays off.
    """
    if _State.installed:
        return
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    signal.set_wakeup_fd(theirs.fileno(), warn_on_full_buffer=False)
    for number in SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _receive)
    _State.installed = True
    # The thread keeps both ends: a socket that is collected would be closed.
    threading.Thread(target=_watch, args=(ours, theirs), daemon=True).start()


def _watch(ours: socket.socket, theirs: socket.socket) -> None:
    """Wait for a signal, then for the main thread if it can save, and leave."""
    del theirs
    _State.received = _next_signal(ours, None)
    begin = time.monotonic()
    while True:
        again, took = _next_signal(ours, 0.05), time.monotonic() - begin
        if again is not None and took > ECHO:
            break
        is_busy = _State.is_held or bool(_State.tasks)
        waits = _State.is_saving or (is_busy and took < PATIENCE)
        if not waits and took > GAP:
            break
    leave()


def _next_signal(ours: socket.socket, seconds: float | None) -> int | None:
    """The number of the next signal; None after so many seconds."""
    ours.settimeout(seconds)
    try:
        while (number := ours.recv(1)[0]) not in SIGNALS:
            pass
    except TimeoutError:
        return None
    return number


def leave() -> NoReturn:
    """Print the closing line and end the process, without the end of the interpreter.

    Raises:
      SystemExit: instead, in a process that does not call `install`.
    """
    if not _State.installed:
        _last_words()
        sys.exit(128 + signal.SIGINT)
    if not _State.leaving.acquire(blocking=False):
        threading.Event().wait()  # the other thread ends the process
    # The main thread may hold the lock of a stream whose reader waits: no more than
    # a moment for what is still in the buffers.
    last_words = threading.Thread(target=_last_words, daemon=True)
    last_words.start()
    last_words.join(1.0)
    _State.farewell()
    os._exit(128 + int(_State.received or signal.SIGINT))


def pass_on() -> None:
    """Receive a signal that ends another process, from any thread."""
    os.kill(os.getpid(), signal.SIGTERM)


def receive(signum: int = signal.SIGTERM) -> NoReturn:
    """Leave as after a signal, which another process has received."""
    _State.received = _State.received or signum
    leave()


def stop(text: str, code: int) -> NoReturn:
    """Print a text and end the process at once, from any thread."""
    if not _State.leaving.acquire(blocking=False):
        threading.Event().wait()  # another thread ends the process
    with contextlib.suppress(OSError):
        os.write(2, text.encode())
    os._exit(code)


def _last_words() -> None:
    for write in (_closing_line, sys.stdout.flush):
        with contextlib.suppress(Exception):  # a terminal or a reader that is gone
            write()


def _closing_line() -> None:
    text = f"interrupted: {_State.kept}.\n"
    if not _State.installed:
        sys.stderr.write(text)
        return
    before = f"\r{SHOW_CURSOR}" if sys.stderr.isatty() else ""
    # Not through the stream, whose lock the main thread may hold.
    os.write(sys.stderr.fileno(), f"{before}{text}".encode())


def end_if_requested() -> None:
    """Leave if a signal has come meanwhile, so that its exit code is kept."""
    if _State.installed and _State.received is not None:
        leave()
