"""The model, its training loop and its perplexity, from settings."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from experiments.common.backprop import gradient_factors
from experiments.common.devices import ONE_DEVICE, Placement
from experiments.common.language_model import build_language_model
from experiments.common.optimizer import initial_train_state
from experiments.common.recurrent import initializers
from experiments.language_model.config import CELLS, Config, TrainConfig
from seqjax import training
from seqjax.baselines import numpy_rnn
from seqjax.data import batching
from seqjax.data.token_files import TokenFile
from seqjax.models.language_model import LanguageModel


class Minibatch(NamedTuple):
    """What a training step reads."""

    window: Any  # [T + 1, B]
    lengths: Any = None  # [B], equal numbers of steps; None is T


BATCH_AXES = Minibatch(1, 0)  # of the rows
EVALUATED = 512  # positions of a held-out text at once
MOST_ROWS = 256  # minibatches whose windows or lengths are on the device at once
MOST_LOGITS = 2**27  # numbers of a minibatch that are held at once, 512 MiB


def build_model(config: Config, vocab_size: int) -> LanguageModel:
    """The model of the settings.

    Raises:
      UserError: for settings that do not go together.
    """
    model, positions = config.model, config.train.batch_size * config.train.num_steps
    chunk, clusters = None, None
    fits = vocab_size * max(positions, EVALUATED) <= MOST_LOGITS
    if model.softmax == "chunked" or (model.softmax == "auto" and not fits):
        chunk = model.softmax_chunk
    if model.softmax == "adaptive":
        chunk = model.softmax_chunk
        clusters = model.clusters or default_clusters(vocab_size)
    return build_language_model(model, vocab_size, CELLS, chunk, clusters)


def default_clusters(vocab_size: int) -> tuple[int, ...]:
    """The words at a twentieth and at a quarter of the vocabulary.

    At least 100 words are frequent, or half of a vocabulary of fewer than 200.
    """
    frequent = max(vocab_size // 20, min(100, vocab_size // 2))
    quarter = vocab_size // 4
    return (frequent, quarter) if frequent < quarter else (frequent,)


def build_state(
    config: Config, model: LanguageModel, optimizer: optax.GradientTransformation
) -> training.TrainState:
    """The TrainState before the first step, with the state of every row as carry."""
    return initial_train_state(
        model,
        optimizer,
        config.run.seed,
        carry=rows_state(config, model),
        w_init=initializers(config.model).get("w_x_init"),
    )


def rows_state(config: Config, model: LanguageModel) -> Any:
    """The state of every row of a minibatch before its first token."""
    return model.initial_state((config.train.batch_size,))


def build_train_loop(
    config: Config,
    model: LanguageModel,
    optimizer: optax.GradientTransformation,
    placement: Placement = ONE_DEVICE,
    tokens: jax.Array | TokenFile | None = None,
) -> Callable[..., Any]:
    """(state, tokens, plan, begin, end) -> (state, Metrics); see `make_plan`."""
    num_steps, carried = config.train.num_steps, config.train.sampling == "sequential"
    if config.model.cell == "numpy_rnn":
        rate = config.optimizer.learning_rate
        return numpy_rnn.make_train_loop(rate, num_steps, carried)

    def loss_fn(params: Any, carry: Any, batch: Minibatch, key: jax.Array) -> Any:
        state = carry if carried else model.initial_state(batch.window.shape[1:])
        factors = gradient_factors(config.backprop, key, num_steps)
        return model.loss(
            params,
            batch.window,
            key,
            state=state,
            lengths=batch.lengths,
            factors=factors,
        )

    def rate_of(batch: Minibatch) -> jax.Array:
        assert batch.lengths is not None
        return batch.lengths[0] / jnp.float32(num_steps)

    is_varied = config.train.vary_steps
    step = training.make_train_step(
        loss_fn,
        optimizer,
        config.train.skip_nonfinite,
        rate_of if is_varied else None,
    )

    longest = batching.longest(num_steps) if is_varied else num_steps

    step = placement.step(step)
    if isinstance(tokens, TokenFile):
        return train_from_file(step, tokens, longest, config.train.log_every, is_varied)

    def get_batch(tokens: jax.Array, row: jax.Array) -> Minibatch:
        if not is_varied:
            return Minibatch(training.windows(tokens, row, longest))
        starts = row[1:]
        window = training.windows(tokens, starts, longest)
        return Minibatch(window, jnp.full_like(starts, row[0]))

    loop = training.make_train_loop(step, get_batch)
    if not is_varied:
        return loop
    # Epochs differ in length: one shape of the plan's part is one program.
    return in_parts(
        lambda state, data, rows, end, *sums: loop(state, data, rows, 0, end, *sums),
        min(config.train.log_every, MOST_ROWS),
    )


def train_from_file(
    step: training.TrainStep,
    file: TokenFile,
    num_steps: int,
    log_every: int,
    is_varied: bool,
) -> Callable[..., Any]:
    """A train loop that reads the windows of a call from the disk.

    Args:
      step: from `training.make_train_step`.
      file: the tokens.
      num_steps: of a window.
      log_every: the largest number of minibatches of a call.
      is_varied: whether the rows of the plan begin with the lengths.
    """
    loop = training.make_train_loop(
        step, lambda read, i: jax.tree.map(lambda a: a[i], read)
    )

    def run(state: Any, data: Any, rows: Any, end: int, *sums: float) -> Any:
        del data
        starts = rows[:, 1:] if is_varied else rows
        lengths = np.repeat(rows[:, :1], starts.shape[1], axis=1) if is_varied else None
        found = np.zeros((len(rows), num_steps + 1, starts.shape[1]), np.int32)
        found[:end] = file.windows(starts[:end], num_steps)
        batches = jax.tree.map(jnp.asarray, Minibatch(found, lengths))
        return loop(state, batches, jnp.arange(len(rows)), 0, end, *sums)

    return in_parts(run, min(log_every, MOST_ROWS))


def in_parts(run: Callable[..., Any], most: int) -> Callable[..., Any]:
    """A train loop whose calls see parts of a plan, all of one length.

    Args:
      run: (state, data, rows [most, ...], number of rows that count, total, count) ->
        (state, Metrics).
      most: the length of a part.
    """

    def train_loop(
        state: Any,
        data: Any,
        plan: Any,
        begin: int,
        end: int,
        total: float = 0.0,
        count: float = 0.0,
    ) -> Any:
        skipped = 0
        while True:
            rows = np.asarray(plan[begin : min(begin + most, end)])
            padded = np.zeros((most, plan.shape[1]), rows.dtype)
            padded[: len(rows)] = rows
            state, found = run(state, data, padded, len(rows), total, count)
            begin += len(rows)
            total, count = float(found.total), float(found.count)
            skipped += int(found.skipped)
            is_finite = np.isfinite([total, float(found.grad_norm)]).all()
            if begin >= end or not is_finite:
                return state, found._replace(skipped=skipped)

    return train_loop


def make_plan(
    train: TrainConfig, rng: np.random.Generator, num_tokens: int
) -> np.ndarray:
    """The minibatches of an epoch: starts [n, B], or [n, 1 + B] after their lengths."""
    sizes = num_tokens, train.batch_size, train.num_steps
    if train.vary_steps:
        starts, lengths = batching.varied_partition(rng, *sizes)
        return np.column_stack([lengths, starts])
    if train.sampling == "random":
        return batching.random_sampling(rng, *sizes)
    return batching.sequential_partition(rng, *sizes, train.partial_shuffle)


def make_perplexity(
    config: Config,
    model: LanguageModel,
    texts: Mapping[str, jax.Array],
    placement: Placement = ONE_DEVICE,
) -> Callable[[Any, str], tuple[float, float]]:
    """(params, name of a text) -> (total, count) over a whole held-out text."""

    def loss_fn(params: Any, state: Any, window: jax.Array, mask: jax.Array) -> Any:
        return model.loss(params, window, state=state, mask=mask)

    rows = min(config.train.eval_rows, *(len(tokens) - 1 for tokens in texts.values()))
    num_steps = max(1, EVALUATED // rows)  # bounds the memory of the logits
    run_over = training.make_evaluate(loss_fn, model.initial_state, num_steps)

    def perplexity_of(params: Any, name: str) -> tuple[float, float]:
        plan = batching.whole_text(len(texts[name]), rows, num_steps)
        tokens = placement.everywhere(texts[name])

        def run(params: Any, plan: Any) -> tuple[float, float]:
            return run_over(params, tokens, *plan)

        return placement.held_out(run, (1, 0))(params, tuple(map(jnp.asarray, plan)))

    return perplexity_of
