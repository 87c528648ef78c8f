"""Parse the text of a compiled program: operations, their shapes, and their loops."""

import itertools
import math
import re
from typing import NamedTuple

COPIES = ("copy", "transpose")
HEAD = re.compile(r"(?:ENTRY )?%?(?P<name>[\w.\-]+) \(.*\) -> .* \{$")
OPERATION = re.compile(
    r"\s+(?:ROOT )?%?[\w.\-]+ = \w+\[(?P<shape>[\d,]*)\]\S* (?P<kind>[\w\-]+)\("
)
CALLED = re.compile(r"(?:calls|to_apply|condition|body)=%?([\w.\-]+)")
BRANCHES = re.compile(r"branch_computations=\{([^}]*)\}")
BODY = re.compile(r" while\(.*body=%?([\w.\-]+)")


class Operation(NamedTuple):
    kind: str  # as in "dot" or "copy"
    shape: tuple[int, ...]  # of its result
    in_loop: bool  # a loop with products; random bits have loops without

    @property
    def size(self):
        return math.prod(self.shape)


def operations(text):
    """Every operation whose result is an array, including those inside of fusions."""
    lines, calls = {}, {}
    for line in text.splitlines():
        if head := HEAD.match(line):
            name = head["name"]
            lines[name], calls[name] = [], set()
        elif line.startswith(" ") and lines:
            lines[name].append(line)
            calls[name] |= set(CALLED.findall(line))
            for branches in BRANCHES.findall(line):
                calls[name] |= {b.strip(" %") for b in branches.split(",")}
    bodies = [
        found[1]
        for found in map(BODY.search, itertools.chain(*lines.values()))
        if found
    ]
    with_products = [
        body
        for body in bodies
        if any(
            " dot(" in line for name in _reachable(body, calls) for line in lines[name]
        )
    ]
    assert with_products, "no loop of this program has a product"
    in_loop = set().union(*(_reachable(body, calls) for body in with_products))
    return [
        Operation(found["kind"], _numbers(found["shape"]), name in in_loop)
        for name, body in lines.items()
        for line in body
        if (found := OPERATION.match(line))
    ]


def _numbers(text):
    return tuple(int(n) for n in text.split(",") if n)


def _reachable(start, calls):
    seen, todo = set(), [start]
    while todo:
        name = todo.pop()
        if name not in seen:
            seen.add(name)
            todo.extend(calls[name])
    return seen
