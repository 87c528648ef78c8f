"""The settings that a run was started with, from its flags.txt, and those given now."""

from collections.abc import Collection, Mapping, Sequence

FORMAT = "# Settings of a seqjax run, format 2."  # the first line of flags.txt
UNSET = "not set"


def differences(
    stored: Sequence[str],
    values: Mapping[str, str | None],
    defaults: Mapping[str, str | None],
    free: Collection[str],
) -> dict[str, tuple[str, str]]:
    """{name: (value there, value here)} of the settings that differ.

    A setting that the stored lines lack was added later and had its default.

    Args:
      stored: the lines of flags.txt.
      values: name -> the line that sets it now.
      defaults: name -> the line of its default.
      free: the names of settings that may differ.
    """
    return {
        name: (there, here)
        for name, line in values.items()
        if name not in free
        and (there := stored_value(stored, name))
        != (here := stored_value([line], name))
        and not (there == UNSET and line == defaults[name])
    }


def described(differ: Mapping[str, tuple[str, str]], most: int = 5) -> str:
    """The first settings that differ, for an error message."""
    found = [
        f"--{k} ({there} there, {here} here)" for k, (there, here) in differ.items()
    ]
    more = f" and {len(found) - most} more" if len(found) > most else ""
    return f"{', '.join(found[:most])}{more}"


def grows(there: str, here: str) -> bool:
    """Whether a number of a run is raised; 0 is none."""
    return there.isdigit() and here.isdigit() and 0 < int(there) < int(here)


def stored_value(lines: Sequence[str | None], name: str) -> str:
    """What the lines of a flag file set a flag to."""
    for line in lines:
        if line is not None and line.startswith(f"--{name}="):
            return line.removeprefix(f"--{name}=")
        if line in (f"--{name}", f"--no{name}"):
            return str(line == f"--{name}").lower()
    return UNSET
