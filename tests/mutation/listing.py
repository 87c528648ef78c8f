"""Read the lists of mutants in `mutants/`.

A list has sections, one for each file of the code:

    file seqjax/cells.py
    tests tests/test_cells.py tests/test_cell_laws.py

    - h = phi(z + dot(state, params.w_h) + params.b)
    + h = phi(z + dot(state, params.w_h))

A mutant replaces the text after `- ` by that after `+ `. Both may go over several
lines, and the old text must occur exactly once in the file. A line `= ...` under a
mutant says why no test can tell it from the code, or why none does.
"""

import dataclasses
import hashlib
from pathlib import Path

FOLDER = Path(__file__).parent / "mutants"


@dataclasses.dataclass(frozen=True)
class Mutant:
    """One wrong edit.

    Attributes:
      file: the path of the code, relative to the repository.
      old: the text to replace.
      new: the text in its place.
      tests: the test files of the subject, in the order in which they run.
      reason: why the mutant survives, where that is known.
    """

    file: str
    old: str
    new: str
    tests: tuple[str, ...]
    reason: str = ""

    @property
    def name(self):
        """The file and a short hash that does not change with the rest of the list."""
        text = "\0".join((self.file, self.old, self.new))
        return f"{self.file}:{hashlib.sha256(text.encode()).hexdigest()[:8]}"

    def apply(self, code):
        """The code with the edit.

        Raises:
          ValueError: if the old text does not occur exactly once.
        """
        count = code.count(self.old)
        if count != 1:
            raise ValueError(f"{self.name}: {self.old!r} occurs {count} times")
        return code.replace(self.old, self.new)


def load(folder=FOLDER):
    """All mutants, in the order of the files."""
    paths = sorted(folder.glob("*.txt"))
    return [mutant for path in paths for mutant in parse(path.read_text("utf-8"))]


def parse(text):
    """The mutants of one list."""
    file, tests, found = "", (), []
    for block in text.strip().split("\n\n"):
        lines = block.split("\n")
        if lines[0].startswith("file "):
            file, tests = lines[0].split()[1], tuple(lines[1].split()[1:])
            continue
        parts = {sign: _joined(lines, sign) for sign in "-+="}
        found.append(Mutant(file, parts["-"], parts["+"], tests, parts["="]))
    return found


def _joined(lines, sign):
    return "\n".join(line[2:] for line in lines if line[:2].strip() == sign)
