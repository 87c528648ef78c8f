"""Commands run in a process of their own, since two share names of flags.

One process serves all calls of a test file, so that jax is imported and programs are
compiled once.
"""

import contextlib
import importlib
import io
import json
import multiprocessing
import os
import sys
from functools import partial
from typing import NamedTuple

from tests import quick


class Result(NamedTuple):
    """What a command left behind."""

    code: int
    out: str
    err: str
    value: object = None  # of a function called instead


class Command:
    """python -m NAME, again and again.

    Args:
      name: the module's, with a `main`.
      cache: a folder for compiled programs.
    """

    def __init__(self, name, cache):
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        args = (name, str(cache), theirs)
        self._process = context.Process(target=_serve, args=args, daemon=True)
        self._process.start()

    def __call__(self, *argv, stdin=b"", patches=(), call=None):
        """Run it with flags `argv`.

        Args:
          stdin: bytes.
          patches: (module, attribute, value) to set before, for good.
          call: a function of a test module, called instead of `main` where the flags
            are set; what is of the experiment it imports itself.
        """
        self._pipe.send((list(map(str, argv)), stdin, patches, call))
        return self._pipe.recv()

    def close(self):
        """End the process."""
        self._process.kill()
        self._process.join()


def refused(result, sentence):
    """Whether a command ended with exit code 2 and one sentence, which says this."""
    assert result.code == 2, result.err
    assert sentence in result.err
    assert len(result.err.splitlines()) == 1


def returned(result):
    """What a function called in a command's process returned."""
    assert result.code == 0, result.err
    return result.value


def files(folder):
    """Every file below a folder with its content: what must not change."""
    return {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def summary(workdir):
    """What summary.json holds."""
    return json.loads((workdir / "summary.json").read_text())


def metrics(workdir):
    """The lines of metrics.jsonl."""
    text = (workdir / "metrics.jsonl").read_text()
    return [json.loads(line) for line in text.splitlines()]


def _serve(name, cache, pipe):
    os.environ["XLA_FLAGS"] = quick.XLA_FLAGS
    import jax
    from absl import flags
    from absl.testing import flagsaver

    from experiments import run

    jax.config.update("jax_compilation_cache_dir", cache)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)
    module = importlib.import_module(name)
    while True:
        argv, stdin, patches, call = pipe.recv()
        for where, attribute, value in patches:
            setattr(importlib.import_module(where), attribute, value)
        out, err, value = io.StringIO(), io.StringIO(), []
        main = partial(_keep, value, call) if call else module.main
        sys.stdin = io.TextIOWrapper(io.BytesIO(stdin), encoding="utf-8")
        with (
            flagsaver.flagsaver(),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
        ):
            flags.FLAGS.unparse_flags()
            try:
                run.launch(main, module, [name, *argv])
                code = 0
            except SystemExit as stop:
                code = stop.code or 0
            except Exception:
                import traceback

                traceback.print_exc(file=err)
                code = 1
        pipe.send(Result(code, out.getvalue(), err.getvalue(), *value))


def _keep(value, function):
    value.append(function())
