"""The training loop against a simulation of its rules, whole, stopped and resumed."""

import contextlib
import dataclasses
from types import SimpleNamespace

import hypothesis
import pytest
from hypothesis import strategies as st

from experiments.common import saving, train_loop
from experiments.common.errors import UserError
from experiments.common.job import TrainConfig
from experiments.common.workdir import Workdir
from experiments.language_model import Config
from tests.train_loop_rules import (
    POISONS,
    Case,
    Killed,
    MemoryCheckpoints,
    Outcome,
    Toy,
    simulate,
    value_of,
)

FEW = st.integers(1, 7)
SCORES = st.tuples(
    st.sampled_from((0.2, 0.5, 0.8, 1.0)), st.sampled_from((1.1, 1.2, 1.3))
)
POISONED = st.tuples(st.sampled_from(POISONS), st.integers(1, 40))


@st.composite
def cases(draw, finite=True):
    """A short run: its plans, its end, what its validations find, its settings."""
    sizes = tuple(draw(st.lists(st.integers(1, 9), min_size=1, max_size=3)))
    epochs = draw(st.none() | FEW)
    return Case(
        sizes,
        epochs,
        # Beside a number of epochs it is an estimate, and decides nothing.
        draw(st.integers(1, 40)),
        tuple(draw(st.lists(SCORES, min_size=1, max_size=7))),
        draw(FEW),
        draw(st.integers(1, 12)),
        draw(st.integers(1, 3)),
        draw(st.integers(0, 3)),
        draw(st.integers(1, 3)),
        draw(st.sampled_from((0.5, 1.0))),
        None if finite else draw(st.none() | POISONED),
    )


class Runner:
    """Starts a case again and again in one folder."""

    def __init__(self, patch, path):
        self.patch, self.path = patch, path
        MemoryCheckpoints.stores.clear()
        MemoryCheckpoints.saves.clear()
        patch.setattr(saving, "Checkpoints", MemoryCheckpoints)

    def start(self, toy, call_seconds, interrupt_at=None, minutes=1e9):
        """The Outcome of a start; `interrupt_at` is the step of an interrupt."""
        self.patch.setattr(train_loop, "CALL_SECONDS", call_seconds)
        for module in (saving, train_loop):
            self.patch.setattr(module, "time", toy)
        asked = SimpleNamespace(
            yes=False, keep=lambda sentence: None, awaited=lambda task: task
        )

        def requested():
            asked.yes = interrupt_at is not None and toy.step >= interrupt_at
            return asked.yes

        @contextlib.contextmanager
        def held():
            yield
            if asked.yes:
                raise KeyboardInterrupt

        asked.requested, asked.held = requested, held
        for module in (saving, train_loop):
            self.patch.setattr(module, "interrupts", asked)
        case, workdir = toy.case, Workdir(self.path, Config())
        names = {field.name for field in dataclasses.fields(TrainConfig)}
        settings = {k: v for k, v in vars(case).items() if k in names - {"epochs"}}
        config = TrainConfig(checkpoint_minutes=minutes, divergence=0.0, **settings)
        found = Outcome()
        with workdir.open_for_training():
            try:
                state, progress = train_loop.fit(
                    toy.job(), workdir, toy.state(), config
                )
            except UserError as error:
                words = str(error).removeprefix("the ").split(";")[0]
                what, _, step = words.partition(" was not finite at step ")
                found.stopped = (what, int(step))
                return found
        found.w, found.updates = value_of(state.params), int(state.opt_state)
        found.scale, found.step = float(state.learning_rate_scale), progress.step
        found.stale, found.best_value = progress.stale, progress.best_value
        found.best_step = progress.best_step
        found.predictions = progress.predictions
        found.train_seconds, found.seconds = progress.train_seconds, progress.seconds
        return found

    def files(self, found):
        """The Outcome with what lies in the folder."""
        found.lines = [
            {k: v for k, v in line.items() if k[-5:] not in ("_norm", "econd")}
            for line in Workdir(self.path, Config()).read_metrics()
        ]
        found.saves = list(MemoryCheckpoints.saves)
        found.best = MemoryCheckpoints.of("best")
        return found


@pytest.fixture
def runner(tmp_path_factory):
    """A function that makes a Runner with a folder of its own."""
    with pytest.MonkeyPatch.context() as patch:
        yield lambda: Runner(patch, tmp_path_factory.mktemp("run"))


LAW = hypothesis.settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture],
)


def assert_same(found, expected):
    """Field by field; nan equals nothing."""
    for field in dataclasses.fields(Outcome):
        ours, theirs = getattr(found, field.name), getattr(expected, field.name)
        assert ours == theirs, field.name


def follows_the_rules(case, run, call_seconds):
    """Compare a whole run with the simulation."""
    toy, expected = Toy(case, seconds=1.0), simulate(case)
    found = run.files(run.start(toy, call_seconds))
    if expected.stopped:
        assert found.stopped == expected.stopped
        assert found.lines == expected.lines
        assert found.best == expected.best
        assert set(MemoryCheckpoints.of("last")) <= set(expected.saves)
        assert MemoryCheckpoints.of("last")[-1:] == expected.saves[-1:]
        return
    assert_same(found, expected)
    for number, (begin, end) in enumerate(toy.calls[1:]):
        # Calls grow step by step: slow minibatches may follow a fast one.
        assert begin < end <= begin + 4**number
        assert begin // case.log_every == (end - 1) // case.log_every
        assert end - begin <= max(1, call_seconds)


@pytest.mark.parametrize("call_seconds", [0.0, 2.5, 1e9])
@hypothesis.given(case=cases(finite=False))
@LAW
def test_a_run_follows_the_rules(runner, call_seconds, case):
    follows_the_rules(case, runner(), call_seconds)


@st.composite
def stopped_cases(draw):
    """A case, and what stops it at which of its steps, start after start."""
    case = draw(cases())
    how = st.sampled_from(("kill", "kill validation", "interrupt"))
    when = st.integers(1, simulate(case).step)
    return case, draw(st.lists(st.tuples(how, when), min_size=1, max_size=4))


@hypothesis.given(
    stopped_case=stopped_cases(), call_seconds=st.sampled_from((0.0, 2.5, 1e9))
)
@hypothesis.settings(LAW, max_examples=150)
def test_a_run_that_is_stopped_anywhere_ends_as_one_that_is_not(
    runner, stopped_case, call_seconds
):
    """Killed in a call, killed in a validation, or interrupted, any number of times."""
    case, stops = stopped_case
    run, expected = runner(), simulate(case)
    for how, step in stops:
        toy = Toy(
            case,
            seconds=1.0,
            kill_at=None if how == "interrupt" else step,
            kill_validation=how == "kill validation",
        )
        try:
            run.start(toy, call_seconds, step if how == "interrupt" else None)
        except KeyboardInterrupt:
            assert MemoryCheckpoints.saves[-1] == toy.step >= step
        except Killed:
            pass
    found = run.files(run.start(Toy(case, seconds=1.0), call_seconds))
    assert_same(
        dataclasses.replace(found, saves=[]), dataclasses.replace(expected, saves=[])
    )


@hypothesis.given(case=cases(), minutes=st.sampled_from((0.0, 0.05, 0.1, 1.0)))
@LAW
def test_checkpoints_are_saved_by_time_too(runner, case, minutes):
    """A minibatch takes 3 seconds, and every one is a call."""
    run, expected = runner(), simulate(case)
    run.start(Toy(case, seconds=3.0), 0.0, minutes=minutes)
    saves, last = [], 0
    for step in range(1, expected.step + 1):
        if step in expected.saves or 3 * (step - last) >= 60 * minutes - 1e-9:
            saves += [step] * max(1, expected.saves.count(step))
            last = step
    assert MemoryCheckpoints.saves == saves


@hypothesis.given(case=cases(), more=st.integers(1, 20))
@LAW
def test_a_finished_run_goes_on(runner, case, more):
    """Its last validation stays, and all that follows is of the longer run."""
    case = dataclasses.replace(case, epochs=None, patience=0, plateau_factor=1.0)
    run = runner()
    first = run.start(Toy(case, seconds=1.0), 1e9)
    longer = dataclasses.replace(case, steps=case.steps + more)
    second = run.files(run.start(Toy(longer, seconds=1.0), 1e9))
    expected = simulate(longer)
    assert (first.step, second.step) == (case.steps, longer.steps)
    assert (second.w, second.updates) == (expected.w, expected.updates)
    steps = {line["step"] for line in second.lines}
    assert {line["step"] for line in expected.lines} | {case.steps} == steps
