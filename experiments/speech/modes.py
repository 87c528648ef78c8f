"""Speech to words, without an alignment: train, evaluate, transcribe.

Examples:
    python -m experiments.speech
    python -m experiments.speech --dataset=fsdd --units=words --workdir=runs/fsdd
    python -m experiments.speech --wav_dir=wavs --transcripts=words.tsv
    python -m experiments.speech --mode=transcribe --input=wavs

A recurrent network reads mel spectrograms of 25 ms frames and gives, at each step, a
letter, a word or nothing; greedy or prefix beam search makes words of it, whose error
rate is measured, as is that of their letters.

Where --help, which all experiments share, says otherwise, `DEFAULTS` below holds.
"""

import sys
from pathlib import Path

import jax
import numpy as np
from absl import flags

from experiments import build, fit, hearing, lines, recordings, run, speech_figures
from experiments.workdir import open_run, restore_params
from seqjax import training
from seqjax.data import speech, wav
from seqjax.models.ctc_model import Recognizer

FLAGS = flags.FLAGS
for module in (run, recordings, hearing, build, fit, lines):
    flags.adopt_module_key_flags(module)
flags.DEFINE_enum("mode", "train", ["train", "evaluate", "transcribe"], "what to do")

# Model: experiments/build.py has the rest; hearing.py has the features.
flags.DEFINE_integer("stacking", 2, "frames, of 10 ms each, in a step", 1, 100)

# Training: build.py, fit.py, hearing.py and recordings.py have the rest.
flags.DEFINE_integer("epochs", 12, "passes over the recordings", lower_bound=1)
flags.DEFINE_enum("checkpoint", "best", ["best", "last"], "best on validation, or last")

# Results.
flags.DEFINE_integer("beam_size", 10, "prefixes kept; 1 is greedy", 1, 1000)
flags.DEFINE_bool(
    "limit_words", False, "as many as --min_words to --max_words recordings have"
)
flags.DEFINE_integer("examples", 3, "test utterances shown, 0: none", 0, 8)

FREE_FLAGS = {
    *("workdir", "data_dir", "mode", "checkpoint_every", "checkpoint"),
    *("average_checkpoints", "input", "output", "beam_size", "examples"),
    "limit_words",
    *("wav_dir", "transcripts"),  # the checksum tells
}
DEFAULTS = {  # where build's are others
    "cell": "gru",
    "bidirectional": True,
    "hidden_size": 64,
    "learning_rate": 0.006,
}


def main():
    run.set_defaults(DEFAULTS)
    recordings.check_flags()
    hearing.check_flags()
    build.check_flags()
    lines.check_flags("transcribe")
    if FLAGS.limit_words and FLAGS.beam_size == 1:
        raise run.UserError("--limit_words needs a --beam_size above 1 to choose from.")
    if FLAGS.mode == "transcribe" and not FLAGS.input:
        raise run.UserError("--mode=transcribe needs --input: wav files or a folder.")
    modes = {"train": train, "evaluate": evaluate, "transcribe": transcribe}
    with build.precision():
        modes[FLAGS.mode]()


def open_workdir(must_hold_a_run=False):
    free = FREE_FLAGS if FLAGS.mode == "train" else FREE_FLAGS | {"batch_size"}
    return open_run(sys.modules[__name__], free, must_hold_a_run)


# ---------------------------------------------------------------- the model


def build_model(coder, front):
    return Recognizer(
        len(coder.labels) + 1,
        build.cell(),
        front.size,
        FLAGS.stacking,
        FLAGS.dropout,
        FLAGS.locked_dropout,
    )


def build_loss(model, front):
    def loss_fn(params, carry, batch, key):
        k_change, k_drop = jax.random.split(key)
        xs, lengths = front.apply(batch.samples, batch.lengths)
        xs = hearing.changed(k_change, xs, lengths, front.rate)
        logits, steps = model.logits(params, xs, lengths, k_drop)
        return model.loss(logits, steps, batch.labels, batch.label_lengths), carry

    return loss_fn


def load_params(workdir, model):
    template = build.state(model, build.optimizer(total_steps=1))
    return restore_params(workdir, FLAGS.checkpoint, template)


# ---------------------------------------------------------------- the three modes


def train():
    workdir = open_workdir()
    corpus = recordings.load_corpus()
    workdir.check_data(corpus.sha256)
    coder, front = recordings.Coder.train(corpus), hearing.build_front()
    model = build_model(coder, front)
    minibatches = recordings.Minibatches(corpus.train, coder, front, model)
    total_steps = FLAGS.epochs * len(minibatches.plan(0))
    optimizer = build.optimizer(total_steps)
    step = training.make_train_step(build_loss(model, front), optimizer)
    job = fit.Job(
        training.make_batch_loop(step),
        data=None,
        plan=minibatches.plan,
        total_steps=total_steps,
        epochs=FLAGS.epochs,
        validate=make_validation(model, front, coder, corpus.valid),
        criterion="valid_loss",
        measure="loss",
        measure_of=mean_loss,
        unit="labels",
    )
    state = build.state(model, optimizer)
    with workdir.open_for_training():
        coder.write(workdir, corpus.sha256)
        if minibatches.left_out:
            run.note(
                f"{minibatches.left_out:,} of {minibatches.planned:,} training "
                f"utterances are left out of the first epoch: they have fewer steps "
                f"than {FLAGS.units}."
            )
        state, progress = fit.fit(job, workdir, state)
        report(workdir, corpus, coder, model, front, state, progress)


def mean_loss(total, count):
    """In nats a label."""
    return total / count if count else float("inf")


def make_validation(model, front, coder, part):
    """state -> the numbers of a validation."""
    minibatches = recordings.Minibatches(part, coder, front, model)
    recognize = recordings.make_recognize(model, front, coder, beam_size=1)

    def validate(state):
        found, total, count = recognize(state.params, minibatches)
        return {
            "valid_loss": mean_loss(total, count),
            "valid_word_error_rate": recordings.score(part, found)["word_error_rate"],
        }

    return validate


def evaluate():
    workdir = open_workdir(must_hold_a_run=True)
    corpus = recordings.load_corpus()
    workdir.check_data(corpus.sha256)
    coder, front = recordings.Coder.read(workdir), hearing.build_front()
    model = build_model(coder, front)
    measured(corpus, coder, model, front, load_params(workdir, model))
    print(f"files: {workdir.path}")


def transcribe():
    workdir = open_workdir(must_hold_a_run=True)
    heard = [
        speech.Utterance(name, "", (), wav.read(path))
        for name, path in named_inputs(FLAGS.input)
    ]
    coder, front = recordings.Coder.read(workdir), hearing.build_front()
    model = build_model(coder, front)
    minibatches = recordings.Minibatches(heard, coder, front, model)
    recognize = recordings.make_recognize(
        model, front, coder, FLAGS.beam_size, FLAGS.limit_words
    )
    found, _, _ = recognize(load_params(workdir, model), minibatches)
    lines.write(
        f"{u.name}\t{' '.join(words)}" for u, words in zip(heard, found, strict=True)
    )


def named_inputs(given):
    """(name, path) of each wav file that --input gives, folders at any depth.

    Files of one folder are named within it, as in --transcripts with its --wav_dir.

    Raises:
      UserError: for a folder without any, or a name that does not fit into a line.
    """
    found, pieces = [], [piece for piece in given.split(",") if piece]
    for piece in pieces:
        if not Path(piece).is_dir():
            found.append((piece, piece))
            continue
        files = speech.wavs_in(piece)
        if not files:
            raise run.UserError(f"--input: {piece} holds no wav file.")
        base = piece if len(pieces) == 1 else None
        found += [(str(f.relative_to(base) if base else f), f) for f in files]
    if not found:
        raise run.UserError(f"--input={given} names no wav file.")
    for name, _ in found:
        if name.encode(errors="replace").decode() != name or set(name) & set("\t\r\n"):
            raise run.UserError(
                f"--input: {name!r} cannot stand in a line: it is not UTF-8, or holds "
                f"a tab or an end of line."
            )
    return found


# ---------------------------------------------------------------- results


def report(workdir, corpus, coder, model, front, state, progress):
    """The tables, summary.json and the figures."""
    params = state.params
    if FLAGS.checkpoint == "best":
        params = restore_params(workdir, "best", state)
    summary = {
        **measured(corpus, coder, model, front, params),
        "best_step": progress.best_step,
        "parameters": sum(p.size for p in jax.tree.leaves(params)),
        "seconds": progress.seconds,
        "labels_per_second": progress.predictions / progress.train_seconds,
        "dataset_sha256": corpus.sha256,
    }
    workdir.write_summary(summary)
    path = workdir.path
    run.draw_learning_curve(path / "learning_curve.png", workdir.read_metrics(), "loss")
    if FLAGS.examples:
        draw_examples(path / "posteriors.png", corpus, coder, model, front, params)
    sizes = (len(part) for part in (corpus.train, corpus.valid, corpus.test))
    rows = [
        ("to train, valid and test", ", ".join(f"{n:,}" for n in sizes)),
        (f"{FLAGS.units} known", f"{len(coder.labels):,}"),
        ("parameters", f"{summary['parameters']:,}"),
        (f"training {FLAGS.units}/s", f"{summary['labels_per_second']:,.0f}"),
        ("seconds", f"{summary['seconds']:.1f}"),
        ("files", path),
    ]
    run.print_table(f"{corpus.name}, {FLAGS.cell}, {FLAGS.features}", rows)


def measured(corpus, coder, model, front, params):
    """The held-out parts recognized, the tables printed: numbers for summary.json."""
    make = recordings.make_recognize
    recognize = {
        "": make(model, front, coder, FLAGS.beam_size, FLAGS.limit_words),
        "greedy_": make(model, front, coder, beam_size=1),
    }
    numbers, shown = {}, []
    for part in ("valid", "test"):
        spoken = getattr(corpus, part)
        minibatches = recordings.Minibatches(spoken, coder, front, model)
        for way, of_way in recognize.items():
            found, total, count = of_way(params, minibatches)
            scores = recordings.score(spoken, found)
            numbers |= {f"{way}{part}_{name}": n for name, n in scores.items()}
            if not way:
                numbers[f"{part}_loss"] = mean_loss(total, count)
                shown = list(zip(spoken, found, strict=True))
    names = {
        "word_error_rate": "word error rate",
        "letter_error_rate": "letter error rate",
        "utterances_right": "utterances right",
        "digits_right": "utterances of one word right",
    }
    columns = ("valid", "test", "greedy_test")
    rows = [
        (shown_as, *(percent(numbers[f"{column}_{name}"]) for column in columns))
        for name, shown_as in names.items()
    ]
    header = ("%", fit.valid_column(), "test", "test, greedy")
    run.print_columns(corpus.name, header, rows)
    print_wrong(shown)
    return numbers


def print_wrong(shown):
    """Some test utterances that are not recognized."""
    wrong = [(spoken, words) for spoken, words in shown if spoken.words != words]
    rows = [
        (spoken.name[:50], " ".join(spoken.words)[:50], " ".join(words)[:50])
        for spoken, words in wrong[: FLAGS.examples]
    ]
    if rows:
        title = f"of {len(wrong):,} wrong"
        run.print_columns(title, ("utterance", "says", "taken for"), rows)


def draw_examples(path, corpus, coder, model, front, params):
    """Some test utterances with the probabilities of their labels, as a PNG."""

    @jax.jit
    def posteriors(samples):
        length = jax.numpy.int32(len(samples))
        xs, frames = front.apply(samples, length)
        logits, _ = model.logits(params, xs, frames)
        return xs, jax.nn.softmax(logits)

    places = np.linspace(0, len(corpus.test) - 1, FLAGS.examples).astype(int)
    shown = []
    for utterance in (corpus.test[i] for i in np.unique(places)):
        if front.num_frames(len(utterance.samples)) > 0:
            xs, probs = map(np.asarray, posteriors(utterance.samples))
            shown.append((" ".join(utterance.words), xs, probs))
    if shown:
        seconds = front.hop / front.rate
        speech_figures.draw_posteriors(
            path, shown, coder.labels, seconds, seconds * FLAGS.stacking
        )


def percent(share):
    return "-" if share is None else f"{100 * share:.2f}"


if __name__ == "__main__":
    run.launch(main, sys.modules[__name__])
