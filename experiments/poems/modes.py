"""The modes of the poems command: train, evaluate, generate."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import cycle, islice
from typing import Any

import jax
import numpy as np

from experiments.common.adaptation import check_cache, make_reader, training_squares
from experiments.common.console import note_unknown, print_table, print_text
from experiments.common.devices import Placement
from experiments.common.job import Job, Objective
from experiments.common.language_model import build_language_model
from experiments.common.line_io import evaluation_title
from experiments.common.optimizer import (
    initial_train_state,
    make_optimizer,
    make_schedule,
)
from experiments.common.recurrent import with_precision
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
from experiments.poems.config import Config
from experiments.poems.data import (
    PoemBatch,
    PoemEncoder,
    load_corpus,
    make_batch,
    read_kept,
)
from experiments.poems.generation import generate_poems, sample_poems
from experiments.poems.model import (
    Perplexity,
    make_perplexity,
    poem_loss,
)
from seqjax import metrics, training
from seqjax.adaptation import document_windows
from seqjax.baselines import ngram
from seqjax.data import batching, buckets, poems
from seqjax.data.ngrams import count_ngrams
from seqjax.data.poems import Poem, PoemCorpus
from seqjax.data.vocab import BOS, Vocab
from seqjax.models.language_model import LanguageModel


def open_workdir(config: Config, training: bool) -> Workdir:
    """The run's folder, compared with the settings that it was started with."""
    free = set() if training else {"batch_size", "batch_tokens"}
    # With a plateau schedule or patience, training depends on the validations.
    if not config.optimizer.needs_validation and not config.train.patience:
        free.add("eval_every")
    return open_run(config, training=training, free=free)


@with_precision
def train(config: Config) -> dict[str, Any]:
    """Train until the run is done; the entries of its summary.json."""
    workdir = open_workdir(config, training=True)
    corpus = load_corpus(config.data, config.run.data_dir)
    workdir.check_data(corpus.sha256)
    encoder = PoemEncoder.train(config.data, corpus.train)
    plan = make_plan(config, encoder, corpus)
    model = build_language_model(config.model, len(encoder.vocab))
    total_steps = config.train.epochs * len(plan(0))
    optimizer = make_optimizer(config.optimizer, total_steps)
    rows = 0 if config.train.batch_tokens else config.train.batch_size
    placement = Placement.of(config.devices, PoemBatch._make([1, 0, 0]), rows)
    perplexity_of = make_perplexity(config, model, corpus.held_out, encoder, placement)

    def loss_fn(params: Any, carry: Any, batch: PoemBatch, key: jax.Array) -> Any:
        return poem_loss(model, params, batch, key), carry

    step = training.make_train_step(loss_fn, optimizer, config.train.skip_nonfinite)
    job = Job(
        training.make_batch_loop(placement.step(step), placement.batch),
        data=None,
        plan=plan,
        total_steps=total_steps,
        validate=lambda state: {
            "valid_perplexity": perplexity_of(state.params, "valid")
        },
        objective=Objective(unit="characters"),
        learning_rate=make_schedule(config.optimizer, total_steps),
        plateau_factor=config.optimizer.plateau_factor,
        averaging=config.optimizer,
        placement=placement,
        model=model,
    )
    state = initial_train_state(model, optimizer, config.run.seed)
    with workdir.open_for_training():
        workdir.write_vocab(encoder.vocab.tokens, corpus.sha256)
        trained = train_model(job, workdir, state, config.train)
        return report(config, workdir, corpus, encoder, model, trained, perplexity_of)


def make_plan(
    config: Config, encoder: PoemEncoder, corpus: PoemCorpus
) -> Callable[[int], Any]:
    """epoch -> a function for each minibatch, which makes it."""
    sequences = encoder.sequences(corpus.train)
    lengths = [len(s.tokens) for s in sequences]
    batch_tokens = config.train.batch_tokens
    size = 0 if batch_tokens else config.train.batch_size

    def make(rng: np.random.Generator) -> list[Callable[[], PoemBatch]]:
        return [
            partial(make_batch, sequences, bucket)
            for bucket in buckets.plan_lengths(lengths, size, batch_tokens, rng)
        ]

    return epoch_plan(config.run.seed, make)


@with_precision
def evaluate(config: Config) -> dict[str, float]:
    """The perplexities of the held-out parts or of the poems --input, also printed."""
    workdir = open_workdir(config, training=False)
    encoder, model, params = load(config, workdir)
    parts: Mapping[str, Sequence[Poem]]
    if config.files.input is None:
        corpus = load_corpus(config.data, config.run.data_dir)
        workdir.check_data(corpus.sha256)
        parts = corpus.held_out
    else:
        parts = {"test": read_kept(config.data, config.files.input)[0]}
        contents = [list(poem.content) for poem in parts["test"]]
        note_unknown((c, encoder.vocab.encode(c)) for c in contents)
    if config.adaptation.adapts:
        perplexity_of = make_adapting(config, workdir, model, params, parts, encoder)
    else:
        perplexity_of = make_perplexity(config, model, parts, encoder)
    found = {f"{part}_perplexity": perplexity_of(params, part) for part in parts}
    rows = [
        *((name.replace("_", " "), f"{x:.4f}") for name, x in found.items()),
        ("test poems", f"{len(parts['test']):,}"),
        ("files", workdir.path),
    ]
    title = evaluation_title(f"{config.train.checkpoint} checkpoint", config.files)
    print_table(title, rows)
    return found


def make_adapting(
    config: Config,
    workdir: Workdir,
    model: LanguageModel,
    params: Any,
    parts: Mapping[str, Sequence[Poem]],
    encoder: PoemEncoder,
) -> Perplexity:
    """As `make_perplexity`, of a model that adapts to poems read one after another."""
    adaptation, squares = config.adaptation, None
    if adaptation.dynamic == "rms":
        corpus = load_corpus(config.data, config.run.data_dir)
        workdir.check_data(corpus.sha256)
        tokens = encoder.one_text(corpus.train)
        steps, rows = adaptation.dynamic_steps, min(config.train.batch_size, 64)
        rng = batching.epoch_rng(config.run.seed, 0)
        plan = batching.sequential_partition(rng, len(tokens), rows, steps)
        squares = training_squares(adaptation, model, params, tokens, plan, steps)
    reader = make_reader(adaptation, model)

    def perplexity_of(params: Any, part: str) -> float:
        sequences = encoder.sequences(parts[part])
        windows = document_windows(
            [s.tokens for s in sequences],
            [s.start for s in sequences],
            adaptation.window_steps,
        )
        check_cache(adaptation, windows, f"the {part} part")
        losses = reader.losses(params, windows, squares)
        return metrics.perplexity(float(losses.sum(dtype=np.float64)), len(losses))

    return perplexity_of


@with_precision
def generate(config: Config) -> list[str]:
    """New poems, also printed."""
    workdir = open_workdir(config, training=False)
    encoder, model, params = load(config, workdir)
    texts = generate_poems(config.decode, model, params, encoder, config.run.seed)
    for text in texts:
        print(text)
    return texts


def load(config: Config, workdir: Workdir) -> tuple[PoemEncoder, LanguageModel, Any]:
    """(encoder, model, parameters) of a trained run."""
    vocab, _ = workdir.read_vocab(Vocab.from_list)
    model = build_language_model(config.model, len(vocab))
    params = load_params(config, workdir, model)
    return PoemEncoder(config.data, vocab), model, params


def ngram_perplexity(corpus: PoemCorpus, encoder: PoemEncoder, order: int) -> float:
    """The perplexity of the Kneser-Ney n-gram model, which reads no titles."""
    train, test = map(encoder.one_text, (corpus.train, corpus.test))
    counts = count_ngrams(train, len(encoder.vocab), order)
    log_probs = ngram.kneser_ney(counts).log_probs(test)[test[1:] != BOS]
    return metrics.perplexity(-log_probs.sum(), len(log_probs))


def evaluate_samples(
    config: Config,
    model: LanguageModel,
    params: Any,
    encoder: PoemEncoder,
    corpus: PoemCorpus,
) -> tuple[dict[str, float], list[str]]:
    """(form and novelty, texts) of poems sampled under titles of the validation set."""
    known = set(encoder.vocab.tokens)
    titles = [p.title for p in corpus.valid if known.issuperset(p.title)] or [""]
    titles = list(islice(cycle(titles), config.evaluate.samples))
    drawn = sample_poems(config.decode, model, params, encoder, titles, config.run.seed)
    form = config.data.line_length, config.data.num_lines
    valid = [ended and poems.is_regulated(text, *form) for text, ended in drawn]
    texts = [text for text, _ in drawn]
    numbers = {
        "valid_form": float(np.mean(valid)),
        "novelty": poems.novelty(texts, [p.content for p in corpus.train]),
    }
    return numbers, texts


def report(
    config: Config,
    workdir: Workdir,
    corpus: PoemCorpus,
    encoder: PoemEncoder,
    model: LanguageModel,
    trained: Trained,
    perplexity_of: Perplexity,
) -> dict[str, Any]:
    """Write summary.json, print the closing table and some poems; the summary."""
    params, order = trained.params, config.evaluate.ngram_order
    quality, texts = evaluate_samples(config, model, params, encoder, corpus)
    baseline, test = (
        ngram_perplexity(corpus, encoder, order),
        perplexity_of(params, "test"),
    )
    summary = {
        "train_perplexity": trained.progress.train_measure,
        "valid_perplexity": perplexity_of(params, "valid"),
        "test_perplexity": test,
        "kneser_ney_perplexity": baseline,
        "below_kneser_ney": 1 - test / baseline,
        **quality,
        **run_summary(trained, "characters", corpus.sha256),
        "sample": texts[0],
    }
    workdir.write_summary(summary)
    sizes = (len(part) for part in (corpus.train, corpus.valid, corpus.test))
    rows = [
        ("poems (train + valid + test)", " + ".join(f"{n:,}" for n in sizes)),
        ("valid perplexity", f"{summary['valid_perplexity']:.3f}"),
        ("test perplexity", f"{test:.3f}"),
        (f"test perplexity, Kneser-Ney of order {order}", f"{baseline:.3f}"),
        ("reduction", f"{summary['below_kneser_ney']:.1%}"),
        ("sampled poems of valid form", f"{quality['valid_form']:.1%}"),
        ("7-grams absent from training", f"{quality['novelty']:.1%}"),
        ("vocabulary", f"{len(encoder.vocab):,}"),
        *closing_rows(summary, "characters", workdir),
    ]
    print_table(f"{corpus.name}, {config.model.cell}", rows)
    print_text("\n".join(texts[:4]), "some poems")
    return summary
