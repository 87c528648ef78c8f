"""The modes of the classification command: train, evaluate, classify."""

from typing import Any, NamedTuple

import numpy as np

from experiments.classification import bag_of_words, pretraining
from experiments.classification.bag_of_words import BagOfWords
from experiments.classification.config import Config
from experiments.classification.data import (
    BATCH_AXES,
    DocumentEncoder,
    EncodedSplit,
    load_corpus,
    make_plan,
    note_unread,
)
from experiments.classification.evaluate import (
    print_errors,
    score,
    score_baselines,
    score_rows,
    show_attention,
)
from experiments.classification.figures import draw_confusion
from experiments.classification.model import build_model, build_train_loop, predict
from experiments.classification.pretraining import build_pretraining, pretrain
from experiments.common.console import print_table
from experiments.common.devices import ONE_DEVICE, Placement
from experiments.common.job import Job, Objective
from experiments.common.line_io import read_lines, write_lines
from experiments.common.optimizer import (
    initial_train_state,
    make_optimizer,
    make_schedule,
)
from experiments.common.recurrent import with_precision
from experiments.common.training_run import (
    Trained,
    closing_rows,
    load_params,
    open_run,
    run_summary,
    train_model,
)
from experiments.common.vectors import start_from_vectors
from experiments.common.workdir import Workdir
from seqjax import metrics
from seqjax.data import labeled
from seqjax.models.classifier import Classifier

FILES = ("confusion.png", "attention.png", bag_of_words.FILE, pretraining.FOLDER)
OBJECTIVES = {
    "accuracy": Objective(criterion="valid_accuracy", maximize=True, unit="documents"),
    "loss": Objective(unit="documents"),
}


def open_workdir(config: Config, training: bool) -> Workdir:
    """The run's folder, compared with the settings that it was started with."""
    free = () if training else ("batch_size",)
    return open_run(config, FILES, training=training, free=free)


@with_precision
def train(config: Config) -> dict[str, Any]:
    """Train until the run is done; the entries of its summary.json."""
    workdir = open_workdir(config, training=True)
    corpus = load_corpus(config.data, config.run.data_dir)
    workdir.check_data(corpus.sha256)
    if workdir.has_checkpoints():
        encoder = DocumentEncoder.read(workdir, config.data)
    else:
        encoder = DocumentEncoder.train(corpus, config.data)
    training_split = encoder.encode_split(corpus.train)
    bag, training_split = count_words(config, encoder, training_split)
    valid = encode(encoder, bag, corpus.valid)
    batch_size = config.train.batch_size
    plan = make_plan(training_split, batch_size, config.run.seed)
    total_steps = config.train.epochs * len(plan(0))
    model = build_model(config.model, encoder)
    optimizer = make_optimizer(config.optimizer, total_steps)

    placement = Placement.of(config.devices, BATCH_AXES, batch_size)

    def validate(state: Any) -> dict[str, float]:
        log_probs = predict_split(model, state.params, valid, batch_size, placement)
        return score("valid", log_probs, valid.labels)

    job = Job(
        build_train_loop(config.train, model, optimizer, placement),
        data=None,
        plan=plan,
        total_steps=total_steps,
        validate=validate,
        objective=OBJECTIVES[config.train.criterion],
        learning_rate=make_schedule(config.optimizer, total_steps),
        plateau_factor=config.optimizer.plateau_factor,
        averaging=config.optimizer,
        placement=placement,
        model=model,
    )
    language_model = None
    if config.train.pretrain_epochs:
        language_model = build_pretraining(model, (training_split, valid))
    state = initial_train_state(model, optimizer, config.run.seed)
    is_new = not workdir.has_checkpoints()
    if is_new and config.model.vectors is not None:
        words = encoder.tokenizer.vocab.tokens
        state = start_from_vectors(state, config.model.vectors, words)
    with workdir.open_for_training():
        if is_new and language_model is not None:
            arguments = language_model, state.params, plan, valid, corpus.sha256
            state = state.replace(params=pretrain(config, workdir, *arguments))
        encoder.write(workdir, corpus.sha256)
        if bag is not None:
            bag.write(workdir)
        note_unread(encoder, corpus.train.texts, training_split.documents)
        trained = train_model(job, workdir, state, config.train)
        classifier = TrainedClassifier(encoder, bag, model, trained.params)
        return report(config, workdir, corpus, classifier, training_split, trained)


def count_words(
    config: Config, encoder: DocumentEncoder, split: EncodedSplit
) -> tuple[BagOfWords | None, EncodedSplit]:
    """The counts of a training part for naive Bayes, and the part with its offsets."""
    if config.model.naive_bayes == "none":
        return None, split
    sizes = len(encoder.tokenizer), len(encoder.labels)
    with_bigrams = config.model.naive_bayes == "bigrams"
    bag, offsets = BagOfWords.train(split, *sizes, with_bigrams)
    return bag, split._replace(offsets=offsets)


def encode(
    encoder: DocumentEncoder, bag: BagOfWords | None, split: labeled.LabeledSplit
) -> EncodedSplit:
    """A held-out part with its offsets."""
    encoded = encoder.encode_split(split)
    if bag is None:
        return encoded
    return encoded._replace(offsets=bag.offsets(encoded.documents))


def predict_split(
    model: Classifier,
    params: Any,
    split: EncodedSplit,
    batch_size: int,
    placement: Placement = ONE_DEVICE,
) -> np.ndarray:
    """Log-probabilities [documents, C]; see `predict`."""
    where = batch_size, placement
    return predict(model, params, split.documents, split.offsets, *where)


@with_precision
def evaluate(config: Config) -> dict[str, float]:
    """Scores of the test part or of the labeled file --input, also printed."""
    workdir = open_workdir(config, training=False)
    encoder, bag, model, params = load(config, workdir)
    if config.files.input is None:
        corpus = load_corpus(config.data, config.run.data_dir)
        workdir.check_data(corpus.sha256)
        split = corpus.test
    else:
        columns = config.data.columns
        split = labeled.read_file(config.files.input, encoder.labels, columns)
    encoded = encode(encoder, bag, split)
    log_probs = predict_split(model, params, encoded, config.train.batch_size)
    scores = score("test", log_probs, encoded.labels)
    rows = [
        *score_rows("test", scores),
        ("documents", f"{len(split.texts):,}"),
        ("files", workdir.path),
    ]
    print_table(f"{config.train.checkpoint} checkpoint", rows)
    print_errors(split, log_probs, encoder.labels, config.files.examples)
    return scores


@with_precision
def classify(config: Config) -> list[tuple[str, float]]:
    """The label of each input line and its probability, also written as lines."""
    workdir = open_workdir(config, training=False)
    texts = read_lines(config.files.input)
    encoder, bag, model, params = load(config, workdir)
    documents = encoder.encode(texts)
    offsets = None if bag is None else bag.offsets(documents)
    log_probs = predict(model, params, documents, offsets, config.train.batch_size)
    note_unread(encoder, texts, documents)
    found = [
        (encoder.labels[row.argmax()], float(np.exp(row.max()))) for row in log_probs
    ]
    write_lines(
        config.files.output,
        (f"{label}\t{probability:.4f}" for label, probability in found),
    )
    return found


class TrainedClassifier(NamedTuple):
    """A trained model with what encodes its inputs."""

    encoder: DocumentEncoder
    bag: BagOfWords | None
    model: Classifier
    params: Any


def load(config: Config, workdir: Workdir) -> TrainedClassifier:
    """The classifier of a trained run."""
    encoder = DocumentEncoder.read(workdir, config.data)
    model = build_model(config.model, encoder)
    params = load_params(config, workdir, model)
    bag = None
    if config.model.naive_bayes != "none":
        sizes = len(encoder.tokenizer), len(encoder.labels)
        bag = BagOfWords.read(workdir, *sizes)
    return TrainedClassifier(encoder, bag, model, params)


def report(
    config: Config,
    workdir: Workdir,
    corpus: labeled.LabeledCorpus,
    classifier: TrainedClassifier,
    training_split: EncodedSplit,
    trained: Trained,
) -> dict[str, Any]:
    """Write summary.json and the figures, print the tables; the summary."""
    encoder, bag, model, params = classifier
    num_labels, batch_size = len(encoder.labels), config.train.batch_size
    valid, test = (encode(encoder, bag, part) for part in (corpus.valid, corpus.test))
    log_probs = predict_split(model, params, test, batch_size)
    valid_log_probs = predict_split(model, params, valid, batch_size)
    summary = {
        **score("test", log_probs, test.labels),
        **score("valid", valid_log_probs, valid.labels),
        **score_baselines(training_split, test, len(encoder.tokenizer), num_labels),
        **run_summary(trained, "documents", corpus.sha256),
    }
    workdir.write_summary(summary)
    counts = metrics.confusion(log_probs.argmax(-1), test.labels, num_labels)
    draw_confusion(workdir.file("confusion.png"), counts, encoder.labels)
    print_summary(config, workdir, corpus, len(encoder.tokenizer), summary)
    examples = config.files.examples
    print_errors(corpus.test, log_probs, encoder.labels, examples)
    if config.model.pooling == "attention" and examples:
        path = workdir.file("attention.png")
        show_attention(path, model, params, encoder, corpus.test, log_probs, examples)
    return summary


def print_summary(
    config: Config,
    workdir: Workdir,
    corpus: labeled.LabeledCorpus,
    vocab_size: int,
    summary: dict[str, Any],
) -> None:
    """Print the closing table."""
    sizes = (len(part.texts) for part in (corpus.train, corpus.valid, corpus.test))
    rows = [
        *score_rows("test", summary),
        (
            "test accuracy (naive Bayes)",
            f"{summary['naive_bayes_test_accuracy']:.2%}",
        ),
        (
            "test accuracy (most frequent label)",
            f"{summary['majority_test_accuracy']:.2%}",
        ),
        *score_rows("valid", summary),
        ("documents", ", ".join(f"{size:,}" for size in sizes)),
        ("vocabulary", f"{vocab_size:,}"),
        *closing_rows(summary, "documents", workdir),
    ]
    title = f"{corpus.name}, {config.model.cell}, {config.model.pooling}"
    print_table(title, rows)
