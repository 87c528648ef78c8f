"""Translation by encoder and decoder: train, evaluate, translate, interactive.

Examples:
    python -m experiments.translation
    python -m experiments.translation --corpus=pairs.tsv --level=subword
    python -m experiments.translation --mode=translate --input=sentences.txt

Where --help, which all experiments share, says otherwise, `DEFAULTS` below holds.
"""

import sys
from pathlib import Path

import jax
import numpy as np
import sacrebleu
from absl import flags

from experiments import build, fit, lines, pairs, run, scoring, translator
from experiments.workdir import Workdir, open_run, restore_params
from seqjax import training
from seqjax.data import parallel
from seqjax.data.vocab import UNK
from seqjax.models.seq2seq import Seq2Seq

FLAGS = flags.FLAGS
for module in (run, pairs, build, fit, translator, lines):
    flags.adopt_module_key_flags(module)
flags.DEFINE_enum(
    "mode",
    "train",
    ["train", "evaluate", "translate", "interactive"],
    "what to do",
)

# Model: experiments/build.py has the rest.
flags.DEFINE_integer("embed_size", 64, "of an embedding", 1, 10**6)
flags.DEFINE_string("attention", "general", "none, dot, general or additive")
flags.DEFINE_bool("input_feeding", True, "the decoder sees where it looked last")
flags.DEFINE_string("bridge", "linear", "copy, linear or zero: to the decoder's state")
flags.DEFINE_bool("tie_embeddings", False, "target embeddings are softmax weights")

# Training: build.py and fit.py have the rest.
flags.DEFINE_integer("epochs", 14, "passes over the pairs", lower_bound=1)
flags.DEFINE_float("label_smoothing", 0.0, "share of the target spread out", 0, 0.99)
flags.DEFINE_float("scheduled_sampling", 0.0, "share of inputs the model draws", 0, 1)
flags.DEFINE_integer("accumulate", 1, "minibatches an update is the mean of", 1)
flags.DEFINE_enum("criterion", "loss", ["loss", "bleu"], "what validation goes by")
flags.DEFINE_integer("valid_sentences", 500, "translated for validation's BLEU", 1)

# Use of the trained model.
flags.DEFINE_enum("checkpoint", "best", ["best", "last"], "best on validation, or last")
flags.DEFINE_list("ensemble", [], "workdirs of more models, of the same flags")
flags.DEFINE_string("references", None, "translations of --input, to evaluate on")
flags.DEFINE_integer("figures", 3, "test sentences whose attention is drawn", 0, 100)
flags.DEFINE_string("attention_dir", None, "where translate draws that of each line")

SEARCH_FLAGS = {
    *("beam_size", "n_best", "length_penalty", "alpha", "coverage", "min_length"),
    *("no_repeat_ngram", "temperature", "top_k", "top_p", "decode_batch"),
}
FREE_FLAGS = {
    *("workdir", "data_dir", "mode", "checkpoint_every", "checkpoint", "ensemble"),
    *("input", "references", "output", "figures", "attention_dir"),
    "average_checkpoints",
    *("corpus", "source_file", "target_file"),  # the checksum tells
    *SEARCH_FLAGS,
}
DEFAULTS = {  # where build's are others
    "cell": "gru",
    "bidirectional": True,
    "hidden_size": 128,
    "dropout": 0.0,
    "learning_rate": 0.006,
}
ATTENTION = {"none": None, "dot": "dot", "general": "general", "additive": "additive"}


def main():
    run.set_defaults(DEFAULTS)
    pairs.check_flags()
    build.check_flags()
    translator.check_flags()
    lines.check_flags("translate", "evaluate")
    run.choose("attention", ATTENTION)
    if FLAGS.mode == "evaluate" and FLAGS.input and not FLAGS.references:
        raise run.UserError("--mode=evaluate needs --references for its --input.")
    if FLAGS.references and not (FLAGS.mode == "evaluate" and FLAGS.input):
        raise run.UserError("--references needs --mode=evaluate and --input.")
    for name in ("attention_dir", "coverage"):
        if FLAGS[name].value and FLAGS.attention == "none":
            raise run.UserError(f"--{name} needs a model with attention.")
    modes = {
        "train": train,
        "evaluate": evaluate,
        "translate": translate,
        "interactive": interactive,
    }
    with build.precision():
        modes[FLAGS.mode]()


def open_workdir(must_hold_a_run=False):
    free = FREE_FLAGS
    if FLAGS.mode == "train" and FLAGS.criterion == "bleu":
        free = FREE_FLAGS - SEARCH_FLAGS  # what is found decides how training goes on
    return open_run(sys.modules[__name__], free, must_hold_a_run)


# ---------------------------------------------------------------- the model


def build_model(tokenizers):
    size = FLAGS.hidden_size
    if FLAGS.bidirectional and size % 2:
        raise run.UserError(
            f"--bidirectional halves --hidden_size, which must be even, got {size}."
        )
    try:
        return Seq2Seq(
            len(tokenizers.source),
            len(tokenizers.target),
            encoder=build.cell(hidden_size=size // 2 if FLAGS.bidirectional else size),
            decoder=(build.layer(size),) * FLAGS.num_layers,
            embed_size=FLAGS.embed_size,
            attention=ATTENTION[FLAGS.attention],
            input_feeding=FLAGS.input_feeding,
            bridge=FLAGS.bridge,
            tied=FLAGS.tie_embeddings,
            shared=FLAGS.joint_vocab,
            dropout=FLAGS.dropout,
            locked=FLAGS.locked_dropout,
        )
    except ValueError as error:
        raise run.UserError(f"{error}.") from None


def build_train_loop(model, optimizer):
    def loss_fn(params, carry, batch, key):
        loss = model.loss(
            params, batch, key, FLAGS.label_smoothing, FLAGS.scheduled_sampling
        )
        return loss, carry

    return training.make_batch_loop(training.make_train_step(loss_fn, optimizer))


# ---------------------------------------------------------------- the four modes


def train():
    workdir = open_workdir()
    corpus = pairs.load_corpus()
    workdir.check_data(corpus.sha256)
    if workdir.has_checkpoints():
        tokenizers = pairs.read_tokenizers(workdir)
    else:
        tokenizers = pairs.train_tokenizers(corpus.train)
    minibatches = pairs.Minibatches(corpus.train, tokenizers)
    model = build_model(tokenizers)
    # Sampled segmentations make some more or fewer of each epoch, so that this is what
    # the schedule is laid over, and the run ends by its epochs.
    total_steps = FLAGS.epochs * len(minibatches.plan(0))
    optimizer = build.optimizer(total_steps, FLAGS.accumulate)
    state = build.state(model, optimizer)

    job = fit.Job(
        build_train_loop(model, optimizer),
        data=None,
        plan=minibatches.plan,
        total_steps=total_steps,
        epochs=FLAGS.epochs,
        validate=make_validation(model, corpus.valid, tokenizers),
        criterion="valid_bleu" if FLAGS.criterion == "bleu" else "valid_perplexity",
        maximize=FLAGS.criterion == "bleu",
    )
    with workdir.open_for_training():
        pairs.write_tokenizers(workdir, tokenizers, corpus.sha256)
        state, progress = fit.fit(job, workdir, state)
        report(workdir, corpus, tokenizers, model, state, progress)


def make_validation(model, split, tokenizers):
    """state -> the numbers of a validation."""
    perplexity_of = scoring.make_perplexity(model, split, tokenizers)

    def validate(state):
        numbers = {"valid_perplexity": perplexity_of(state.params)}
        if FLAGS.criterion == "bleu":
            # Spread over the whole: a corpus may be sorted by length.
            places = np.linspace(0, len(split.source) - 1, FLAGS.valid_sentences)
            places = np.unique(places.astype(int))
            sources, references = ([side[i] for i in places] for side in split)
            found = translation.translate(sources, [state.params])
            texts = [t[0].text for t in found]
            bleu = sacrebleu.corpus_bleu(texts, [references], force=True)
            numbers["valid_bleu"] = bleu.score
        return numbers

    translation = translator.Translator(model, tokenizers)
    return validate


def report(workdir, corpus, tokenizers, model, state, progress):
    """The test set translated; the table, samples, summary.json and figures."""
    params = state.params
    if FLAGS.checkpoint == "best":
        params = restore_params(workdir, "best", state)
    members = [params, *ensemble(tokenizers, state)]
    translation = translator.Translator(model, tokenizers)
    scores, translations, speed = scoring.translate_test(
        translation, members, corpus.test
    )
    perplexity_of = scoring.make_perplexity(model, corpus.valid, tokenizers)
    summary = {
        **scores,
        "valid_perplexity": perplexity_of(params),
        "sentences_per_second": speed,
        "parameters": sum(p.size for p in jax.tree.leaves(params)),
        "seconds": progress.seconds,
        "tokens_per_second": progress.predictions / progress.train_seconds,
        "dataset_sha256": corpus.sha256,
    }
    workdir.write_summary(summary)
    run.draw_learning_curve(workdir.path / "learning_curve.png", workdir.read_metrics())
    if model.attention is not None:
        some = corpus.test.source[: FLAGS.figures], translations[: FLAGS.figures]
        scoring.draw_attention(workdir.path, translation, params, *some)
    rows = [
        *scoring.score_rows(scores),
        ("valid perplexity", f"{summary['valid_perplexity']:.3f}"),
        ("sentences/s", f"{speed:,.0f}"),
        ("vocabularies", " and ".join(f"{len(t):,}" for t in tokenizers)),
        ("parameters", f"{summary['parameters']:,}"),
        ("training tokens/s", f"{summary['tokens_per_second']:,.0f}"),
        ("seconds", f"{summary['seconds']:.1f}"),
        ("files", workdir.path),
    ]
    run.print_table(f"{corpus.name}, {FLAGS.cell}", rows)
    scoring.print_samples(corpus.test, translations)


def evaluate():
    workdir = open_workdir(must_hold_a_run=True)
    corpus = pairs.load_corpus()
    workdir.check_data(corpus.sha256)
    if FLAGS.references:
        test = pairs.prepare_split(parallel.load_split(FLAGS.input, FLAGS.references))
        corpus = corpus._replace(test=test)
    tokenizers, model, members = load(workdir)
    scores, translations, speed = scoring.translate_test(
        translator.Translator(model, tokenizers), members, corpus.test
    )
    rows = [*scoring.score_rows(scores), ("sentences/s", f"{speed:,.0f}")]
    perplexity = scoring.make_perplexity(model, corpus.valid, tokenizers)(members[0])
    rows.append(("valid perplexity", f"{perplexity:.4f}"))
    run.print_table(f"{FLAGS.checkpoint} checkpoint", [*rows, ("files", workdir.path)])
    scoring.print_samples(corpus.test, translations)


def translate():
    workdir = open_workdir(must_hold_a_run=True)
    sentences = [pairs.prepare(line) for line in lines.read()]
    tokenizers, model, members = load(workdir)
    translation = translator.Translator(model, tokenizers)
    found = translation.translate(sentences, members)
    note_unknown(tokenizers.source, sentences)
    translator.note_cut_off(found)
    lines.write(
        f"{i}\t{t.score:.4f}\t{t.text}" if FLAGS.n_best > 1 else t.text
        for i, of_one in enumerate(found, start=1)
        for t in of_one
    )
    if FLAGS.attention_dir:
        folder = Path(FLAGS.attention_dir)
        scoring.draw_attention(folder, translation, members[0], sentences, found)


def interactive():
    workdir = open_workdir(must_hold_a_run=True)
    tokenizers, model, members = load(workdir)
    translation = translator.Translator(model, tokenizers, batch_size=1)
    run.note("a sentence a line; end with Ctrl-D.")
    for line in lines.typed():
        sentence = pairs.prepare(line)
        (found,) = translation.translate([sentence], members)
        note_unknown(tokenizers.source, [sentence])
        translator.note_cut_off([found])
        for t in found:
            print(f"{t.score:.4f}\t{t.text}" if FLAGS.n_best > 1 else t.text)


# ---------------------------------------------------------------- their parts


def load(workdir):
    """(tokenizers, model, the parameters of the ensemble's members)."""
    tokenizers = pairs.read_tokenizers(workdir)
    model = build_model(tokenizers)
    template = build.state(model, build.optimizer(1, FLAGS.accumulate))
    params = restore_params(workdir, FLAGS.checkpoint, template)
    return tokenizers, model, [params, *ensemble(tokenizers, template)]


def ensemble(tokenizers, template):
    """Parameters from the workdirs that --ensemble names."""
    members = []
    for path in FLAGS.ensemble:
        other = Workdir(path, sys.modules[__name__], FREE_FLAGS | {"seed"})
        if not other.holds_a_run():
            raise run.UserError(f"--ensemble: {path} holds no run.")
        other.check()
        theirs = pairs.read_tokenizers(other)
        if any(
            a.pieces(range(len(a))) != b.pieces(range(len(b)))
            for a, b in zip(theirs, tokenizers, strict=True)
        ):
            raise run.UserError(f"--ensemble: {path} has another vocabulary.")
        members.append(restore_params(other, FLAGS.checkpoint, template))
    return members


def note_unknown(tokenizer, sentences):
    encoded = [tokenizer.encode(s) for s in sentences]
    number, unknown = sum(map(len, encoded)), sum((t == UNK).sum() for t in encoded)
    if unknown:
        run.note(f"{unknown:,} of {number:,} tokens are unknown: read as <unk>.")


if __name__ == "__main__":
    run.launch(main, sys.modules[__name__])
