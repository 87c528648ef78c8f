"""The first mode of the language model command: train."""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np

from experiments.common import activity
from experiments.common.console import note, print_table, print_text
from experiments.common.devices import Placement
from experiments.common.job import Job
from experiments.common.optimizer import make_optimizer, make_schedule
from experiments.common.recurrent import with_precision
from experiments.common.training_run import (
    Trained,
    closing_rows,
    epoch_plan,
    run_summary,
    train_model,
)
from experiments.common.workdir import Workdir
from experiments.language_model.config import Config
from experiments.language_model.data import TextData, fitted, load_data
from experiments.language_model.generation import sample_text
from experiments.language_model.measures import measures
from experiments.language_model.model import (
    BATCH_AXES,
    build_model,
    build_state,
    build_train_loop,
    make_perplexity,
    make_plan,
    rows_state,
)
from experiments.language_model.workdirs import described, open_workdir
from seqjax import metrics
from seqjax.baselines import ngram
from seqjax.data import batching
from seqjax.data.ngrams import count_ngrams
from seqjax.data.token_files import TokenFile
from seqjax.models.language_model import LanguageModel

MAX_COUNTED = 5_000_000  # tokens whose n-grams, about 300 bytes each, fit in memory


@with_precision
def train(config: Config) -> dict[str, Any]:
    """Train until the run is done; the entries of its summary.json."""
    data = load_data(config)
    config = fitted(config, len(data.train))
    workdir = open_workdir(config, training=True)
    model = build_model(config, len(data.tokenizer))
    workdir.check_data(data.sha256)
    total_steps = count_steps(config, len(data.train))
    optimizer = make_optimizer(config.optimizer, total_steps)
    placement = Placement.of(config.devices, BATCH_AXES, config.train.batch_size)
    tokens = {part: text.tokens for part, text in data.held_out.items()}
    perplexity_of = make_perplexity(config, model, tokens, placement)

    # The plan lies on the device, unless its parts are sent there.
    is_sent = isinstance(data.train, TokenFile) or config.train.vary_steps
    place = (lambda plan: plan) if is_sent else jnp.asarray
    job = Job(
        build_train_loop(config, model, optimizer, placement, data.train),
        data.train,
        epoch_plan(
            config.run.seed,
            lambda rng: place(make_plan(config.train, rng, len(data.train))),
        ),
        total_steps,
        epochs=config.train.epochs if decides_by_epochs(config) else None,
        validate=lambda state: {
            "valid_perplexity": metrics.perplexity(
                *perplexity_of(state.params, "valid")
            )
        },
        new_epoch=lambda state: state.replace(carry=rows_state(config, model)),
        learning_rate=make_schedule(config.optimizer, total_steps),
        plateau_factor=config.optimizer.plateau_factor,
        averaging=config.optimizer,
        placement=placement,
        model=model,
    )
    state = build_state(config, model, optimizer)
    with workdir.open_for_training():
        workdir.write_vocab(described(data.tokenizer), data.sha256)
        trained = train_model(job, workdir, state, config.train)
        return report(config, workdir, data, model, trained, perplexity_of)


def decides_by_epochs(config: Config) -> bool:
    """Whether epochs, whose numbers of minibatches differ, end the run."""
    return config.train.vary_steps and not config.train.train_tokens


def count_steps(config: Config, num_tokens: int) -> int:
    """Minibatches of the whole run."""
    sizes = config.train.batch_size, config.train.num_steps
    if config.train.vary_steps:  # an estimate: the lengths are drawn
        sizes = sizes[0], round(0.975 * sizes[1])
    if config.train.train_tokens:
        return -(-config.train.train_tokens // (sizes[0] * sizes[1]))
    return config.train.epochs * batching.num_minibatches(num_tokens, *sizes)


def ngram_order(config: Config, num_tokens: int) -> int:
    """The order of the n-grams for comparison; 0 where the text has too many tokens."""
    if config.train.ngram_order and num_tokens > MAX_COUNTED:
        note(
            f"the training text has {num_tokens:,} tokens: n-grams are counted for "
            f"comparison up to {MAX_COUNTED:,}; python -m experiments.ngrams counts "
            f"more."
        )
        return 0
    return min(config.train.ngram_order, num_tokens)


def ngram_perplexity(data: TextData, order: int) -> float | None:
    """The test perplexity of the Kneser-Ney n-gram model; None for order 0."""
    activity.begin("the n-grams")
    if order == 0:
        return None
    train = data.train.read() if isinstance(data.train, TokenFile) else data.train
    counts = count_ngrams(np.asarray(train), len(data.tokenizer), order)
    test = np.asarray(data.held_out["test"].tokens)
    log_probs = ngram.kneser_ney(counts).log_probs(test)
    return metrics.perplexity(-log_probs.sum(), len(log_probs))


def ngram_rows(order: int, perplexity: float | None) -> list[tuple[str, str]]:
    """The row of the closing table that shows what `ngram_perplexity` returned."""
    if perplexity is None:
        return []
    return [(f"test perplexity (Kneser-Ney, order {order})", f"{perplexity:.3f}")]


def report(
    config: Config,
    workdir: Workdir,
    data: TextData,
    model: LanguageModel,
    trained: Trained,
    perplexity_of: Callable[[Any, str], tuple[float, float]],
) -> dict[str, Any]:
    """Write summary.json, print the closing table and a sample; the summary."""
    params, order = trained.params, ngram_order(config, len(data.train))
    valid, test = perplexity_of(params, "valid"), perplexity_of(params, "test")
    sample = sample_text(config, model, params, data.tokenizer)
    held_out, level = data.held_out["test"], config.data.level
    of_test = measures("test", level, held_out.size, *test)
    summary = {
        "train_perplexity": trained.progress.train_measure,
        "valid_perplexity": metrics.perplexity(*valid),
        "test_perplexity": of_test["test_perplexity"],
        "perplexity_per_word": of_test["test_perplexity_per_word"],
        "bits_per_character": of_test["test_bits_per_character"],
        "bits_per_byte": of_test["test_bits_per_byte"],
        "kneser_ney_perplexity": ngram_perplexity(data, order),
        **run_summary(trained, "tokens", data.sha256),
        "sample": sample,
    }
    workdir.write_summary(summary)
    rows = [
        ("train perplexity, last epoch", f"{summary['train_perplexity']:.3f}"),
        ("valid perplexity", f"{summary['valid_perplexity']:.3f}"),
        ("test perplexity", f"{summary['test_perplexity']:.3f}"),
        *ngram_rows(order, summary["kneser_ney_perplexity"]),
        ("test bits per character", f"{summary['bits_per_character']:.3f}"),
        ("test tokens unknown", f"{float(jnp.mean(held_out.tokens == 0)):.2%}"),
        ("vocabulary", f"{len(data.tokenizer):,}"),
        *closing_rows(summary, "tokens", workdir),
    ]
    print_table(f"{data.name}, {config.model.cell}", rows)
    print_text(sample, "a generated text")
    return summary
