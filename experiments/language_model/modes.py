"""The modes of the language model command: train, evaluate, generate."""

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.common import activity
from experiments.common.console import note, print_table, print_text
from experiments.common.devices import Placement
from experiments.common.job import Job
from experiments.common.line_io import evaluation_title
from experiments.common.optimizer import UNSCHEDULED, make_optimizer, make_schedule
from experiments.common.recurrent import with_precision
from experiments.common.text import known_prompt, read_input, text_pieces
from experiments.common.training_run import (
    Trained,
    closing_rows,
    epoch_plan,
    load_params,
    open_run,
    run_summary,
    train_model,
)
from experiments.common.workdir import Workdir
from experiments.language_model.config import Config
from experiments.language_model.data import TextData, fitted, load_data
from experiments.language_model.model import (
    BATCH_AXES,
    build_model,
    build_state,
    build_train_loop,
    make_perplexity,
    make_plan,
    rows_state,
)
from seqjax import decoding, metrics
from seqjax.baselines import ngram
from seqjax.data import batching
from seqjax.data.ngrams import count_ngrams
from seqjax.data.vocab import Vocab
from seqjax.models.language_model import LanguageModel

MAX_COUNTED = 5_000_000  # tokens whose n-grams, about 300 bytes each, fit in memory


def open_workdir(config: Config, training: bool) -> Workdir:
    """The run's folder, compared with the settings that it was started with."""
    free, schedule = set(), config.optimizer.schedule
    if schedule in UNSCHEDULED:
        free |= {"train_tokens"}
    if schedule != "plateau":  # there, validation decides the learning rate
        free |= {"eval_every", "eval_rows"}
    return open_run(config, training=training, free=free)


@with_precision
def train(config: Config) -> dict[str, Any]:
    """Train until the run is done; the entries of its summary.json."""
    data = load_data(config)
    config = fitted(config, len(data.train))
    workdir = open_workdir(config, training=True)
    model = build_model(config, len(data.vocab))
    workdir.check_data(data.corpus.sha256)
    total_steps = count_steps(config, len(data.train))
    optimizer = make_optimizer(config.optimizer, total_steps)
    placement = Placement.of(config.devices, BATCH_AXES, config.train.batch_size)
    perplexity_of = make_perplexity(config, model, data.held_out, placement)

    job = Job(
        build_train_loop(config, model, optimizer, placement),
        data.train,
        epoch_plan(
            config.run.seed,
            lambda rng: jnp.asarray(make_plan(config.train, rng, len(data.train))),
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
        workdir.write_vocab(data.vocab.tokens, data.corpus.sha256)
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


@with_precision
def evaluate(config: Config) -> dict[str, float]:
    """Perplexity and bits per character of held-out texts, also printed.

    They are the validation and the test part or, as test text, the file --input.
    """
    workdir = open_workdir(config, training=False)
    vocab, _ = workdir.read_vocab()
    if config.files.input is None:
        data = load_data(config)
        workdir.check_data(data.corpus.sha256)
        texts, tokens = data.corpus._asdict(), data.held_out
    else:
        text, indices = read_input(config.data, config.files.input, vocab)
        texts, tokens = {"test": text}, {"test": jnp.asarray(indices)}
    model = build_model(config, len(vocab))
    params = load_params(config, workdir, model, carry=rows_state(config, model))
    perplexity_of = make_perplexity(config, model, tokens)
    found = {}
    for part in tokens:
        sums = perplexity_of(params, part)
        found[f"{part}_perplexity"] = metrics.perplexity(*sums)
        found[f"{part}_bits_per_character"] = bits(config, texts[part], *sums)
    rows = [(name.replace("_", " "), f"{x:.4f}") for name, x in found.items()]
    unknown = float(jnp.mean(tokens["test"] == 0))
    rows += [
        ("test tokens", f"{len(tokens['test']):,}"),
        ("test tokens unknown", f"{unknown:.2%}"),
    ]
    title = evaluation_title(f"{config.train.checkpoint} checkpoint", config.files)
    print_table(title, [*rows, ("files", workdir.path)])
    return found


@with_precision
def generate(config: Config) -> str:
    """The prompt and its continuation, printed piece by piece."""
    workdir = open_workdir(config, training=False)
    vocab, _ = workdir.read_vocab()
    model = build_model(config, len(vocab))
    params = load_params(config, workdir, model, carry=rows_state(config, model))
    pieces = []
    for piece in generated(config, model, params, vocab):
        print(piece, end="", flush=True)
        pieces.append(piece)
    print()
    return "".join(pieces)


def bits(config: Config, text: str, total: float, count: float) -> float:
    """Bits per character; the bits of a word are spread over its characters.

    An unknown word costs what "<unk>" costs, which flatters small vocabularies: the
    table shows the share of unknown tokens beside it.
    """
    characters = count
    if config.data.level != "char":
        characters = len(text)
    return metrics.bits_per_character(total, characters)


def generated(
    config: Config, model: LanguageModel, params: Any, vocab: Vocab
) -> Iterator[str]:
    """The prompt and its continuation as pieces of text."""
    tokens = known_prompt(config.data, config.prompt, vocab)
    stream = decoding.stream(
        lambda state, token, params: model.step(params, state, token),
        model.initial_state(),
        vocab.encode(tokens),
        jax.random.key(config.run.seed),
        context=params,
        **config.decode.options(),
    )
    stream = itertools.islice(stream, config.prompt.length)
    yield from text_pieces(tokens, stream, vocab, config.data.level)


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
    train, test = np.asarray(data.train), np.asarray(data.test)
    if order == 0:
        return None
    counts = count_ngrams(train, len(data.vocab), order)
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
    sample = "".join(generated(config, model, params, data.vocab))
    summary = {
        "train_perplexity": trained.progress.train_measure,
        "valid_perplexity": metrics.perplexity(*valid),
        "test_perplexity": metrics.perplexity(*test),
        "bits_per_character": bits(config, data.corpus.test, *test),
        "kneser_ney_perplexity": ngram_perplexity(data, order),
        **run_summary(trained, "tokens", data.corpus.sha256),
        "sample": sample,
    }
    workdir.write_summary(summary)
    rows = [
        ("train perplexity, last epoch", f"{summary['train_perplexity']:.3f}"),
        ("valid perplexity", f"{summary['valid_perplexity']:.3f}"),
        ("test perplexity", f"{summary['test_perplexity']:.3f}"),
        *ngram_rows(order, summary["kneser_ney_perplexity"]),
        ("test bits per character", f"{summary['bits_per_character']:.3f}"),
        ("test tokens unknown", f"{float(jnp.mean(data.test == 0)):.2%}"),
        ("vocabulary", f"{len(data.vocab):,}"),
        *closing_rows(summary, "tokens", workdir),
    ]
    print_table(f"{data.corpus.name}, {config.model.cell}", rows)
    print_text(sample, "a generated text")
    return summary
