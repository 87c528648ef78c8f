"""What people type in place of a name, and how far apart two names are."""

from collections.abc import Iterator


def typos(name: str) -> Iterator[str]:
    """Transposed, missing, doubled and wrong letters, plural, case, other dashes."""
    for i in range(len(name) - 1):
        yield name[:i] + name[i + 1] + name[i] + name[i + 2 :]
    for i in range(len(name)):
        yield name[:i] + name[i + 1 :]
        yield name[:i] + name[i] + name[i:]
        yield name[:i] + "x" + name[i + 1 :]
    yield from (f"{name}s", name.removesuffix("s"), name.upper(), name.capitalize())
    yield from (name.replace("_", "-"), name.replace("_", ""))


def distance(a: str, b: str) -> int:
    """The Levenshtein distance of two names."""
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, start=1):
        before, row[0] = row[0], i
        for j, y in enumerate(b, start=1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (x != y))
    return row[-1]
