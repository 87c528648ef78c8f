"""A command from the command line: absl flags from settings, launch, mistakes.

This is the only module that knows `absl.flags`, and only entry modules import it. A
mistake of the user is one sentence on stderr and exit code 2.
"""

import contextlib
import ctypes
import json
import os
import re
import signal
import sys
import textwrap
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import jax
import pooch
from absl import flags

from experiments.common import activity, interrupts, processes
from experiments.common.console import note
from experiments.common.errors import UserError
from experiments.common.flag_files import expand
from experiments.common.settings import Settings, entries, shown
from seqjax.checkpoint import CheckpointError
from seqjax.data.names import nearest, unknown_name
from seqjax.data.text import DataError

REASONS = {  # what Python says of a value, and what is meant
    r"invalid literal for int\(\).*": "a whole number was expected.",
    r"could not convert string to float.*": "a number was expected.",
    r"\('Non-boolean argument.*": "true or false was expected.",
}
Modes = Mapping[str, Callable[[Any], Any]]


def launch(
    description: str | None,
    config_class: type[Settings],
    modes: Modes,
    argv: Sequence[str] | None = None,
    input_modes: Sequence[str] = (),
) -> None:
    """Run a command: build its config from flags and call the function of its mode.

    Modes other than the first use a trained run: the flags of its flags.txt hold unless
    the command line gives others.

    Args:
      description: the docstring of the entry module, shown by --help.
      config_class: the command's config.
      modes: the functions of --mode by name, the default one first; with a single mode
        there is no such flag.
      argv: the arguments after the program's name; None is sys.argv[1:].
      input_modes: the modes that read --input; it is refused in others.

    Raises:
      SystemExit: with code 2 after a mistake of the user, 130 after Ctrl-C.
    """
    if argv is None:  # a process of our own
        interrupts.install()
        activity.start()
    _prepare_output()
    argv = list(sys.argv[1:] if argv is None else argv)
    with exit_on_mistakes():
        mode, config = parse(description, config_class, modes, argv)
        given = {entry.name: entry.value for entry in entries(config)}
        if given.get("input") is not None and mode not in input_modes:
            raise UserError(
                f"--input is read in --mode={' or '.join(input_modes)}, not in {mode}."
            )
        _start_processes(config)
        _use_compilation_cache()
        _keep_freed_memory()
        activity.begin("the data" if mode == next(iter(modes)) else f"--mode={mode}")
        modes[mode](config)
    interrupts.end_if_requested()
    processes.part()


def parse(
    description: str | None,
    config_class: type[Settings],
    modes: Modes,
    argv: Sequence[str],
) -> tuple[str, Any]:
    """(mode, config) from the arguments of a command line.

    Raises:
      UserError: for an unknown flag or a value that is not allowed.
      SystemExit: with code 0 after --help.
    """
    values = _flag_values(config_class, modes)
    arguments = [a for a in argv if a not in ("--help", "-help", "-h", "--helpfull")]
    try:
        "".join(argv).encode()
        rest = values(["", *expand(arguments)])
        present = _present(values, config_class)
        first = next(iter(modes))
        mode = present.pop("mode", first)
        if mode not in modes:
            raise UserError(f"--mode: {unknown_name('mode', mode, list(modes))}")
        if len(arguments) < len(argv):
            _print_help(description, config_class.defaults(present), modes)
            sys.exit(0)
    except BrokenPipeError:  # of --help
        raise
    except UnicodeError:
        raise UserError("a flag contains bytes that are not UTF-8.") from None
    except flags.UnrecognizedFlagError as error:
        reason = unknown_name("flag", f"--{error.flagname}", _flag_names(values))
        hint = "" if reason.endswith("?") else " --help lists all flags."
        raise UserError(reason + hint) from None
    except (flags.Error, OSError, ValueError) as error:
        sentence = str(error).removeprefix("ERROR:: ").replace("\n", " ")
        for python, plain in REASONS.items():
            sentence = re.sub(python, plain, sentence)
        raise UserError(sentence) from None
    if rest[1:]:
        raise UserError(_unexpected(rest[1], _flag_names(values), modes))
    if mode != first:
        defaults = {entry.name: entry.value for entry in entries(config_class())}
        workdir = present.get("workdir", defaults["workdir"])
        if Path(workdir, "flags.txt").exists():
            return mode, config_class.of_run(**(present | {"workdir": workdir}))
    return mode, config_class.of(**present)


def _flag_names(values: flags.FlagValues) -> list[str]:
    """All flags as they are written."""
    off = [f"--no{name}" for name in values if values[name].boolean]
    return [*(f"--{name}" for name in values), *off, "--flagfile", "--help"]


def _unexpected(argument: str, names: Sequence[str], modes: Modes) -> str:
    """A sentence that an argument is neither a flag nor the value of one."""
    near = nearest(argument.partition("=")[0], names)
    if argument in modes and len(modes) > 1:
        near = [f"--mode={argument}"]
    hint = f"did you mean {near[0]}?" if near else "flags begin with --."
    return f"unexpected argument {argument!r}; {hint}"


def _flag_values(config_class: type[Settings], modes: Modes) -> flags.FlagValues:
    """The flags of a command, without values."""
    values = flags.FlagValues()
    define: dict[type, Callable[..., Any]] = {
        str: flags.DEFINE_string,
        int: flags.DEFINE_integer,
        float: flags.DEFINE_float,
        bool: flags.DEFINE_bool,
    }
    for entry in entries(config_class()):
        define_flag = flags.DEFINE_list if entry.is_tuple else define[entry.kind]
        define_flag(entry.name, None, entry.help, flag_values=values)
    if len(modes) > 1:
        flags.DEFINE_string("mode", None, "What to do.", flag_values=values)
    return values


def _present(values: flags.FlagValues, config_class: type[Settings]) -> dict[str, Any]:
    """The flags that are given, in the types of the settings."""
    kinds = {entry.name: entry.kind for entry in entries(config_class())}
    found = {}
    for name in values:
        value = values[name].value
        if values[name].present and value is not None:
            found[name] = value
            if isinstance(value, list):
                found[name] = tuple(_member(name, kinds[name], text) for text in value)
    return found


def _member(name: str, kind: type, text: str) -> Any:
    try:
        return kind(text)
    except ValueError:
        numbers = "whole numbers" if kind is int else "numbers"
        raise UserError(
            f"--{name} takes {numbers} joined by commas, got {text!r}."
        ) from None


def _print_help(description: str | None, config: Settings, modes: Modes) -> None:
    """The description and every flag with its default, part by part."""
    print((description or "").strip())
    if len(modes) > 1:
        print("\nCommand:")
        help = f"What to do. One of {', '.join(modes)}."
        _print_flag("--mode", help, next(iter(modes)))
    group = None
    for entry in entries(config):
        if entry.group != group:
            group = entry.group
            print(f"\n{(group or 'settings').replace('_', ' ').capitalize()}:")
        name = f"--[no]{entry.name}" if entry.kind is bool else f"--{entry.name}"
        help = entry.help
        if entry.choices:
            number = "Any" if entry.is_tuple else "One"
            help += f" {number} of {', '.join(entry.choices)}."
        _print_flag(name, help, shown(entry.value))


def _print_flag(name: str, help: str, default: str) -> None:
    text = textwrap.fill(help, 88, initial_indent=" " * 6, subsequent_indent=" " * 6)
    print(f"  {name}\n{text}\n      (default: {default!s})")


def _prepare_output() -> None:
    stream = sys.stdout
    if hasattr(stream, "reconfigure"):
        if stream.isatty():  # the terminal may lack some of our characters
            stream.reconfigure(errors="replace")
        else:
            stream.reconfigure(encoding="utf-8")


def _start_processes(config: Any) -> None:
    """Meet the other processes, where the settings name any."""
    devices = getattr(config, "devices", None)
    if devices is not None:
        own = (*processes.OF_ONE_START, "workdir", "data_dir")
        same = {e.name: e.value for e in entries(config) if e.name not in own}
        processes.start(devices, json.loads(json.dumps(same)))


@contextlib.contextmanager
def exit_on_mistakes() -> Iterator[None]:
    """A block that ends the process with one sentence for a mistake of the user."""
    with _ends_alone():
        try:
            yield
        except (UserError, DataError, CheckpointError) as error:
            _fail(error)
        except (MemoryError, OverflowError, jax.errors.JaxRuntimeError) as error:
            processes.wait_for_an_explanation()
            is_memory = "RESOURCE_EXHAUSTED" in str(error)
            if isinstance(error, RuntimeError) and not is_memory:
                _fail_of_all(error)
                raise
            _fail("there is not enough memory for these sizes; lower them.")
        except ValueError:  # so jax names a collective whose peer has ended
            processes.wait_for_an_explanation()
            raise
        except BrokenPipeError:  # the reader of our output has left
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            if (sentence := interrupts.kept()) is not None:
                note(f"stopped, since nobody reads the output: {sentence}.")
            _exit(128 + signal.SIGPIPE)
        except OSError as error:  # a full disk, a folder that was removed
            _fail(f"{error.filename or 'a file'}: {error.strerror}.")
        except KeyboardInterrupt:
            interrupts.leave()


@contextlib.contextmanager
def _ends_alone() -> Iterator[None]:
    """A block whose unexpected error ends one of several processes at once.

    The end of the interpreter would wait for the others, and they for this one.
    """
    try:
        yield
    except Exception:
        if not processes.several():
            raise
        traceback.print_exc()
        _exit(1)


def _fail_of_all(error: RuntimeError) -> None:
    """End one of several processes whose common computation failed."""
    if processes.several():
        reason = str(error).split("\n")[0]
        _fail(
            f"the processes have lost each other ({reason[:100]}); start all again, "
            f"and they go on from the last checkpoint."
        )


def _fail(error: object) -> NoReturn:
    note(f"error: {error}")
    processes.explain(str(error))
    _exit(2)


def _exit(code: int) -> NoReturn:
    """End the process; one of several at once."""
    if processes.several():
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


def _use_compilation_cache() -> None:
    """Keep compiled programs in the user's cache, so that a second start is quick."""
    # jax defines its settings at run time, where mypy does not see them.
    if jax.config.jax_compilation_cache_dir is None:  # type: ignore[attr-defined]
        cache = Path(pooch.os_cache("seqjax")) / "xla"
        jax.config.update("jax_compilation_cache_dir", str(cache))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)


# Parameters of glibc's mallopt (malloc.h) and their values here.
_MALLOPT = {
    -8: 1,  # M_ARENA_MAX: one arena
    -4: 0,  # M_MMAP_MAX: no mmap
    -1: 2**31 - 1,  # M_TRIM_THRESHOLD: never trim
}


def _keep_freed_memory() -> None:
    """Make glibc keep freed blocks: training steps gain a tenth or more.

    By default it returns large blocks to the system and maps them again, page by page,
    at every call.
    """
    libc = ctypes.CDLL(None) if os.name == "posix" else None
    mallopt = getattr(libc, "mallopt", None)
    if mallopt is not None:
        for parameter, value in _MALLOPT.items():
            mallopt(parameter, value)
