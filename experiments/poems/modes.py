"""Poems with ends, character by character: train, evaluate, generate.

Examples:
    python -m experiments.poems
    python -m experiments.poems --mode=generate --acrostic=春江花月 --number=3
    python -m experiments.poems --corpus=my.txt --workdir=runs/mine

Where --help, which all experiments share, says otherwise, `DEFAULTS` below holds.
"""

import sys
from functools import lru_cache, partial
from itertools import cycle, islice

import jax
import numpy as np
from absl import flags

from experiments import build, fit, run, verse_data, writing
from experiments.workdir import open_run, restore_params
from seqjax import metrics, training
from seqjax.baselines import ngram
from seqjax.data import batching, buckets, poems
from seqjax.data.ngrams import count_ngrams
from seqjax.data.vocab import BOS, Vocab
from seqjax.models.language_model import LanguageModel

FLAGS = flags.FLAGS
for module in (run, verse_data, build, fit, writing):
    flags.adopt_module_key_flags(module)
flags.DEFINE_enum("mode", "train", ["train", "evaluate", "generate"], "what to do")

# Model: experiments/build.py has the rest; verse_data.py has the data.
flags.DEFINE_integer("embed_size", 64, "of an embedding", 1, 10**6)
flags.DEFINE_bool("tie_embeddings", False, "the embeddings are the softmax weights too")

# Training: build.py and fit.py have the rest.
flags.DEFINE_integer("batch_size", 64, "poems in a minibatch", lower_bound=1)
flags.DEFINE_integer("batch_tokens", 0, "characters in a minibatch, instead", 0)
flags.DEFINE_integer("epochs", 8, "passes over the poems", lower_bound=1)

# Use of the trained model: writing.py has the rest.
flags.DEFINE_enum("checkpoint", "best", ["best", "last"], "best on validation, or last")
flags.DEFINE_integer("samples", 200, "poems drawn to be judged", lower_bound=1)
flags.DEFINE_integer("ngram_order", 5, "of the n-gram model beside", 1, 20)

FREE_FLAGS = {
    *("workdir", "data_dir", "mode", "eval_every", "checkpoint_every", "checkpoint"),
    *("title", "prompt", "acrostic", "number", "length", "beam_size", "temperature"),
    *("top_k", "top_p", "samples", "ngram_order", "average_checkpoints"),
    "corpus",  # the checksum tells
}
DEFAULTS = {"cell": "gru", "hidden_size": 128, "learning_rate": 0.005}


def main():
    run.set_defaults(DEFAULTS)
    build.check_flags()
    verse_data.check_flags()
    writing.check_flags()
    with build.precision():
        {"train": train, "evaluate": evaluate, "generate": generate}[FLAGS.mode]()


def open_workdir(must_hold_a_run=False):
    free = FREE_FLAGS
    if FLAGS.schedule == "plateau" or FLAGS.patience:  # validation decides on training
        free = free - {"eval_every"}
    if FLAGS.mode != "train":
        free = free | {"batch_size", "batch_tokens"}
    return open_run(sys.modules[__name__], free, must_hold_a_run)


# ---------------------------------------------------------------- the model


def build_model(vocab_size):
    try:
        return LanguageModel(
            vocab_size,
            build.cell(),
            FLAGS.embed_size,
            FLAGS.tie_embeddings,
            FLAGS.dropout,
            FLAGS.locked_dropout,
        )
    except ValueError as error:
        raise run.UserError(f"{error}.") from None


def poem_loss(model, params, batch, key=None):
    """Cross-entropy of the characters of poems and of their ends: (total, count)."""
    state = model.initial_state(batch.tokens.shape[1:])
    mask = verse_data.predicted(batch)
    return model.loss(params, batch.tokens, state, key, mask)[0]


def build_train_loop(model, optimizer):
    def loss_fn(params, carry, batch, key):
        return poem_loss(model, params, batch, key), carry

    return training.make_batch_loop(training.make_train_step(loss_fn, optimizer))


# ---------------------------------------------------------------- the three modes


def train():
    workdir = open_workdir()
    corpus = verse_data.load_corpus()
    workdir.check_data(corpus.sha256)
    vocab = verse_data.make_vocab(corpus.train)
    sequences = verse_data.encode(corpus.train, vocab)
    lengths = [len(s.tokens) for s in sequences]

    @lru_cache(maxsize=1)
    def plan(epoch):
        rng = batching.epoch_rng(FLAGS.seed, epoch)
        size = 0 if FLAGS.batch_tokens else FLAGS.batch_size
        return [
            partial(verse_data.make_batch, sequences, bucket)
            for bucket in buckets.plan_lengths(lengths, size, FLAGS.batch_tokens, rng)
        ]

    model = build_model(len(vocab))
    total_steps = FLAGS.epochs * len(plan(0))
    optimizer = build.optimizer(total_steps)
    perplexity_of = make_perplexity(model, corpus, vocab)
    job = fit.Job(
        build_train_loop(model, optimizer),
        data=None,
        plan=plan,
        total_steps=total_steps,
        validate=lambda state: {
            "valid_perplexity": perplexity_of(state.params, "valid")
        },
        unit="characters",
    )
    state = build.state(model, optimizer)
    with workdir.open_for_training():
        workdir.write_vocab(vocab.tokens, corpus.sha256)
        state, progress = fit.fit(job, workdir, state)
        report(workdir, corpus, vocab, model, state, progress, perplexity_of)


def evaluate():
    workdir = open_workdir(must_hold_a_run=True)
    corpus = verse_data.load_corpus()
    workdir.check_data(corpus.sha256)
    vocab, model, params = load(workdir)
    perplexity_of = make_perplexity(model, corpus, vocab)
    rows = [
        (f"{part} perplexity", f"{perplexity_of(params, part):.4f}")
        for part in ("valid", "test")
    ]
    run.print_table(f"{FLAGS.checkpoint} checkpoint", [*rows, ("files", workdir.path)])


def generate():
    workdir = open_workdir(must_hold_a_run=True)
    vocab, model, params = load(workdir)
    for text in writing.write(model, params, vocab, FLAGS.number):
        print(text)


def load(workdir):
    """(vocabulary, model, parameters) of a run."""
    vocab, _ = workdir.read_vocab(Vocab.from_list)
    model = build_model(len(vocab))
    template = build.state(model, build.optimizer(1))
    return vocab, model, restore_params(workdir, FLAGS.checkpoint, template)


# ---------------------------------------------------------------- their parts


def make_perplexity(model, corpus, vocab):
    """(params, part) -> perplexity of the part's characters and ends."""
    loss = jax.jit(partial(poem_loss, model))

    @lru_cache
    def batches(part):
        sequences = verse_data.encode(getattr(corpus, part), vocab)
        lengths = [len(s.tokens) for s in sequences]
        plan = buckets.plan_lengths(lengths, FLAGS.batch_size)
        return [verse_data.make_batch(sequences, bucket) for bucket in plan]

    def perplexity_of(params, part):
        found = (loss(params, batch) for batch in batches(part))
        totals, counts = zip(*found, strict=True)
        return metrics.perplexity(sum(map(float, totals)), sum(map(float, counts)))

    return perplexity_of


def ngram_perplexity(corpus, vocab):
    """Kneser and Ney's, of the same characters and ends; it is told no titles."""
    train, test = (verse_data.one_text(s, vocab) for s in (corpus.train, corpus.test))
    counts = count_ngrams(train, len(vocab), FLAGS.ngram_order)
    log_probs = ngram.kneser_ney(counts).log_probs(test)[test[1:] != BOS]
    return metrics.perplexity(-log_probs.sum(), len(log_probs))


def judge(model, params, vocab, corpus):
    """What poems drawn, under titles of validation, are worth: (numbers, poems)."""
    known = set(vocab.tokens)
    titles = [p.title for p in corpus.valid if known.issuperset(p.title)] or [""]
    titles = list(islice(cycle(titles), FLAGS.samples))
    drawn = writing.draw(model, params, vocab, titles)
    valid = [
        over and poems.is_regulated(text, FLAGS.line_length, FLAGS.num_lines)
        for text, over in drawn
    ]
    texts = [text for text, _ in drawn]
    numbers = {
        "valid_form": float(np.mean(valid)),
        "novelty": poems.novelty(texts, [p.content for p in corpus.train]),
    }
    return numbers, texts


def report(workdir, corpus, vocab, model, state, progress, perplexity_of):
    """The table, poems, summary.json and the figure."""
    params = state.params
    if FLAGS.checkpoint == "best":
        params = restore_params(workdir, "best", state)
    quality, texts = judge(model, params, vocab, corpus)
    baseline = ngram_perplexity(corpus, vocab)
    test = perplexity_of(params, "test")
    summary = {
        "train_perplexity": progress.train_perplexity,
        "valid_perplexity": perplexity_of(params, "valid"),
        "test_perplexity": test,
        "kneser_ney_perplexity": baseline,
        "below_kneser_ney": 1 - test / baseline,
        **quality,
        "characters_per_second": progress.predictions / progress.train_seconds,
        "parameters": sum(p.size for p in jax.tree.leaves(params)),
        "seconds": progress.seconds,
        "dataset_sha256": corpus.sha256,
        "sample": texts[0],
    }
    workdir.write_summary(summary)
    run.draw_learning_curve(workdir.path / "learning_curve.png", workdir.read_metrics())
    rows = [
        ("poems", " + ".join(f"{len(split):,}" for split in corpus[1:4])),
        ("valid perplexity", f"{summary['valid_perplexity']:.3f}"),
        ("test perplexity", f"{test:.3f}"),
        (f"Kneser-Ney's, order {FLAGS.ngram_order}", f"{baseline:.3f}"),
        ("below it by", f"{summary['below_kneser_ney']:.1%}"),
        ("drawn poems of valid form", f"{quality['valid_form']:.1%}"),
        ("their 7-grams that are new", f"{quality['novelty']:.1%}"),
        ("vocabulary", f"{len(vocab):,}"),
        ("parameters", f"{summary['parameters']:,}"),
        ("training characters/s", f"{summary['characters_per_second']:,.0f}"),
        ("seconds", f"{summary['seconds']:.1f}"),
        ("files", workdir.path),
    ]
    run.print_table(f"{corpus.name}, {FLAGS.cell}", rows)
    print("\n".join(texts[:4]))


if __name__ == "__main__":
    run.launch(main, sys.modules[__name__])
