"""Several processes that train together: how they meet, agree and part.

The processes first meet at the address of process 0 by plain sockets, where a mistake
is one sentence; `jax.distributed` would abort. The sockets stay open: a process whose
peer ends without a word ends with a sentence, too. Under Slurm, under Open MPI and on
TPUs `jax.distributed` finds the processes by itself.
"""

import contextlib
import dataclasses
import json
import os
import socket
import threading
import time
import zlib
from collections.abc import Sequence
from typing import Any, ClassVar, NoReturn

import jax
import numpy as np
from jax.experimental import multihost_utils

from experiments.common import interrupts
from experiments.common.errors import UserError
from experiments.common.settings import Settings, setting

HEARTBEAT = 40  # seconds without a sign of life until jax ends a process
GRACE = 5.0  # seconds for a word of a peer, and for the reason of an error
CLUSTERS = ("SLURM_NTASKS", "OMPI_COMM_WORLD_SIZE")  # their numbers of processes
# This process ends well, by a signal, or by an error whose sentence follows.
GOODBYE, SIGNALED, FAILED = b".", b"!", b"?"
# Settings that may differ from process to process, and from one start to the next.
OF_ONE_START = ("coordinator", "num_processes", "process_id", "connect_seconds")


@dataclasses.dataclass(frozen=True)
class ProcessConfig(Settings):
    """Several processes, on one machine or on several."""

    coordinator: str | None = setting(
        None,
        "Address of process 0, host:port, where several processes meet; none is needed "
        "for a single process, under Slurm or Open MPI and on TPUs.",
        resumable=True,
    )
    num_processes: int = setting(
        1, "Number of processes that meet at --coordinator.", minimum=1, resumable=True
    )
    process_id: int = setting(
        0, "Number of this process, from 0.", minimum=0, resumable=True
    )
    connect_seconds: float = setting(
        60.0,
        "Number of seconds to wait for the other processes at the start.",
        minimum=1,
        resumable=True,
    )

    def check(self) -> None:
        if self.process_id >= self.num_processes:
            raise UserError(
                f"--process_id={self.process_id} does not exist among "
                f"--num_processes={self.num_processes}, which are numbered from 0."
            )
        if self.num_processes > 1 and not self.coordinator:
            raise UserError(
                f"--num_processes={self.num_processes} needs --coordinator."
            )
        if self.coordinator is not None:
            _address(self.coordinator)


class _Group:
    """This process among the others."""

    index, count = 0, 1
    # To process 0, or of process 0 to all others, by their numbers.
    sockets: ClassVar[dict[int, socket.socket]] = {}
    parting = False


def several() -> bool:
    """Whether this process is one of several."""
    return _Group.count > 1


def is_first() -> bool:
    """Whether this process writes and prints for all."""
    return _Group.index == 0


def start(config: ProcessConfig, settings: dict[str, Any]) -> None:
    """Let this process meet the others, before jax is used.

    Args:
      config: how they meet.
      settings: flags that must be the same in all processes.

    Raises:
      UserError: if a process is missing, there twice, or has other flags.
    """
    # The service would take SIGTERM away from `interrupts`, in phases that never ask
    # it, and knows no Ctrl-C; `greatest` lets the processes agree instead.
    jax.config.update("jax_enable_preemption_service", False)
    if config.num_processes > 1 and config.coordinator is not None:
        _meet(config, settings)
        interrupts.before_leaving(lambda: part(SIGNALED))
        threading.Thread(target=_watch, daemon=True).start()
        jax.distributed.initialize(
            config.coordinator,
            config.num_processes,
            config.process_id,
            heartbeat_timeout_seconds=HEARTBEAT,
        )
    elif _in_cluster():
        jax.distributed.initialize(heartbeat_timeout_seconds=HEARTBEAT)
    else:
        return
    _Group.index, _Group.count = jax.process_index(), jax.process_count()
    if not is_first():  # process 0 prints for all
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def _in_cluster() -> bool:
    hosts = os.environ.get("TPU_WORKER_HOSTNAMES", "")
    return "," in hosts or any(int(os.environ.get(n, 1)) > 1 for n in CLUSTERS)


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 2**16:
        raise UserError(f"--coordinator={text}: host:port was expected.")
    return host.removeprefix("[").removesuffix("]"), int(port)


def _meet(config: ProcessConfig, settings: dict[str, Any]) -> None:
    """Open the sockets, and compare the flags."""
    assert config.coordinator is not None
    address, deadline = (
        _address(config.coordinator),
        time.monotonic() + config.connect_seconds,
    )
    mine = {"count": config.num_processes, "flags": settings}
    try:
        if config.process_id == 0:
            socket.getaddrinfo(*address)
            _welcome(address[1], deadline, mine)
        else:
            _join(address, deadline, config.process_id, mine)
    except socket.gaierror:
        raise UserError(
            f"--coordinator={config.coordinator}: there is no such host."
        ) from None


def _welcome(port: int, deadline: float, mine: dict[str, Any]) -> None:
    """Process 0: wait for all others, and tell them that all are there.

    It listens at all its addresses: its own name is often one that only it can reach.
    """
    peers = _Group.sockets
    try:
        if socket.has_dualstack_ipv6():
            family: Any = socket.AF_INET6
            server = socket.create_server(
                ("", port), family=family, dualstack_ipv6=True
            )
        else:
            server = socket.create_server(("", port))
    except OSError as error:
        raise UserError(
            f"--coordinator: this process cannot listen at port {port}: "
            f"{error.strerror}."
        ) from None
    with server:
        while len(peers) + 1 < mine["count"]:
            server.settimeout(max(0.01, deadline - time.monotonic()))
            try:
                peer, _ = server.accept()
            except TimeoutError:
                missing = sorted(set(range(1, mine["count"])) - peers.keys())
                listed = ", ".join(map(str, missing))
                _refuse(f"process {listed} did not connect in time.")
            with contextlib.suppress(OSError, ValueError, KeyError):  # not one of ours
                peer.settimeout(GRACE)
                theirs = json.loads(peer.makefile().readline())
                number = int(theirs["number"])
                twice = peers.get(number)
                peers[-1 if twice else number] = peer
                if twice:
                    _refuse(f"process {number} was started twice.")
                _compare(number, theirs, mine)
    _tell({})


def _join(
    address: tuple[str, int], deadline: float, number: int, mine: dict[str, Any]
) -> None:
    """Another process: find process 0, and wait until all are there."""
    where = f"{address[0]}:{address[1]}"
    while True:
        try:
            first = socket.create_connection(address, deadline - time.monotonic())
            break
        except socket.gaierror:
            raise
        except (OSError, ValueError):  # process 0 is not there yet
            if time.monotonic() + 0.2 > deadline:
                raise UserError(
                    f"nobody answered at --coordinator={where} in time; is process 0 "
                    f"running there?"
                ) from None
            time.sleep(0.1)
    _Group.sockets[0] = first
    try:
        first.settimeout(max(1.0, deadline + 5 - time.monotonic()))
        first.sendall((json.dumps({"number": number, **mine}) + "\n").encode())
        answer = json.loads(first.makefile().readline())
    except (OSError, ValueError):
        raise UserError(f"process 0 at {where} ended before all were there.") from None
    if "error" in answer:
        raise UserError(answer["error"])


def _compare(number: int, theirs: dict[str, Any], mine: dict[str, Any]) -> None:
    if theirs["count"] != mine["count"]:
        _refuse(
            f"process {number} has --num_processes={theirs['count']}, but process 0 "
            f"has {mine['count']}."
        )
    for name, value in mine["flags"].items():
        if theirs["flags"].get(name) != value:
            _refuse(
                f"process {number} has --{name}={theirs['flags'].get(name)}, but "
                f"process 0 has {value}."
            )


def _refuse(sentence: str) -> NoReturn:
    _tell({"error": sentence})
    raise UserError(sentence)


def _tell(message: dict[str, str]) -> None:
    for peer in _Group.sockets.values():
        with contextlib.suppress(OSError):
            peer.sendall((json.dumps(message) + "\n").encode())


def _watch() -> None:
    """End this process when a peer has ended without a goodbye."""
    for number, peer in _Group.sockets.items():
        peer.settimeout(None)
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in (("TCP_KEEPIDLE", 10), ("TCP_KEEPINTVL", 5)):
            if hasattr(socket, name):
                peer.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
        threading.Thread(target=_listen, args=(number, peer), daemon=True).start()


def _listen(number: int, peer: socket.socket) -> None:
    try:
        word = peer.recv(1)
    except OSError:
        word = b""
    if _Group.parting or word == GOODBYE:
        return
    if word == SIGNALED:
        interrupts.pass_on()
    elif word == FAILED:
        with contextlib.suppress(OSError):
            sentence = peer.makefile().readline().strip()
        explain(sentence)
        interrupts.stop(f"error: process {number}: {sentence}\n", code=2)
    else:
        interrupts.stop(
            f"error: process {number} has ended; start all again, and they go on from "
            f"the last checkpoint.\n",
            code=2,
        )


def explain(sentence: str) -> None:
    """Tell the other processes of the error that ends this one."""
    part(FAILED + sentence.replace("\n", " ").encode() + b"\n")


def wait_for_an_explanation() -> None:
    """After an error of jax: wait a moment for `_listen` to name its cause."""
    if _Group.sockets:
        time.sleep(GRACE)


def part(word: bytes = GOODBYE) -> None:
    """Say goodbye: the others go on, or end for reasons of their own; once."""
    if _Group.parting:
        return
    _Group.parting = True
    for peer in _Group.sockets.values():
        with contextlib.suppress(OSError):
            peer.sendall(word)


def greatest(values: Sequence[float]) -> list[float]:
    """The greatest of the values of all processes, one by one; all call this."""
    return [float(value) for value in np.max(_of_all(values), axis=0)]


def of_first(values: Sequence[float]) -> list[float]:
    """The values that process 0 has; all call this."""
    return [float(value) for value in _of_all(values)[0]]


def agree(text: str) -> bool:
    """Whether this process has the text that process 0 has; all call this."""
    mine = [float(zlib.crc32(text.encode()))]
    return of_first(mine) == mine


def wait() -> None:
    """Wait until all processes are here."""
    _of_all([0.0])


def _of_all(values: Sequence[float]) -> np.ndarray:
    """The values of every process, [processes, values]."""
    mine = np.asarray(values, np.float64)
    if not several():
        return mine[None]
    # As integers, because jax would round them to float32.
    found = multihost_utils.process_allgather(mine.view(np.uint32))
    return np.asarray(found).view(np.float64)
