"""The checks of the repository, such as `nox -s lint`; `nox -l` lists them.

Sessions use the active environment, so they need no network. Prepare it once by
`pip install -e ".[dev]"`. Arguments after `--` go to the tool.
"""

import statistics
import subprocess
import sys

import nox

nox.options.default_venv_backend = "none"
nox.options.sessions = ["lint", "types", "test", "libraries", "documents"]
BENCHMARKS = (
    *("recurrence", "training", "decoding", "softmax", "baselines", "drop_in"),
)
MOST_IMPORT_SECONDS = 0.15  # of seqjax beyond those of jax


@nox.session
def lint(session: nox.Session) -> None:
    """The format and the rules of ruff."""
    session.run("ruff", "format", "--check", ".")
    session.run("ruff", "check", *session.posargs, ".")


@nox.session
def types(session: nox.Session) -> None:
    """The types of seqjax and experiments, by mypy."""
    session.run("mypy", *session.posargs)


@nox.session
def test(session: nox.Session) -> None:
    """The test suite, in two processes."""
    session.run("python", "-m", "pytest", "-n", "2", *session.posargs)


@nox.session
def documents(session: nox.Session) -> None:
    """The code of documents and docstrings, and the commands, with short settings."""
    folders = ("tests/documents", "tests/experiments/documents")
    session.run("python", "-m", "pytest", "-n", "2", *session.posargs, *folders)


@nox.session
def libraries(session: nox.Session) -> None:
    """The tests of `seqjax.interop` and of the benchmarks."""
    folders = ("tests/interop", "tests/experiments/benchmarks")
    session.run("python", "-m", "pytest", "-n", "2", *session.posargs, *folders)


@nox.session
def pages(session: nox.Session) -> None:
    """The documentation as HTML in build/pages, by `pip install -e ".[docs]"`."""
    options = ("-q", "-W", "--keep-going", "-b", "html")
    session.run("python", "-m", "sphinx", *options, "docs", "build/pages")


@nox.session
def tutorials(session: nox.Session) -> None:
    """The notebooks in docs/tutorials: the same as their texts, and they run."""
    session.run("python", "-m", "pytest", *session.posargs, "tests/tutorials")


@nox.session
def faults(session: nox.Session) -> None:
    """Runs whose file operations fail, and that get SIGTERM: a sample of both."""
    session.run("python", "-m", "tests.faults", "--every=80")
    session.run("python", "-m", "tests.faults.signals", "--tries=1")


@nox.session
def devices(session: nox.Session) -> None:
    """Several simulated devices, and several processes on loopback."""
    options = ("-n", "2", "--dist", "loadfile")
    session.run("python", "-m", "pytest", *options, *session.posargs, "tests/devices")


@nox.session
def bench(session: nox.Session) -> None:
    """All benchmarks in their quick form; notes name the peers that are absent."""
    for name in BENCHMARKS:
        module = f"experiments.benchmarks.{name}"
        session.run("python", "-m", module, "--quick", *session.posargs)


@nox.session
def import_time(session: nox.Session) -> None:
    """`import seqjax` beside `import jax`: processor time, medians of 9 processes."""
    seconds: dict[str, list[float]] = {"jax": [], "seqjax": []}
    for _ in range(9):
        for name, times in seconds.items():
            code = f"import time, {name}; print(time.process_time())"
            times.append(float(subprocess.check_output([sys.executable, "-c", code])))
    jax, seqjax = map(statistics.median, seconds.values())
    session.log(f"import jax {jax:.3f} s, import seqjax {seqjax:.3f} s")
    if seqjax - jax > MOST_IMPORT_SECONDS:
        session.error(f"seqjax takes more than {MOST_IMPORT_SECONDS} s beyond jax")
