"""Pretraining of a classifier as a language model of the training documents."""

from collections.abc import Iterable
from typing import Any

import jax
import numpy as np

from experiments.classification.config import Config
from experiments.classification.data import BATCH_AXES, EncodedSplit
from experiments.common.devices import Placement
from experiments.common.errors import UserError
from experiments.common.job import Job
from experiments.common.optimizer import (
    initial_train_state,
    make_optimizer,
    make_schedule,
)
from experiments.common.training_run import EpochPlan, open_run, train_model
from experiments.common.workdir import Workdir
from seqjax import metrics, training
from seqjax.data import labeled
from seqjax.models import Classifier, Pretraining

FOLDER = "pretraining"  # in the workdir, a run of its own


def build_pretraining(model: Classifier, parts: Iterable[EncodedSplit]) -> Pretraining:
    """The language model of a classifier's layers.

    Raises:
      UserError: if a direction sees the tokens that it should predict, or there is
        nothing to predict in the training or the validation part.
    """
    if any(all(len(d) < 2 for d in part.documents) for part in parts):
        raise UserError(
            "--pretrain_epochs needs documents of at least two tokens in the training "
            "and the validation part."
        )
    try:
        return Pretraining(model)
    except ValueError as error:
        raise UserError(
            f"--pretrain_epochs: {error}; use --num_layers=1 or --nobidirectional."
        ) from None


def pretrain(
    config: Config,
    workdir: Workdir,
    language_model: Pretraining,
    initial: Any,
    plan: EpochPlan,
    valid: EncodedSplit,
    sha256: str,
) -> Any:
    """The classifier's parameters after `pretrain_epochs` as a language model.

    A run that was stopped continues; one that is finished only gives its parameters.

    Args:
      config: the settings; the optimizer is that of the classifier.
      workdir: the classifier's.
      language_model: of the classifier's layers.
      initial: the classifier's initial parameters.
      plan: the minibatches of an epoch.
      valid: the documents whose perplexity chooses the best checkpoint.
      sha256: of the corpus.
    """
    total_steps = config.train.pretrain_epochs * len(plan(0))
    optimizer = make_optimizer(config.optimizer, total_steps)

    def loss_fn(
        params: Any, carry: Any, batch: labeled.LabeledBatch, key: jax.Array
    ) -> Any:
        return language_model.loss(params, batch, key), carry

    placement = Placement.of(config.devices, BATCH_AXES, config.train.batch_size)
    loss = placement.held_out(jax.jit(language_model.loss))

    def validate(state: Any) -> dict[str, float]:
        sums = np.zeros(2)
        for bucket in labeled.plan(valid.documents, config.train.batch_size):
            batch = labeled.make_batch(valid.documents, valid.labels, bucket)
            sums += loss(state.params, batch)
        return {"valid_perplexity": metrics.perplexity(*sums)}

    step = training.make_train_step(loss_fn, optimizer, config.train.skip_nonfinite)
    job = Job(
        training.make_batch_loop(placement.step(step), placement.batch),
        data=None,
        plan=plan,
        total_steps=total_steps,
        validate=validate,
        learning_rate=make_schedule(config.optimizer, total_steps),
        plateau_factor=config.optimizer.plateau_factor,
        averaging=config.optimizer,
        placement=placement,
    )
    state = initial_train_state(language_model, optimizer, config.run.seed)
    state = state.replace(
        params=state.params._replace(classifier=initial),
        key=jax.random.fold_in(state.key, 1),  # other draws than the classifier's
    )
    print(f"pretraining as a language model, {config.train.pretrain_epochs} epochs")
    folder = open_run(config, path=workdir.path / FOLDER)
    folder.check_data(sha256)
    with folder.open_for_training():
        folder.write_vocab([], sha256)
        return train_model(job, folder, state, config.train).params.classifier
