"""What a command does now, in words, and said again while nothing else is printed.

`begin` names it. In a process that calls `start`, a thread prints a line whenever
nothing was printed for SILENCE seconds. It says whether XLA is compiling.
"""

import contextlib
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import jax.monitoring

SILENCE = 7.5
# Events of jax: the first when a program is about to be compiled, or found in the cache
# of compiled programs, the others when parts of that are done.
COMPILE_BEGINS = "/jax/compilation_cache/compile_requests_use_cache"
LOWERED = "/jax/core/compile/jaxpr_to_mlir_module_duration"
COMPILED = "/jax/core/compile/backend_compile_duration"


class _Now:
    what: str | None = None  # None while the command waits for the user
    since = last_word = time.monotonic()
    compiling = 0  # programs
    compile_seconds = 0.0
    has_bar = False  # a progress bar on a terminal, which shows `described`


def begin(what: str | None) -> None:
    """Name what the command does from here on; None waits for the user."""
    if what != _Now.what:
        if _Now.what is None:
            word()  # of the user
        _Now.what, _Now.since = what, time.monotonic()


def word() -> None:
    """Take note that something was printed."""
    _Now.last_word = time.monotonic()


def described() -> str:
    """What the command does, for how long, and whether it compiles for it."""
    seconds = time.monotonic() - _Now.since
    compiling = "compiling, " if _Now.compiling else ""
    return f"{_Now.what}: {compiling}{seconds:.0f} s so far"


@contextlib.contextmanager
def compiling(what: str, say: Callable[[str], Any]) -> Iterator[None]:
    """Begin `what`, and say how long compiling took in the block if over a second."""
    begin(what)
    before = _Now.compile_seconds
    yield
    seconds = _Now.compile_seconds - before
    if seconds >= 1:
        say(f"compiling {what} took {seconds:.1f} s")


@contextlib.contextmanager
def bar() -> Iterator[None]:
    """A block in which a progress bar on the terminal shows `described`."""
    _Now.has_bar = True
    try:
        yield
    finally:
        _Now.has_bar = False


def start() -> None:
    """Print what the command does whenever it is silent, from now on."""
    begin("the start")
    sys.stdout, sys.stderr = _Heard(sys.stdout), _Heard(sys.stderr)
    threading.Thread(target=_break_silences, daemon=True).start()


def _break_silences() -> None:
    while True:
        time.sleep(0.25)
        silent = time.monotonic() - _Now.last_word >= SILENCE
        if silent and _Now.what is not None and not _Now.has_bar:
            with contextlib.suppress(OSError):  # a reader that is gone
                print(described(), file=sys.stderr, flush=True)


class _Heard:
    """A stream that takes note of what is written."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        word()
        return int(self._stream.write(text))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _on_event(event: str, **_: Any) -> None:
    if event == COMPILE_BEGINS:
        _Now.compiling += 1


def _on_duration(event: str, duration_secs: float, **_: Any) -> None:
    if event in (LOWERED, COMPILED):
        _Now.compile_seconds += duration_secs
    if event == COMPILED:
        _Now.compiling = max(0, _Now.compiling - 1)


jax.monitoring.register_event_listener(_on_event)
jax.monitoring.register_event_duration_secs_listener(_on_duration)
