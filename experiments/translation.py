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
import sacrebleu
from absl import flags

from experiments import build, fit, pairs, run, translator
from experiments.workdir import Workdir, restore_params
from seqjax import metrics, training
from seqjax.data.text import decode, read_bytes
from seqjax.data.vocab import UNK
from seqjax.models.seq2seq import Seq2Seq

FLAGS = flags.FLAGS
for module in (run, pairs, build, fit, translator):
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
flags.DEFINE_string("input", None, "a file to translate (standard input)")
flags.DEFINE_string("output", None, "where translations go (standard output)")
flags.DEFINE_integer("figures", 3, "sentences whose attention is drawn", 0, 100)

FREE_FLAGS = {
    *("workdir", "data_dir", "mode", "checkpoint_every", "checkpoint", "ensemble"),
    *("input", "output", "figures", "beam_size", "n_best", "length_penalty", "alpha"),
    *("coverage", "min_length", "no_repeat_ngram", "temperature", "top_k", "top_p"),
    *("decode_batch", "average_checkpoints"),
    *("corpus", "source_file", "target_file"),  # the checksum tells
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
    for name, value in DEFAULTS.items():
        if not FLAGS[name].present:
            FLAGS[name].value = value
    pairs.check_flags()
    build.check_flags()
    translator.check_flags()
    run.choose("attention", ATTENTION)
    modes = {
        "train": train,
        "evaluate": evaluate,
        "translate": translate,
        "interactive": interactive,
    }
    with build.precision():
        modes[FLAGS.mode]()


def open_workdir(must_hold_a_run=False):
    free = set(FREE_FLAGS)
    if FLAGS.mode != "train":
        free |= {"seed"}
    if FLAGS.schedule in ("constant", "plateau"):  # the others are laid over the run
        free |= {"epochs"}
    workdir = Workdir(run.workdir(sys.modules[__name__]), sys.modules[__name__], free)
    if must_hold_a_run and not workdir.holds_a_run():
        raise run.UserError(f"{workdir.path} holds no run; train one there first.")
    workdir.check()
    return workdir


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


def build_state(model, optimizer):
    """The TrainState before the first step."""
    k_params, k_run = jax.random.split(jax.random.key(FLAGS.seed))
    return training.init_state(model.init(k_params), optimizer, None, k_run)


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
    total_steps = FLAGS.epochs * len(minibatches.plan(0))
    optimizer = build.optimizer(total_steps, FLAGS.accumulate)
    state = build_state(model, optimizer)

    def on_plateau(state):
        factor = FLAGS.decay if FLAGS.schedule == "plateau" else 1.0
        return state.replace(learning_rate_scale=state.learning_rate_scale * factor)

    job = fit.Job(
        build_train_loop(model, optimizer),
        data=None,
        plan=minibatches.plan,
        total_steps=total_steps,
        new_epoch=lambda state: state,
        validate=make_validation(model, corpus.valid, tokenizers),
        on_plateau=on_plateau,
        criterion="valid_bleu" if FLAGS.criterion == "bleu" else "valid_perplexity",
        maximize=FLAGS.criterion == "bleu",
    )
    with workdir.open_for_training():
        pairs.write_tokenizers(workdir, tokenizers, corpus.sha256)
        state, progress = fit.fit(job, workdir, state)
        report(workdir, corpus, tokenizers, model, state, progress)


def make_validation(model, split, tokenizers):
    """state -> the numbers of a validation."""
    perplexity_of = make_perplexity(model, split, tokenizers)

    def validate(state):
        numbers = {"valid_perplexity": perplexity_of(state.params)}
        if FLAGS.criterion == "bleu":
            some = (side[: FLAGS.valid_sentences] for side in split)
            sources, references = some
            found = translation.translate(sources, [state.params])
            texts = [t[0].text for t in found]
            bleu = sacrebleu.corpus_bleu(texts, [references], force=True)
            numbers["valid_bleu"] = bleu.score
        return numbers

    translation = translator.Translator(model, tokenizers)
    return validate


def make_perplexity(model, split, tokenizers):
    """params -> perplexity of a split's translations, unsmoothed."""
    batches = pairs.held_out(split, tokenizers, FLAGS.batch_size)
    loss = jax.jit(model.loss)

    def perplexity_of(params):
        totals, counts = zip(*(loss(params, batch) for batch in batches), strict=True)
        return metrics.perplexity(sum(map(float, totals)), sum(map(float, counts)))

    return perplexity_of


def report(workdir, corpus, tokenizers, model, state, progress):
    """The test set translated; the table, samples, summary.json and figures."""
    params = state.params
    if FLAGS.checkpoint == "best":
        params = restore_params(workdir, "best", state)
    members = [params, *ensemble(tokenizers, state)]
    scores, translations, speed = translate_test(model, members, tokenizers, corpus)
    summary = {
        **scores,
        "valid_perplexity": make_perplexity(model, corpus.valid, tokenizers)(params),
        "sentences_per_second": speed,
        "parameters": sum(p.size for p in jax.tree.leaves(params)),
        "seconds": progress.seconds,
        "tokens_per_second": progress.predictions / progress.train_seconds,
        "dataset_sha256": corpus.sha256,
    }
    workdir.write_summary(summary)
    run.draw_learning_curve(workdir.path / "learning_curve.png", workdir.read_metrics())
    draw_attention(workdir, model, params, tokenizers, corpus.test.source)
    rows = [
        *score_rows(scores),
        ("valid perplexity", f"{summary['valid_perplexity']:.3f}"),
        ("sentences/s", f"{speed:,.0f}"),
        ("vocabularies", " and ".join(f"{len(t):,}" for t in tokenizers)),
        ("parameters", f"{summary['parameters']:,}"),
        ("training tokens/s", f"{summary['tokens_per_second']:,.0f}"),
        ("seconds", f"{summary['seconds']:.1f}"),
        ("files", workdir.path),
    ]
    run.print_table(f"{corpus.name}, {FLAGS.cell}", rows)
    print_samples(corpus.test, translations)


def evaluate():
    workdir = open_workdir(must_hold_a_run=True)
    corpus = pairs.load_corpus()
    workdir.check_data(corpus.sha256)
    tokenizers, model, members = load(workdir)
    scores, translations, speed = translate_test(model, members, tokenizers, corpus)
    rows = [*score_rows(scores), ("sentences/s", f"{speed:,.0f}")]
    perplexity = make_perplexity(model, corpus.valid, tokenizers)(members[0])
    rows.append(("valid perplexity", f"{perplexity:.4f}"))
    run.print_table(f"{FLAGS.checkpoint} checkpoint", [*rows, ("files", workdir.path)])
    print_samples(corpus.test, translations)


def translate():
    workdir = open_workdir(must_hold_a_run=True)
    lines = read_lines()
    tokenizers, model, members = load(workdir)
    sentences = [pairs.prepare(line) for line in lines]
    translation = translator.Translator(model, tokenizers)
    found = translation.translate(sentences, members)
    note_unknown(tokenizers.source, sentences)
    write_lines(
        f"{i}\t{t.score:.4f}\t{t.text}" if FLAGS.n_best > 1 else t.text
        for i, of_one in enumerate(found, start=1)
        for t in of_one
    )


def interactive():
    workdir = open_workdir(must_hold_a_run=True)
    tokenizers, model, members = load(workdir)
    translation = translator.Translator(model, tokenizers)
    run.note("a sentence a line; end with Ctrl-D.")
    for line in sys.stdin.buffer:
        text = decode(line, "standard input", may_be_empty=True).removesuffix("\n")
        sentence = pairs.prepare(text)
        (found,) = translation.translate([sentence], members)
        note_unknown(tokenizers.source, [sentence])
        for t in found:
            print(f"{t.score:.4f}\t{t.text}" if FLAGS.n_best > 1 else t.text)
        sys.stdout.flush()


# ---------------------------------------------------------------- their parts


def load(workdir):
    """(tokenizers, model, the parameters of the ensemble's members)."""
    tokenizers = pairs.read_tokenizers(workdir)
    model = build_model(tokenizers)
    template = build_state(model, build.optimizer(1, FLAGS.accumulate))
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


def translate_test(model, members, tokenizers, corpus):
    """(scores, translations of the test set, sentences a second)."""
    translation = translator.Translator(model, tokenizers)
    found = translation.translate(corpus.test.source, members)
    texts = [t[0].text for t in found]
    bleu, chrf = sacrebleu.BLEU(force=True), sacrebleu.CHRF()
    references = [corpus.test.target]
    scores = {
        "test_bleu": bleu.corpus_score(texts, references).score,
        "test_bleu_signature": str(bleu.get_signature()),
        "test_chrf": chrf.corpus_score(texts, references).score,
    }
    return scores, found, translation.sentences / translation.seconds


def score_rows(scores):
    return [
        ("test BLEU", f"{scores['test_bleu']:.2f}"),
        ("test chrF", f"{scores['test_chrf']:.2f}"),
        ("BLEU's signature", scores["test_bleu_signature"]),
    ]


def print_samples(split, translations, number=4):
    """Some sentences, their translations and the references."""
    step = max(1, len(split.source) // number)
    for i in range(0, len(split.source), step)[:number]:
        text = translations[i][0].text
        bleu = metrics.bleu(text.split(), split.target[i].split(), 2)
        print(f"source       {split.source[i]}")
        print(f"translation  {text}")
        print(f"reference    {split.target[i]}   (BLEU-2 {bleu:.3f})\n")


def draw_attention(workdir, model, params, tokenizers, sentences):
    """attention_1.png and so on, of the first sentences."""
    if model.attention is None:
        return
    translation = translator.Translator(model, tokenizers)
    some = [s for s in sentences if s][: FLAGS.figures]
    for i, found in enumerate(translation.translate(some, [params])):
        path = workdir.path / f"attention_{i + 1}.png"
        translation.draw_attention(path, some[i], found[0], params)


def read_lines():
    """The lines to translate, from --input or standard input."""
    content = (
        sys.stdin.buffer.read() if FLAGS.input is None else read_bytes(FLAGS.input)
    )
    if not content:
        return []
    text = decode(content, FLAGS.input or "standard input", may_be_empty=True)
    return text.removesuffix("\n").split("\n")


def note_unknown(tokenizer, sentences):
    encoded = [tokenizer.encode(s) for s in sentences]
    number, unknown = sum(map(len, encoded)), sum(int(sum(t == UNK)) for t in encoded)
    if unknown:
        run.note(f"{unknown:,} of {number:,} tokens are unknown: read as <unk>.")


def write_lines(lines):
    """To --output, whole or not at all, or to standard output."""
    text = "".join(f"{line}\n" for line in lines)
    if FLAGS.output is None:
        sys.stdout.write(text)
        return
    partial = Path(f"{FLAGS.output}.partial")
    partial.write_text(text, encoding="utf-8")
    partial.replace(FLAGS.output)


if __name__ == "__main__":
    run.launch(main, sys.modules[__name__])
