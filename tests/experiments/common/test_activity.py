"""No silence: what a command does is printed when nothing else is."""

import os
import re
import subprocess
import sys
from pathlib import Path

import jax
import jax.monitoring
import jax.numpy as jnp
import pytest

from experiments.common import activity

ROOT = Path(__file__).parents[3]
SCRIPT = """
import sys, time
from experiments.common import activity
activity.SILENCE = 0.7
activity.start()
activity.begin("the data")
time.sleep(2.2)
print("loud", file=sys.stderr)
for _ in range(30):
    time.sleep(0.05)
    print("text")
activity.begin(None)
time.sleep(1.5)
activity.begin("the answer")
activity._on_event(activity.COMPILE_BEGINS)
time.sleep(1.3)
"""


def test_silences_are_broken_unless_something_is_printed_or_the_user_types():
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    before, _, after = done.stderr.partition("loud\n")
    lines = before.splitlines()
    assert len(lines) >= 2
    assert all(re.fullmatch(r"the data: \d+ s so far", line) for line in lines)
    answers = after.splitlines()
    assert answers
    pattern = r"the answer: compiling, \d s so far"
    assert all(re.fullmatch(pattern, line) for line in answers)
    assert done.stdout == "text\n" * 30


@pytest.mark.parametrize(("seconds", "said"), [(0.4, []), (1.25, ["2.5"])])
def test_how_long_compiling_took_is_said(seconds, said):
    found = []
    with activity.compiling("the search", found.append):
        for event in (activity.LOWERED, activity.COMPILED):
            jax.monitoring.record_event_duration_secs(event, seconds)
    assert found == [f"compiling the search took {s} s" for s in said]


def test_jax_tells_when_it_compiles(monkeypatch):
    """The names of its events are those that are listened to."""
    monkeypatch.setattr(activity._Now, "compile_seconds", 0.0)
    seen = []
    jax.monitoring.register_event_listener(lambda event, **_: seen.append(event))
    jax.jit(lambda x: jnp.sin(x) * 17.25)(jnp.ones(3))
    assert activity._Now.compile_seconds > 0
    assert activity._Now.compiling == 0
    assert activity.COMPILE_BEGINS in seen
