"""A tag for each word of a sentence: train, evaluate, tag.

Examples:
    python -m experiments.tagging
    python -m experiments.tagging --train_file=my.conll --tag_column=3 --char_size=50
    python -m experiments.tagging --mode=tag --input=sentences.txt

Spans of BIO tags are scored as conlleval does, beside a baseline that gives each word
the tag it mostly has in training, whatever stands around it.

Where --help, which all experiments share, says otherwise, `DEFAULTS` below holds.
"""

import sys

import jax
from absl import flags

from experiments import build, fit, lines, run, taggers
from experiments.workdir import open_run, restore_params
from seqjax import metrics, training
from seqjax.data.tagged import Sentence, conll_lines
from seqjax.models.tagger import OUTSIDE, Tagger

FLAGS = flags.FLAGS
for module in (run, taggers, build, fit, lines):
    flags.adopt_module_key_flags(module)
flags.DEFINE_enum("mode", "train", ["train", "evaluate", "tag"], "what to do")

# Model: experiments/build.py has the rest.
flags.DEFINE_enum("head", "crf", ["crf", "softmax"], "tags by pairs, or each alone")
flags.DEFINE_integer("embed_size", 50, "of a word", 1, 10**6)
flags.DEFINE_integer("char_size", 0, "features of a word's letters; 0: none", 0, 10**6)
flags.DEFINE_integer("char_embed_size", 25, "of a letter", 1, 10**6)
flags.DEFINE_bool("constrain", True, "give only BIO tags, if training keeps to BIO")
flags.DEFINE_float("outside_bias", 0.0, "less for each O: finds more spans if above 0")

# Training: build.py and fit.py have the rest.
flags.DEFINE_float("word_dropout", 0.0, "words read as <unk> in training", 0, 0.99)
flags.DEFINE_integer("epochs", 30, "passes over the sentences", lower_bound=1)
flags.DEFINE_enum("checkpoint", "best", ["best", "last"], "best on validation, or last")

FREE_FLAGS = {
    *("workdir", "data_dir", "mode", "checkpoint_every", "checkpoint"),
    *("average_checkpoints", "input", "output"),
    *("train_file", "valid_file", "test_file"),  # the checksum tells
}
DEFAULTS = {  # where build's are others
    "bidirectional": True,
    "hidden_size": 50,
    "dropout": 0.3,
    "learning_rate": 0.01,
}


def main():
    run.set_defaults(DEFAULTS)
    taggers.check_flags()
    build.check_flags()
    lines.check_flags("tag")
    with build.precision():
        {"train": train, "evaluate": evaluate, "tag": tag}[FLAGS.mode]()


def open_workdir(must_hold_a_run=False):
    free = FREE_FLAGS
    if FLAGS.mode != "train":
        free = free | {"batch_size", "outside_bias", "constrain"}
    return open_run(sys.modules[__name__], free, must_hold_a_run)


# ---------------------------------------------------------------- the model


def build_model(vocabs):
    if FLAGS.outside_bias and OUTSIDE not in vocabs.tags:
        raise run.UserError(
            f"--outside_bias needs the tag {OUTSIDE}, which training does not have."
        )
    return Tagger(
        len(vocabs.words),
        tuple(vocabs.tags),
        build.cell(),
        FLAGS.embed_size,
        crf=FLAGS.head == "crf",
        num_chars=len(vocabs.letters) if FLAGS.char_size else 0,
        char_embed_size=FLAGS.char_embed_size,
        char_size=FLAGS.char_size,
        constrained=FLAGS.constrain and vocabs.is_bio,
        outside_bias=FLAGS.outside_bias,
        dropout=FLAGS.dropout,
        locked=FLAGS.locked_dropout,
        word_dropout=FLAGS.word_dropout,
    )


def read(split, vocabs):
    """Minibatches of a list of Sentences, as the model reads them."""
    return taggers.Minibatches(split, vocabs, with_letters=FLAGS.char_size > 0)


def load_params(workdir, model):
    template = build.state(model, build.optimizer(total_steps=1))
    return restore_params(workdir, FLAGS.checkpoint, template)


# ---------------------------------------------------------------- the three modes


def train():
    workdir = open_workdir()
    corpus = taggers.load_corpus()
    workdir.check_data(corpus.sha256)
    vocabs = taggers.train_vocabs(corpus.train)
    model = build_model(vocabs)
    minibatches = read(corpus.train, vocabs)
    total_steps = FLAGS.epochs * len(minibatches.plan(0))
    optimizer = build.optimizer(total_steps)

    def loss_fn(params, carry, batch, key):
        inputs, tags = batch
        logits = model.logits(params, inputs, key)
        return model.loss(params, logits, tags, inputs.lengths), carry

    tag_all = taggers.make_tag(model, vocabs)
    job = fit.Job(
        training.make_batch_loop(training.make_train_step(loss_fn, optimizer)),
        data=None,
        plan=minibatches.plan,
        total_steps=total_steps,
        validate=make_validation(tag_all, corpus.valid, vocabs),
        criterion="valid_f1" if vocabs.has_spans else "valid_accuracy",
        maximize=True,
    )
    state = build.state(model, optimizer)
    with workdir.open_for_training():
        taggers.write_vocabs(workdir, vocabs, corpus.sha256)
        state, progress = fit.fit(job, workdir, state)
        report(workdir, corpus, vocabs, tag_all, state, progress)


def make_validation(tag_all, split, vocabs):
    """state -> the numbers of a validation."""
    minibatches = read(split, vocabs)

    def validate(state):
        found, total, count = tag_all(state.params, minibatches)
        numbers, _ = taggers.score(split, found, (), vocabs.has_spans)
        shown = {k: numbers[k] for k in ("f1", "accuracy") if k in numbers}
        return {
            "valid_perplexity": metrics.perplexity(total, count),
            **{f"valid_{name}": number for name, number in shown.items()},
        }

    return validate


def evaluate():
    workdir = open_workdir(must_hold_a_run=True)
    corpus = taggers.load_corpus()
    workdir.check_data(corpus.sha256)
    vocabs = taggers.read_vocabs(workdir)
    model = build_model(vocabs)
    tag_all = taggers.make_tag(model, vocabs)
    measured(corpus, vocabs, tag_all, load_params(workdir, model))
    print(f"files: {workdir.path}")


def tag():
    workdir = open_workdir(must_hold_a_run=True)
    sentences = [line.split() for line in lines.read()]
    vocabs = taggers.read_vocabs(workdir)
    model = build_model(vocabs)
    untagged = [Sentence(s, vocabs.tags[:1] * len(s)) for s in sentences]
    params = load_params(workdir, model)
    found, _, _ = taggers.make_tag(model, vocabs)(params, read(untagged, vocabs))
    lines.write(conll_lines(zip(sentences, found, strict=True)))


# ---------------------------------------------------------------- results


def report(workdir, corpus, vocabs, tag_all, state, progress):
    """The tables, summary.json and the figure."""
    params = state.params
    if FLAGS.checkpoint == "best":
        params = restore_params(workdir, "best", state)
    summary = {
        **measured(corpus, vocabs, tag_all, params),
        "best_step": progress.best_step,
        "parameters": sum(p.size for p in jax.tree.leaves(params)),
        "seconds": progress.seconds,
        "tokens_per_second": progress.predictions / progress.train_seconds,
        "dataset_sha256": corpus.sha256,
    }
    workdir.write_summary(summary)
    run.draw_learning_curve(workdir.path / "learning_curve.png", workdir.read_metrics())
    rows = [
        ("words known", f"{len(vocabs.words):,}"),
        ("parameters", f"{summary['parameters']:,}"),
        ("training tokens/s", f"{summary['tokens_per_second']:,.0f}"),
        ("seconds", f"{summary['seconds']:.1f}"),
        ("files", workdir.path),
    ]
    run.print_table(f"{corpus.name}, {FLAGS.cell}, {FLAGS.head}", rows)


def measured(corpus, vocabs, tag_all, params):
    """The held-out parts tagged, the table printed: numbers for summary.json."""
    ambiguous = taggers.ambiguous_words(corpus.train)
    baseline = taggers.without_context(corpus.train)

    def score(split, found):
        return taggers.score(split, found, ambiguous, vocabs.has_spans)

    def tagged(split):
        return tag_all(params, read(split, vocabs))[0]

    valid, _ = score(corpus.valid, tagged(corpus.valid))
    ours, types = score(corpus.test, tagged(corpus.test))
    theirs, theirs_by = score(corpus.test, baseline(corpus.test))
    number = sum(token in ambiguous for s in corpus.test for token in s.tokens)
    names = {"ambiguous_accuracy": f"accuracy on {number:,} ambiguous words"}
    rows = [
        (names.get(key, key), *map(percent, (valid[key], ours[key], theirs[key])))
        for key in ours
    ]
    rows += [
        (
            f"f1 of {kind or 'spans without a type'} ({of.gold:,})",
            *("", percent(of.f1), f1(theirs_by, kind)),
        )
        for kind, of in types.items()
    ]
    header = ("%", fit.valid_column(), "test", "test, words without context")
    run.print_columns(corpus.name, header, rows)
    return {
        **{f"valid_{k}": v for k, v in valid.items()},
        **{f"test_{k}": v for k, v in ours.items()},
        **{f"baseline_{k}": v for k, v in theirs.items()},
    }


def f1(by_type, kind):
    return percent(by_type[kind].f1 if kind in by_type else 0.0)


def percent(share):
    return "-" if share is None else f"{100 * share:.2f}"


if __name__ == "__main__":
    run.launch(main, sys.modules[__name__])
