"""Many hostile files for every reader.

    python -m tests.fuzz --cases=200000

Each reader has the same number of cases, but for those that are slow, which have a
tenth. Prints for each reader how many contents were accepted and how many refused. A
failure is printed with its smallest content, and the exit code is 1.
"""

import argparse
import collections
import math
import tempfile
import time
import traceback
from pathlib import Path

from hypothesis import HealthCheck, given, seed, settings

from tests.fuzz.cases import DEADLINE, check_case
from tests.fuzz.readers import READERS


def fuzz(name: str, cases: int, first: int, folder: Path) -> collections.Counter:
    """The numbers of contents that a reader accepted and refused.

    Args:
      name: of a reader.
      cases: the number of contents.
      first: the seed of the contents.
      folder: an empty folder for the files.

    Raises:
      Exception: at a content that the reader does not read right.
    """
    counts = collections.Counter()

    @seed(first)
    @settings(
        max_examples=cases,
        deadline=DEADLINE,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(READERS[name].contents)
    def check(content):
        accepted = check_case(READERS[name], folder, content)
        counts["accepted" if accepted else "refused"] += 1

    check()
    return counts


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--cases", type=int, default=200_000, help="of all readers")
    parser.add_argument("--readers", default=",".join(READERS), help="joined by commas")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    names, failed = options.readers.split(","), False
    shares = {name: READERS[name].share for name in names}
    for name in names:
        started = time.perf_counter()
        cases = math.ceil(options.cases * shares[name] / sum(shares.values()))
        with tempfile.TemporaryDirectory() as folder:
            try:
                found = dict(fuzz(name, cases, options.seed, Path(folder)))
            except Exception:
                failed, found = True, "failed"
                traceback.print_exc()
        print(f"{name:14} {time.perf_counter() - started:6.0f} s  {found}", flush=True)
    return int(failed)


if __name__ == "__main__":
    raise SystemExit(main())
