"""Settings as values: frozen dataclasses, each field with a default, bounds and a help.

A command's config is a dataclass of parts, each of which is a `Settings`. Fields are
addressed by their own names, without the part: those names are the flags of the command
line and the arguments of `Settings.of`.
"""

import csv
import dataclasses
import io
import math
import numbers
import os
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from experiments.common.errors import UserError
from experiments.common.flag_files import flag_lines
from seqjax.data.names import unknown_name


def setting(
    default: Any,
    help: str,
    *,
    choices: Sequence[str] | None = None,
    minimum: float | None = None,
    maximum: float | None = None,
    resumable: bool = False,
    before: Any = None,
) -> Any:
    """A field of a `Settings` class.

    Args:
      default: the default value.
      help: one whole sentence that stands alone, such as "Number of hidden units.".
      choices: the names that a string may take.
      minimum, maximum: inclusive bounds of a number.
      resumable: whether the value may change when a run is started again.
      before: what runs had that were started before the setting existed, if that is not
        the default.
    """
    metadata = {
        "help": help,
        "choices": None if choices is None else tuple(choices),
        "minimum": minimum,
        "maximum": maximum,
        "resumable": resumable,
        "before": before,
    }
    return dataclasses.field(default=default, metadata=metadata)


class Entry(typing.NamedTuple):
    """One setting of a config with its present value."""

    name: str
    value: Any
    kind: type  # str, int, float or bool; of a tuple, that of its members
    is_tuple: bool
    is_optional: bool
    group: str  # the name of the part that holds it
    help: str
    choices: tuple[str, ...] | None
    resumable: bool
    before: Any


@dataclasses.dataclass(frozen=True)
class Settings:
    """Base of all settings; a field is a `setting` or, in a config, a part.

    Values are checked when an instance is made. Make a config by `of`, which also
    knows the defaults that depend on other settings.

    Raises:
      UserError: for a value of the wrong type, out of bounds, not among the choices or,
        where none need be given, empty.

    Example:
      >>> from experiments.language_model import Config
      >>> config = Config.of(hidden_size=512, corpus="my.txt")
      >>> config.model.hidden_size
      512
    """

    def __post_init__(self) -> None:
        hints = typing.get_type_hints(type(self))
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if not isinstance(value, Settings):
                value = _checked(field, hints[field.name], value)
                object.__setattr__(self, field.name, value)
        self.check()

    def check(self) -> None:
        """Refuse values that do not go together; overridden where there are any."""

    @classmethod
    def of(cls, **given: Any) -> Self:
        """The config with these values, by the names of the flags.

        Args:
          **given: settings of any part; all others take their defaults.

        Raises:
          UserError: for an unknown name or a value that is not allowed.
        """
        config = cls.defaults(given)
        names = [entry.name for entry in entries(config)]
        for name in given:
            if name not in names:
                raise UserError(unknown_name("setting", name, names))
        return config.replace(**given)

    @classmethod
    def of_run(cls, workdir: str | os.PathLike[str], **given: Any) -> Self:
        """The config of a run, from its flags.txt, changed by the settings given.

        Args:
          workdir: the folder of the run.
          **given: settings that differ, as for `of`.

        Raises:
          UserError: if the folder holds no flags.txt, or one that cannot be read.
        """
        path = Path(workdir, "flags.txt")
        if not path.exists():
            raise UserError(f"{workdir} holds no run.")
        stored = {e.name: e.before for e in entries(cls()) if e.before is not None}
        stored |= {**_parse_flags(cls(), path), "workdir": str(workdir)}
        try:
            cls.of(**stored)
        except UserError as error:
            raise UserError(f"{path}: {error}") from None
        return cls.of(**{**stored, **given})

    @classmethod
    def defaults(cls, given: Mapping[str, Any]) -> Self:
        """The defaults; overridden where some depend on others that are given."""
        del given
        return cls()

    def replace(self, **given: Any) -> Self:
        """A copy with other values, by the names of the flags."""
        changes: dict[str, Any] = {}
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if isinstance(value, Settings):
                names = {entry.name for entry in entries(value)}
                changed = {k: v for k, v in given.items() if k in names}
                if changed:
                    changes[field.name] = value.replace(**changed)
            elif field.name in given:
                changes[field.name] = given[field.name]
        return dataclasses.replace(self, **changes)


def entries(config: Settings, group: str = "") -> Iterator[Entry]:
    """All settings of a config, part by part."""
    hints = typing.get_type_hints(type(config))
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if isinstance(value, Settings):
            yield from entries(value, field.name)
        else:
            kind, is_tuple, is_optional = _kind(hints[field.name])
            meta = field.metadata
            yield Entry(
                field.name,
                value,
                kind,
                is_tuple,
                is_optional,
                group,
                meta["help"],
                meta["choices"],
                meta["resumable"],
                meta["before"],
            )


def flag_line(name: str, value: Any) -> str | None:
    """The line of a flag file that sets a value; None where there is none."""
    if value is None:
        return None
    if isinstance(value, bool):
        return f"--{name}" if value else f"--no{name}"
    if isinstance(value, tuple):
        value = joined(value)
    line = f"--{name}={value}"
    return None if "\n" in line or line.endswith("\r") else line


def _parse_flags(config: Settings, path: Path) -> dict[str, Any]:
    """The values that a flags.txt sets, in the types of the settings."""
    known, found = {entry.name: entry for entry in entries(config)}, {}
    for number, line in enumerate(flag_lines(path), 1):
        if not line.startswith("--"):
            continue
        name, equals, text = line.removeprefix("--").partition("=")
        is_off = not equals and name not in known
        name = name.removeprefix("no") if is_off else name
        if name not in known:
            reason = unknown_name("setting", name, list(known))
            raise UserError(f"{path}, line {number}: {reason}")
        try:
            found[name] = _parse(known[name], text if equals else None, is_off)
        except (ValueError, csv.Error):
            raise UserError(f"{path}, line {number} cannot be parsed.") from None
    return found


def _parse(entry: Entry, text: str | None, is_off: bool) -> Any:
    """The value that a line sets; its text is None for --NAME and --noNAME."""
    if (text is None) != (entry.kind is bool):
        raise ValueError
    if text is None:
        return not is_off
    if entry.is_tuple:
        if entry.is_optional and not text:  # as an earlier version wrote it
            return None
        (members,) = csv.reader([text]) if text else ([],)
        return tuple(map(entry.kind, members))
    return entry.kind(text)


def joined(members: tuple[Any, ...]) -> str:
    """A list flag's value: members joined by commas, quoted as in a CSV file."""
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow(members)
    return line.getvalue()


def shown(value: Any) -> str:
    """A value as the help and error messages write it."""
    if isinstance(value, tuple):
        return joined(value) or "none"
    if isinstance(value, bool):
        return str(value).lower()
    return "none" if value is None else str(value)


def _kind(hint: Any) -> tuple[type, bool, bool]:
    """(type, whether it is a tuple of these, whether it may be None)."""
    is_optional = False
    if isinstance(hint, types.UnionType):
        (hint,) = (arg for arg in typing.get_args(hint) if arg is not type(None))
        is_optional = True
    if typing.get_origin(hint) is tuple:
        return typing.get_args(hint)[0], True, is_optional
    return hint, False, is_optional


def _checked(field: dataclasses.Field[Any], hint: Any, value: Any) -> Any:
    """The value in its declared type, within its bounds and among its choices."""
    kind, is_tuple, is_optional = _kind(hint)
    if value is None and is_optional:
        return None
    if is_tuple and isinstance(value, str) and field.metadata["choices"] is not None:
        value = tuple(value.split(","))  # no choice holds a comma
    if kind is str and isinstance(value, (str, os.PathLike)):
        value = (os.fspath(value),) if is_tuple else os.fspath(value)
    members = value if is_tuple else (value,)
    if isinstance(members, str) or not isinstance(members, Sequence):
        raise UserError(f"--{field.name} must be a sequence, got {value!r}.")
    if is_optional and (len(members) == 0 or "" in members):
        raise UserError(f"--{field.name} is empty; give it a value or leave it out.")
    checked = tuple(_checked_one(field, kind, member) for member in members)
    return checked if is_tuple else checked[0]


def _checked_one(field: dataclasses.Field[Any], kind: type[Any], value: Any) -> Any:
    name, meta = field.name, field.metadata
    is_number = not isinstance(value, bool)
    if kind is str and isinstance(value, os.PathLike):
        value = os.fspath(value)
    if kind is float and is_number and isinstance(value, numbers.Real):
        value = float(value)
    if kind is int and is_number and isinstance(value, numbers.Integral):
        value = int(value)
    if type(value) is not kind:
        raise UserError(f"--{name} must be of type {kind.__name__}, got {value!r}.")
    if kind is float and not math.isfinite(value):
        raise UserError(f"--{name} must be finite, got {value}.")
    if meta["choices"] is not None and value not in meta["choices"]:
        noun = name.removesuffix("s")  # a tuple has a plural name
        raise UserError(f"--{name}: {unknown_name(noun, value, meta['choices'])}")
    if meta["minimum"] is not None and value < meta["minimum"]:
        raise UserError(f"--{name} must be at least {meta['minimum']}, got {value}.")
    if meta["maximum"] is not None and value > meta["maximum"]:
        raise UserError(f"--{name} must be at most {meta['maximum']}, got {value}.")
    return value
