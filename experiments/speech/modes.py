"""The modes of the speech command: train, evaluate, transcribe."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np

from experiments.common.console import note, print_table
from experiments.common.devices import Placement
from experiments.common.errors import UserError
from experiments.common.job import Job, loss_objective, mean_loss
from experiments.common.line_io import write_lines
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
from experiments.common.workdir import Workdir
from experiments.speech.config import Config
from experiments.speech.data import (
    LabelEncoder,
    SpeechBatch,
    load_corpus,
)
from experiments.speech.evaluate import measure, measure_input
from experiments.speech.features import augment_features
from experiments.speech.figures import draw_examples
from experiments.speech.recognition import (
    SpeechRecognizer,
    build_recognizer,
    error_rates,
    make_recognize,
    minibatches_of,
)
from seqjax import training
from seqjax.data import transcripts, wav
from seqjax.data.speech import SpeechCorpus, Utterance
from seqjax.models.ctc_model import CTCBatch

FILES = ("posteriors.png",)


def open_workdir(config: Config, training: bool) -> Workdir:
    """The run's folder, compared with the settings that it was started with."""
    free = () if training else ("batch_size",)
    return open_run(config, FILES, training=training, free=free)


def make_loss(config: Config, recognizer: SpeechRecognizer) -> Callable[..., Any]:
    """The loss of a SpeechBatch, with augmented features."""
    model, front, _ = recognizer

    def loss_fn(params: Any, carry: Any, batch: SpeechBatch, key: jax.Array) -> Any:
        k_augment, k_drop = jax.random.split(key)
        xs, lengths = front.apply(batch.samples, batch.lengths)
        xs = augment_features(
            config.augmentation,
            k_augment,
            xs,
            lengths,
            front,
            config.features.num_mels,
        )
        features = CTCBatch(xs, lengths, batch.labels, batch.label_lengths)
        return model.loss(params, features, k_drop), carry

    return loss_fn


@with_precision
def train(config: Config) -> dict[str, Any]:
    """Train until the run is done; the entries of its summary.json."""
    workdir = open_workdir(config, training=True)
    corpus = load_corpus(config)
    workdir.check_data(corpus.sha256)
    encoder = LabelEncoder.train(config.data, corpus)
    recognizer = build_recognizer(config, encoder)
    minibatches = minibatches_of(config, recognizer, corpus.train)
    total_steps = config.train.epochs * len(minibatches.plan(0))
    optimizer = make_optimizer(config.optimizer, total_steps)
    loss_fn = make_loss(config, recognizer)
    step = training.make_train_step(loss_fn, optimizer, config.train.skip_nonfinite)
    axes = SpeechBatch._make([1, 0, 1, 0])
    placement = Placement.of(config.devices, axes, config.train.batch_size)
    job = Job(
        training.make_batch_loop(placement.step(step), placement.batch),
        data=None,
        plan=minibatches.plan,
        total_steps=total_steps,
        epochs=config.train.epochs,
        validate=make_validation(config, recognizer, corpus.valid, placement),
        objective=loss_objective("labels"),
        learning_rate=make_schedule(config.optimizer, total_steps),
        plateau_factor=config.optimizer.plateau_factor,
        averaging=config.optimizer,
        placement=placement,
        model=recognizer.model,
    )
    state = initial_train_state(recognizer.model, optimizer, config.run.seed)
    with workdir.open_for_training():
        encoder.write(workdir, corpus.sha256)
        if minibatches.left_out:
            note(
                f"{minibatches.left_out:,} of {minibatches.planned:,} training "
                f"utterances are left out of the first epoch: they have fewer steps "
                f"than {config.data.units}."
            )
        trained = train_model(job, workdir, state, config.train)
        return report(config, workdir, corpus, recognizer, trained)


def make_validation(
    config: Config, recognizer: SpeechRecognizer, part: Any, placement: Placement
) -> Callable[[training.TrainState], dict[str, float]]:
    """state -> loss and word error rate of a part by greedy decoding."""
    minibatches = minibatches_of(config, recognizer, part)
    recognize = make_recognize(
        config.data, *recognizer, beam_size=1, placement=placement
    )

    def validate(state: training.TrainState) -> dict[str, float]:
        found, total, count = recognize(state.params, minibatches)
        rate = error_rates(part, found)["word_error_rate"]
        assert rate is not None  # the rate of words is never None
        return {
            "valid_loss": mean_loss(total, count),
            "valid_word_error_rate": rate,
        }

    return validate


@with_precision
def evaluate(config: Config) -> dict[str, Any]:
    """The numbers of the held-out parts or of the transcripts --input, also printed."""
    workdir = open_workdir(config, training=False)
    if config.files.input is None:
        corpus = load_corpus(config)
        workdir.check_data(corpus.sha256)
        numbers = measure(config, corpus, *load(config, workdir))
    else:
        utterances = read_input(config, config.files.input)
        numbers = measure_input(config, utterances, *load(config, workdir))
    print(f"files: {workdir.path}")
    return numbers


def read_input(config: Config, path: str) -> list[Utterance]:
    """The utterances of the transcripts --input.

    Their files are in --wav_dir, if there is one, or beside the file of transcripts.
    """
    spoken = transcripts.read_transcripts(path)
    folder = config.data.wav_dir or Path(path).parent
    return transcripts.read_spoken(folder, spoken)


@with_precision
def transcribe(config: Config) -> list[tuple[str, str]]:
    """Write "file, tab, words" for each wav file of --input; the pairs."""
    if not config.files.input:
        raise UserError("--mode=transcribe needs --input: wav files or a folder.")
    workdir = open_workdir(config, training=False)
    utterances = [
        Utterance(name, "", (), wav.read(path))
        for name, path in named_inputs(config.files.input)
    ]
    recognizer, params = load(config, workdir)
    recognize = make_recognize(
        config.data, *recognizer, config.decode.beam_size, config.decode.limit_words
    )
    minibatches = minibatches_of(config, recognizer, utterances)
    found, _, _ = recognize(params, minibatches)
    pairs = [
        (u.name, " ".join(words)) for u, words in zip(utterances, found, strict=True)
    ]
    write_lines(config.files.output, (f"{name}\t{words}" for name, words in pairs))
    return pairs


def load(config: Config, workdir: Workdir) -> tuple[SpeechRecognizer, Any]:
    """(recognizer, parameters) of a trained run."""
    encoder = LabelEncoder.read(workdir, config.data.units)
    recognizer = build_recognizer(config, encoder)
    return recognizer, load_params(config, workdir, recognizer.model)


def named_inputs(given: str) -> list[tuple[str, Path]]:
    """(name, path) of each wav file of --input; folders are searched at any depth.

    Files of a single folder are named relative to it, as in --transcripts with its
    --wav_dir.

    Raises:
      UserError: for a folder without wav files, or a name that does not fit in a line.
    """
    found: list[tuple[str, Path]] = []
    pieces = [piece for piece in given.split(",") if piece]
    for piece in pieces:
        if not Path(piece).is_dir():
            found.append((piece, Path(piece)))
            continue
        files = transcripts.wavs_in(piece)
        if not files:
            raise UserError(f"--input: {piece} holds no wav file.")
        base = piece if len(pieces) == 1 else None
        found += [(str(f.relative_to(base) if base else f), f) for f in files]
    if not found:
        raise UserError(f"--input={given} names no wav file.")
    for name, _ in found:
        if name.encode(errors="replace").decode() != name or set(name) & set("\t\r\n"):
            raise UserError(
                f"--input: {name!r} does not fit in a line: it is not UTF-8, or it "
                f"holds a tab or an end of line."
            )
    return found


def report(
    config: Config,
    workdir: Workdir,
    corpus: SpeechCorpus,
    recognizer: SpeechRecognizer,
    trained: Trained,
) -> dict[str, Any]:
    """Write summary.json and the figure, print the tables; the summary."""
    units = config.data.units
    summary = {
        **measure(config, corpus, recognizer, trained.params),
        **run_summary(trained, "labels", corpus.sha256),
    }
    workdir.write_summary(summary)
    if config.decode.examples:
        indices = np.linspace(0, len(corpus.test) - 1, config.decode.examples)
        examples = [corpus.test[i] for i in np.unique(indices.astype(int))]
        path = workdir.file("posteriors.png")
        draw_examples(path, examples, *recognizer, trained.params)
    sizes = (len(part) for part in (corpus.train, corpus.valid, corpus.test))
    rows = [
        ("utterances (train, valid, test)", ", ".join(f"{n:,}" for n in sizes)),
        (f"known {units}", f"{len(recognizer.encoder.labels):,}"),
        *closing_rows(summary, "labels", workdir),
    ]
    title = f"{corpus.name}, {config.model.cell}, {config.features.features}"
    print_table(title, rows)
    return summary
