"""Apply each mutant to a copy of the repository and run the tests of its subject.

    python -m tests.mutation --jobs=2 --results=mutation.jsonl
    python -m tests.mutation --results=mutation.jsonl --report

A mutant is killed if a test fails or does not end, and survives if all tests
pass. Results are appended to a file as they come, so that a run that was stopped goes
on where it was; `--again` tries the survivors with better tests. The order is that of
the hashes, so that the first mutants are a random sample of all. Before the first
mutant, each test file must pass without one.
"""

import argparse
import concurrent.futures
import json
import os
import queue
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from pathlib import Path

from tests.mutation import listing

ROOT = Path(__file__).parent.parent.parent
PYTEST = ("-m", "pytest", "-n0", "-q", "-x", "-p", "no:cacheprovider")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--jobs", type=int, default=1, help="Mutants at a time.")
    parser.add_argument("--results", type=Path, default=Path("mutation.jsonl"))
    parser.add_argument("--only", default="", help="A part of the names of mutants.")
    parser.add_argument("--limit", type=int, help="Mutants to run, at most.")
    parser.add_argument("--seconds", type=int, default=600, help="Time of a processor.")
    parser.add_argument("--again", action="store_true", help="Run survivors again.")
    parser.add_argument("--report", action="store_true", help="Print the table only.")
    args = parser.parse_args()
    mutants = [mutant for mutant in listing.load() if args.only in mutant.name]
    stale = [error for mutant in mutants if (error := not_applicable(mutant))]
    print(*stale, sep="\n", end="\n" if stale else "")
    results = Results(args.results)
    if not args.report:
        todo = [m for m in mutants if results.needs(m, args.again)]
        todo = [m for m in todo if not not_applicable(m)]
        run_all(sorted(todo, key=by_hash)[: args.limit], results, args)
    print(report(mutants, results.of))
    return 1 if stale else 0


def by_hash(mutant):
    return mutant.name.rpartition(":")[2]


def not_applicable(mutant):
    """What is wrong with a mutant, or nothing."""
    try:
        mutant.apply((ROOT / mutant.file).read_text("utf-8"))
    except (OSError, ValueError) as error:
        return str(error)
    missing = [test for test in mutant.tests if not (ROOT / test).exists()]
    return f"{mutant.name}: no {missing[0]}" if missing else ""


class Results:
    """Outcomes by name in a file of JSON lines; the last line of a name counts."""

    def __init__(self, path):
        self.path, self.lock = path, threading.Lock()
        lines = path.read_text("utf-8").splitlines() if path.exists() else []
        self.of = {record["name"]: record for record in map(json.loads, lines)}

    def needs(self, mutant, again):
        record = self.of.get(mutant.name)
        return record is None or (again and record["outcome"] == "survived")

    def add(self, name, outcome, seconds, detail=""):
        record = {"name": name, "outcome": outcome, "seconds": round(seconds, 1)}
        record["detail"] = detail
        with self.lock, self.path.open("a", encoding="utf-8") as file:
            self.of[name] = record
            file.write(json.dumps(record) + "\n")
            print(
                f"{len(self.of):5d}  {seconds:6.1f} s  {outcome:9s}{name}", flush=True
            )


def run_all(mutants, results, args):
    """Run mutants in copies of the repository, one copy for each job."""
    files = sorted({test for mutant in mutants for test in mutant.tests})
    with tempfile.TemporaryDirectory(prefix="mutation_") as folder:
        copies = queue.SimpleQueue()
        for i in range(args.jobs):
            copies.put(copy_of_repository(Path(folder) / str(i)))

        def in_a_copy(work):
            copy = copies.get()
            try:
                work(copy)
            finally:
                copies.put(copy)

        def check(test):
            def work(copy):
                if results.of.get(test, {}).get("outcome") != "passes":
                    outcome, seconds, detail = run_tests(copy, [test], args.seconds)
                    if outcome != "survived":
                        raise SystemExit(f"{test} fails without a mutant: {detail}")
                    results.add(test, "passes", seconds)

            in_a_copy(work)

        def run(mutant):
            def work(copy):
                path = copy / mutant.file
                code = path.read_text("utf-8")
                path.write_text(mutant.apply(code), "utf-8")
                try:
                    found = run_tests(copy, mutant.tests, args.seconds)
                finally:
                    path.write_text(code, "utf-8")
                results.add(mutant.name, *found)

            in_a_copy(work)

        with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
            for step, items in ((check, files), (run, mutants)):
                for _ in pool.map(step, items):
                    pass


def copy_of_repository(target):
    """A copy of the files that git knows or does not ignore."""
    command = ("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    names = subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout
    for name in filter(None, names.decode().split("\0")):
        if (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, target / name)
    return target


def run_tests(copy, tests, limit):
    """(outcome, seconds, the test that failed) of test files in a copy.

    The limit is of the time of a processor, which does not depend on what else runs.
    """
    environment = os.environ | {
        # A mutant may have the size and the second of the code before it.
        "PYTHONDONTWRITEBYTECODE": "1",
        # Most programs do not depend on the mutant.
        "JAX_COMPILATION_CACHE_DIR": f"{copy}-compiled",  # one for each job
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    }
    begin = time.monotonic()
    process = subprocess.Popen(
        (sys.executable, *PYTEST, *tests),
        cwd=copy,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    resource.prlimit(process.pid, resource.RLIMIT_CPU, (limit, limit))
    try:
        output, _ = process.communicate(timeout=20 * limit)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        return "killed", time.monotonic() - begin, "hangs"
    seconds = time.monotonic() - begin
    if process.returncode == 0:
        return "survived", seconds, ""
    if process.returncode in (3, 4, 5):  # not the tests, but how they were run
        raise SystemExit(output)
    if process.returncode in (-signal.SIGXCPU, -signal.SIGKILL):
        return "killed", seconds, "does not end"
    words = ("E  ", "FAILED", "ERROR")
    lines = [line for line in output.splitlines() if line.startswith(words)]
    return "killed", seconds, " | ".join(lines[:1] + lines[-1:])[:400] or "crash"


def report(mutants, results):
    """A table of the files, and the survivors."""
    counts = defaultdict(lambda: [0, 0])  # file -> [mutants, killed]
    survivors = []
    for mutant in mutants:
        record = results.get(mutant.name)
        if record is not None:
            counts[mutant.file][0] += 1
            counts[mutant.file][1] += record["outcome"] == "killed"
            if record["outcome"] == "survived":
                survivors.append(mutant)
    rows = [(file, *counts[file]) for file in sorted(counts)]
    rows.append(("all", *(sum(row[i] for row in rows) for i in (1, 2))))
    lines = [f"{'file':45}{'mutants':>8}{'killed':>8}{'score':>8}"]
    lines += [f"{f:45}{n:8d}{k:8d}{k / n if n else 1:8.1%}" for f, n, k in rows]
    for mutant in survivors:
        lines += ["", f"survivor {mutant.name}", *_indented("- ", mutant.old)]
        lines += [*_indented("+ ", mutant.new), f"  = {mutant.reason or 'not argued'}"]
    lines.append(f"\n{len(mutants) - rows[-1][1]} of {len(mutants)} mutants not run")
    return "\n".join(lines)


def _indented(sign, text):
    return [f"  {sign}{line}" for line in text.split("\n")]


if __name__ == "__main__":
    sys.exit(main())
