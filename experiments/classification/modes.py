"""Documents and their labels by a recurrent network: train, evaluate, classify.

Examples:
    python -m experiments.classification
    python -m experiments.classification --corpus=mails.tsv --pooling=max
    python -m experiments.classification --mode=classify --input=lines.txt

Where --help, which all experiments share, says otherwise, `DEFAULTS` below holds.
"""

import sys

import jax
import numpy as np
from absl import flags

from experiments import build, document_figures, documents, fit, lines, run
from experiments.workdir import open_run, restore_params
from seqjax import metrics, training
from seqjax.baselines import naive_bayes
from seqjax.data import labeled
from seqjax.models import classifier

FLAGS = flags.FLAGS
for module in (run, documents, build, fit, lines):
    flags.adopt_module_key_flags(module)
flags.DEFINE_enum("mode", "train", ["train", "evaluate", "classify"], "what to do")

# Model: experiments/build.py has the rest; documents.py has the data.
flags.DEFINE_integer("embed_size", 64, "of an embedding", 1, 10**6)
flags.DEFINE_string("pooling", "attention", ", ".join(classifier.POOLINGS))
flags.DEFINE_float("word_dropout", 0.0, "share of tokens read as <unk>", 0, 0.99)

# Training: build.py and fit.py have the rest.
flags.DEFINE_integer("epochs", 15, "passes over the documents", lower_bound=1)
flags.DEFINE_float("label_smoothing", 0.0, "share of the target spread out", 0, 0.99)
flags.DEFINE_enum(
    "criterion", "accuracy", ["loss", "accuracy"], "what validation goes by"
)

# Use of the trained model.
flags.DEFINE_enum("checkpoint", "best", ["best", "last"], "best on validation, or last")
flags.DEFINE_integer("examples", 8, "documents shown of a kind", 0, 1000)

FREE_FLAGS = {
    *("workdir", "data_dir", "mode", "checkpoint_every", "checkpoint"),
    *("input", "output", "examples", "average_checkpoints"),
    "corpus",  # the checksum tells
}
DEFAULTS = {  # where build's and fit's are others
    "cell": "gru",
    "bidirectional": True,
    "hidden_size": 64,
    "dropout": 0.2,
    "patience": 4,
}


def main():
    run.set_defaults(DEFAULTS)
    documents.check_flags()
    build.check_flags()
    lines.check_flags("classify", "evaluate")
    run.choose("pooling", dict.fromkeys(classifier.POOLINGS))
    with build.precision():
        {"train": train, "evaluate": evaluate, "classify": classify}[FLAGS.mode]()


def open_workdir(must_hold_a_run=False):
    free = FREE_FLAGS if FLAGS.mode == "train" else FREE_FLAGS | {"batch_size"}
    return open_run(sys.modules[__name__], free, must_hold_a_run)


# ---------------------------------------------------------------- the model


def build_model(coder):
    try:
        return classifier.Classifier(
            len(coder.words),
            len(coder.labels),
            build.cell(),
            FLAGS.embed_size,
            FLAGS.pooling,
            FLAGS.dropout,
            FLAGS.locked_dropout,
            FLAGS.word_dropout,
        )
    except ValueError as error:
        raise run.UserError(f"{error}.") from None


def build_train_loop(model, optimizer):
    def loss_fn(params, carry, batch, key):
        return model.loss(params, batch, key, FLAGS.label_smoothing), carry

    return training.make_batch_loop(training.make_train_step(loss_fn, optimizer))


def make_predict(model):
    """(params, documents) -> log-probabilities float64 [N, C], in their order."""

    @jax.jit
    def log_probs(params, tokens, lengths):
        return jax.nn.log_softmax(model.logits(params, tokens, lengths))

    def predict(params, encoded):
        found = np.zeros((len(encoded), model.num_labels))
        for bucket in labeled.plan(encoded, FLAGS.batch_size):
            batch = labeled.make_batch(encoded, np.zeros(len(encoded), int), bucket)
            rows = bucket.rows[bucket.rows >= 0]
            there = np.asarray(log_probs(params, batch.tokens, batch.lengths))
            found[rows] = there[: len(rows)]
        return found

    return predict


# ---------------------------------------------------------------- the three modes


def train():
    workdir = open_workdir()
    corpus = documents.load_corpus()
    workdir.check_data(corpus.sha256)
    if workdir.has_checkpoints():
        coder = documents.Coder.read(workdir)
    else:
        coder = documents.Coder.train(corpus)
    encoded, labels = coder.split(corpus.train)
    minibatches = documents.Minibatches(encoded, labels)
    model = build_model(coder)
    predict = make_predict(model)
    total_steps = FLAGS.epochs * len(minibatches.plan(0))
    optimizer = build.optimizer(total_steps)
    state = build.state(model, optimizer)

    valid = coder.split(corpus.valid)
    by_accuracy = FLAGS.criterion == "accuracy"
    job = fit.Job(
        build_train_loop(model, optimizer),
        data=None,
        plan=minibatches.plan,
        total_steps=total_steps,
        validate=lambda state: score("valid", predict(state.params, valid[0]), valid),
        criterion="valid_accuracy" if by_accuracy else "valid_perplexity",
        maximize=by_accuracy,
        unit="documents",
    )
    with workdir.open_for_training():
        coder.write(workdir, corpus.sha256)
        documents.note_unread(coder, corpus.train.texts, encoded)
        state, progress = fit.fit(job, workdir, state)
        report(workdir, corpus, coder, model, predict, state, progress)


def score(part, log_probs, truth):
    """Numbers of a part by name, of its log-probabilities [N, C]."""
    _, labels = truth
    surprise = -log_probs[np.arange(len(labels)), labels]
    counts = metrics.confusion(log_probs.argmax(-1), labels, log_probs.shape[-1])
    return {
        f"{part}_accuracy": metrics.accuracy(counts),
        f"{part}_macro_f1": metrics.macro_f1(counts),
        f"{part}_perplexity": metrics.perplexity(surprise.sum(), len(labels)),
    }


def report(workdir, corpus, coder, model, predict, state, progress):
    """The tables, summary.json and the figures."""
    params = state.params
    if FLAGS.checkpoint == "best":
        params = restore_params(workdir, "best", state)
    valid, test = coder.split(corpus.valid), coder.split(corpus.test)
    log_probs = predict(params, test[0])
    summary = {
        **score("test", log_probs, test),
        **score("valid", predict(params, valid[0]), valid),
        **score_baselines(coder.split(corpus.train), test, coder),
        "parameters": sum(p.size for p in jax.tree.leaves(params)),
        "seconds": progress.seconds,
        "documents_per_second": progress.predictions / progress.train_seconds,
        "dataset_sha256": corpus.sha256,
    }
    workdir.write_summary(summary)
    run.draw_learning_curve(workdir.path / "learning_curve.png", workdir.read_metrics())
    counts = metrics.confusion(log_probs.argmax(-1), test[1], len(coder.labels))
    path = workdir.path / "confusion.png"
    document_figures.draw_confusion(path, counts, coder.labels)
    sizes = (len(part.texts) for part in (corpus.train, corpus.valid, corpus.test))
    baseline = summary["naive_bayes_test_accuracy"]
    rows = [
        *score_rows("test", summary),
        ("test accuracy of naive Bayes", f"{baseline:.2%}"),
        (
            "test accuracy of the most frequent label",
            f"{summary['majority_test_accuracy']:.2%}",
        ),
        *score_rows("valid", summary),
        ("documents", ", ".join(f"{size:,}" for size in sizes)),
        ("vocabulary", f"{len(coder.words):,}"),
        ("parameters", f"{summary['parameters']:,}"),
        ("training documents/s", f"{summary['documents_per_second']:,.0f}"),
        ("seconds", f"{summary['seconds']:.1f}"),
        ("files", workdir.path),
    ]
    run.print_table(f"{corpus.name}, {FLAGS.cell}, {FLAGS.pooling}", rows)
    print_wrong(corpus.test, test[1], log_probs, coder.labels)
    if FLAGS.pooling == "attention" and FLAGS.examples:
        show_attention(workdir, model, params, corpus.test, coder, log_probs)


def score_baselines(train, test, coder):
    """What a bag of words says of the test part, and the most frequent label."""
    sizes = len(coder.words), len(coder.labels)
    bayes = naive_bayes.fit(*train, *sizes)
    counts = metrics.confusion(bayes.predict(test[0]), test[1], sizes[1])
    most = np.bincount(train[1]).argmax()
    return {
        "naive_bayes_test_accuracy": metrics.accuracy(counts),
        "majority_test_accuracy": float(np.mean(test[1] == most)),
    }


def score_rows(part, scores):
    return [
        (f"{part} accuracy", f"{scores[f'{part}_accuracy']:.2%}"),
        (f"{part} macro F1", f"{scores[f'{part}_macro_f1']:.4f}"),
        (f"{part} perplexity", f"{scores[f'{part}_perplexity']:.4f}"),
    ]


def print_wrong(split, labels, log_probs, names):
    """The documents whose label is wrong, the surest first."""
    best = log_probs.argmax(-1)
    wrong = np.flatnonzero(best != labels)
    wrong = wrong[np.argsort(-log_probs.max(-1)[wrong], kind="stable")]
    rows = [
        (
            split.texts[i][:90],
            names[labels[i]],
            names[best[i]],
            f"{np.exp(log_probs[i].max()):.4f}",
        )
        for i in wrong[: FLAGS.examples]
    ]
    if rows:
        title = f"most confidently wrong of {len(wrong):,}"
        run.print_columns(title, ("document", "is", "taken for", "probability"), rows)


def show_attention(workdir, model, params, split, coder, log_probs):
    """The weights over the words of some test documents, as text and as a PNG."""
    places = np.linspace(0, len(split.texts) - 1, FLAGS.examples)
    weights_of = jax.jit(model.attention_weights)
    shown = []
    for i in np.unique(places.astype(int)):
        (tokens,) = coder.texts([split.texts[i]])
        batch = labeled.make_batch([tokens], [0], labeled.plan([tokens], 1)[0])
        weights = np.asarray(weights_of(params, batch.tokens, batch.lengths))
        weights = weights[: len(tokens), 0]
        said = coder.labels[log_probs[i].argmax()]
        title = f"{said} {np.exp(log_probs[i].max()):.3f}, is {split.labels[i]}"
        pieces = coder.words.pieces(tokens)
        shown.append((title, pieces, weights))
        print(title)
        pairs = zip(pieces, weights, strict=True)
        print("  " + " ".join(f"{piece}[{w:.2f}]" for piece, w in pairs))
    document_figures.draw_attention(workdir.path / "attention.png", shown)


def evaluate():
    workdir = open_workdir(must_hold_a_run=True)
    coder, model, params = load(workdir)
    if FLAGS.input is None:
        corpus = documents.load_corpus()
        workdir.check_data(corpus.sha256)
        split = corpus.test
    else:
        split = labeled.read_tsv(FLAGS.input, coder.labels)
    test = coder.split(split)
    log_probs = make_predict(model)(params, test[0])
    rows = [*score_rows("test", score("test", log_probs, test))]
    rows += [("documents", f"{len(split.texts):,}"), ("files", workdir.path)]
    run.print_table(f"{FLAGS.checkpoint} checkpoint", rows)
    print_wrong(split, test[1], log_probs, coder.labels)


def classify():
    workdir = open_workdir(must_hold_a_run=True)
    texts = lines.read()
    coder, model, params = load(workdir)
    encoded = coder.texts(texts)
    log_probs = make_predict(model)(params, encoded)
    documents.note_unread(coder, texts, encoded)
    lines.write(
        f"{coder.labels[row.argmax()]}\t{np.exp(row.max()):.4f}" for row in log_probs
    )


def load(workdir):
    """(coder, model, parameters)."""
    coder = documents.Coder.read(workdir)
    model = build_model(coder)
    template = build.state(model, build.optimizer(total_steps=1))
    return coder, model, restore_params(workdir, FLAGS.checkpoint, template)


if __name__ == "__main__":
    run.launch(main, sys.modules[__name__])
