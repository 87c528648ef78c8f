"""Which settings of a run may differ when it is opened again."""

import pytest

from experiments.common.errors import UserError
from experiments.common.training_run import open_run
from experiments.language_model import Config


@pytest.fixture
def reopen(tmp_path):
    """A function that opens a run of no checkpoints with other settings."""

    def opened(first, second, **options):
        values = {"workdir": str(tmp_path)}
        workdir = open_run(Config.of(**values, **first))
        with workdir.open_for_training():
            workdir.write_summary({})
        open_run(Config.of(**values, **second), **options)

    return opened


def differs(name):
    return pytest.raises(UserError, match=rf"holds another run: --{name} \(")


COSINE = {"schedule": "cosine"}


def test_resumable_settings_may_differ_unless_they_are_fixed(reopen):
    reopen({"length": 5}, {"length": 6})
    with differs("length"):
        reopen({"length": 5}, {"length": 6}, fixed={"length"})


def test_other_settings_may_not_unless_they_are_free(reopen):
    with differs("hidden_size"):
        reopen({}, {"hidden_size": 7})
    reopen({}, {"hidden_size": 7}, free={"hidden_size"})
    with differs("hidden_size"):
        reopen({}, {"hidden_size": 7}, free={"hidden_size"}, fixed={"hidden_size"})


def test_the_seed_may_differ_where_nothing_is_trained(reopen):
    with differs("seed"):
        reopen({"seed": 1}, {"seed": 2})
    reopen({"seed": 1}, {"seed": 2}, training=False)
    with differs("seed"):
        reopen({"seed": 1}, {"seed": 2}, training=False, fixed={"seed"})


@pytest.mark.parametrize("schedule", ["constant", "plateau"])
def test_epochs_may_differ_where_no_schedule_spans_the_run(reopen, schedule):
    for epochs in (3, 5):
        reopen(
            {"epochs": 4}, {"epochs": epochs, "schedule": schedule}, free={"schedule"}
        )


@pytest.mark.parametrize("schedule", ["cosine", "exponential"])
@pytest.mark.parametrize("name", ["epochs", "train_tokens"])
def test_a_finished_run_may_be_longer_but_not_shorter(reopen, schedule, name):
    settings = {"schedule": schedule}
    reopen(settings | {name: 400}, settings | {name: 500})
    with differs(name):
        reopen(settings | {name: 400}, settings | {name: 300})
    with differs(name):
        reopen(settings | {name: 400}, settings | {name: 500}, fixed={name})
    with differs(name):
        reopen(settings | {name: 400}, settings | {name: 500}, training=False)


def test_tokens_do_not_take_the_place_of_epochs(reopen):
    with differs("train_tokens"):
        reopen(COSINE, COSINE | {"train_tokens": 10**9})


def test_longer_is_no_excuse_for_another_model(reopen):
    with differs("hidden_size"):
        reopen(COSINE | {"epochs": 4}, COSINE | {"epochs": 5, "hidden_size": 3})
