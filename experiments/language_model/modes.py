"""A recurrent language model on text: train, evaluate, generate.

Examples:
    python -m experiments.language_model
    python -m experiments.language_model --corpus=my.txt --workdir=runs/mine
    python -m experiments.language_model --mode=generate --prompt="The " --top_p=0.9
"""

import functools
import itertools
import sys
from typing import NamedTuple

import jax
import jax.numpy as jnp
from absl import flags

from experiments import backprop, build, fit, run, texts
from experiments.workdir import open_run, restore_params
from seqjax import decoding, metrics, training
from seqjax.baselines import numpy_rnn
from seqjax.data import batching, corpora
from seqjax.data.vocab import Vocab
from seqjax.models.language_model import LanguageModel

FLAGS = flags.FLAGS
for module in (run, texts, build, fit, backprop):
    flags.adopt_module_key_flags(module)
flags.DEFINE_enum("mode", "train", ["train", "evaluate", "generate"], "what to do")

# Model: experiments/build.py has the rest; texts.py has the data.
flags.DEFINE_integer("embed_size", 64, "of an embedding; 0: one-hot input", 0, 10**6)
flags.DEFINE_bool("tie_embeddings", False, "the embeddings are the softmax weights too")

# Training: build.py, backprop.py and fit.py have the rest.
flags.DEFINE_integer("batch_size", 32, "sequences in a minibatch", lower_bound=1)
flags.DEFINE_integer("num_steps", 64, "tokens to backpropagate through", lower_bound=1)
flags.DEFINE_enum("sampling", "sequential", ["sequential", "random"], "reading order")
flags.DEFINE_integer("epochs", 12, "passes over the text", lower_bound=1)
flags.DEFINE_integer("train_tokens", 0, "stop after so many instead; 0: by epochs", 0)
flags.DEFINE_integer("eval_rows", 1, "rows the held-out text is read in", lower_bound=1)

# Use of the trained model: texts.py has the prompt and the length.
flags.DEFINE_enum("checkpoint", "best", ["best", "last"], "best on validation, or last")
flags.DEFINE_float("temperature", 0.7, "0 is greedy", lower_bound=0)
flags.DEFINE_integer("top_k", 0, "draw from the k likeliest; 0: all", lower_bound=0)
flags.DEFINE_float("top_p", 1.0, "draw from the likeliest with this share", 1e-6, 1)

CELLS = {**build.CELLS, "numpy_rnn": build.CELLS["rnn"]}  # only its gradients differ
FREE_FLAGS = {
    *("workdir", "data_dir", "mode", "eval_every", "eval_rows", "checkpoint_every"),
    *("checkpoint", "prompt", "length", "temperature", "top_k", "top_p"),
    "average_checkpoints",
    "corpus",  # the checksum tells whether it is the same
}
# What the hand-written gradients cover; other flags are as for every cell.
NUMPY_RNN_FLAGS = {
    "embed_size": 0,
    "num_layers": 1,
    "dropout": 0.0,
    "locked_dropout": False,
    "bfloat16": False,
    "optimizer": "sgd",
    "learning_rate": 0.2,
    "schedule": "constant",
    "clip_norm": 0.0,
    "tie_embeddings": False,
    "backprop": "full",
}


def main():
    settle_flags()
    with build.precision():
        {"train": train, "evaluate": evaluate, "generate": generate}[FLAGS.mode]()


def settle_flags():
    """Defaults that depend on other flags, and flags that do not go together."""
    if FLAGS.cell == "numpy_rnn":
        for name, value in NUMPY_RNN_FLAGS.items():
            if not FLAGS[name].present:
                FLAGS[name].value = value
            elif FLAGS[name].value != value and name != "learning_rate":
                raise run.UserError(
                    f"--cell=numpy_rnn has no --{name}={FLAGS[name].value}, "
                    f"only {value}; --cell=rnn has."
                )
    build.check_flags()
    backprop.check_flags()
    texts.check_flags()


def open_workdir(must_hold_a_run=False):
    free = FREE_FLAGS
    if FLAGS.schedule in ("constant", "plateau"):  # as for the epochs
        free = free | {"train_tokens"}
    if FLAGS.schedule == "plateau":  # what validation sees decides the rate
        free = free - {"eval_every", "eval_rows"}
    return open_run(sys.modules[__name__], free, must_hold_a_run)


# ---------------------------------------------------------------- data and model


class Data(NamedTuple):
    """What a run reads: tokens on the device, int32 [N] a split."""

    vocab: Vocab
    train: jax.Array
    valid: jax.Array
    test: jax.Array
    corpus: corpora.Corpus


def load_data():
    corpus, (vocab, *splits) = texts.load()
    batching.num_minibatches(len(splits[0]), FLAGS.batch_size, FLAGS.num_steps)
    return Data(vocab, *map(jnp.asarray, splits), corpus)


def build_model(vocab_size):
    try:
        return LanguageModel(
            vocab_size,
            build.cell(CELLS),
            FLAGS.embed_size or None,
            FLAGS.tie_embeddings,
            FLAGS.dropout,
            FLAGS.locked_dropout,
        )
    except ValueError as error:
        raise run.UserError(f"{error}.") from None


def build_state(model, optimizer):
    """The TrainState before the first step."""
    k_params, k_run = jax.random.split(jax.random.key(FLAGS.seed))
    params = model.init(k_params, build.initializers().get("w_x_init"))
    carry = model.initial_state((FLAGS.batch_size,))
    return training.init_state(params, optimizer, carry, k_run)


def build_train_loop(model, optimizer):
    carried = FLAGS.sampling == "sequential"
    if FLAGS.cell == "numpy_rnn":
        return numpy_rnn.make_train_loop(FLAGS.learning_rate, FLAGS.num_steps, carried)

    def loss_fn(params, carry, window, key):
        state = carry if carried else model.initial_state(window.shape[1:])
        factors = backprop.factors(key, FLAGS.num_steps)
        return model.loss(params, window, state, key, factors=factors)

    return training.make_train_loop(
        training.make_train_step(loss_fn, optimizer),
        lambda tokens, starts: training.windows(tokens, starts, FLAGS.num_steps),
    )


# ---------------------------------------------------------------- the three modes


def train():
    workdir = open_workdir()
    data = load_data()
    model = build_model(len(data.vocab))
    workdir.check_data(data.corpus.sha256)
    num_tokens, sizes = len(data.train), (FLAGS.batch_size, FLAGS.num_steps)
    total_steps = FLAGS.epochs * batching.num_minibatches(num_tokens, *sizes)
    if FLAGS.train_tokens:
        total_steps = -(-FLAGS.train_tokens // (FLAGS.batch_size * FLAGS.num_steps))
    read = {
        "sequential": batching.sequential_partition,
        "random": batching.random_sampling,
    }[FLAGS.sampling]
    optimizer = build.optimizer(total_steps)
    perplexity_of = make_perplexity(model, data)

    @functools.lru_cache(maxsize=1)
    def plan(epoch):
        rng = batching.epoch_rng(FLAGS.seed, epoch)
        return jnp.asarray(read(rng, num_tokens, *sizes))

    def new_epoch(state):
        return state.replace(carry=model.initial_state((FLAGS.batch_size,)))

    job = fit.Job(
        build_train_loop(model, optimizer),
        data.train,
        plan,
        total_steps,
        new_epoch=new_epoch,
        validate=lambda state: {
            "valid_perplexity": metrics.perplexity(
                *perplexity_of(state.params, "valid")
            )
        },
    )
    state = build_state(model, optimizer)
    with workdir.open_for_training():
        workdir.write_vocab(data.vocab.tokens, data.corpus.sha256)
        state, progress = fit.fit(job, workdir, state)
        report(workdir, data, model, state, progress, perplexity_of)


def evaluate():
    workdir = open_workdir(must_hold_a_run=True)
    data = load_data()
    workdir.check_data(data.corpus.sha256)
    model = build_model(len(data.vocab))
    params = load_params(workdir, model)
    perplexity_of = make_perplexity(model, data)
    rows = []
    for split in ("valid", "test"):
        total, count = perplexity_of(params, split)
        rows += [
            (f"{split} perplexity", f"{metrics.perplexity(total, count):.4f}"),
            (f"{split} bits per character", f"{bits(data, split, total, count):.4f}"),
        ]
    run.print_table(f"{FLAGS.checkpoint} checkpoint", [*rows, ("files", workdir.path)])


def generate():
    workdir = open_workdir(must_hold_a_run=True)
    vocab, _ = workdir.read_vocab()
    model = build_model(len(vocab))
    params = load_params(workdir, model)
    for piece in generated(model, params, vocab):
        print(piece, end="", flush=True)
    print()


def make_perplexity(model, data):
    """(params, split) -> (total, count) over a whole held-out split."""

    def loss_fn(params, state, window, mask):
        return model.loss(params, window, state, None, mask)

    rows = min(FLAGS.eval_rows, len(data.valid) - 1, len(data.test) - 1)
    num_steps = max(1, 512 // rows)  # bounds the logits in memory
    run_over = training.make_evaluate(loss_fn, model.initial_state, num_steps)

    def perplexity_of(params, split):
        tokens = getattr(data, split)
        plan = batching.whole_text(len(tokens), rows, num_steps)
        return run_over(params, tokens, *map(jnp.asarray, plan))

    return perplexity_of


def bits(data, split, total, count):
    """Bits per character; words are spread over the characters of the text.

    An unknown word costs what "<unk>" costs, so that the figure of a small vocabulary
    flatters: the table shows the share of unknown tokens beside it.
    """
    characters = count if FLAGS.level == "char" else len(getattr(data.corpus, split))
    return metrics.bits_per_character(total, characters)


def report(workdir, data, model, state, progress, perplexity_of):
    """The table, the sample, summary.json and the figure."""
    params = state.params
    if FLAGS.checkpoint == "best":
        params = restore_params(workdir, "best", state)
    valid = perplexity_of(params, "valid")
    test = perplexity_of(params, "test")
    sample = "".join(generated(model, params, data.vocab))
    summary = {
        "train_perplexity": progress.train_perplexity,
        "valid_perplexity": metrics.perplexity(*valid),
        "test_perplexity": metrics.perplexity(*test),
        "bits_per_character": bits(data, "test", *test),
        "tokens_per_second": progress.predictions / progress.train_seconds,
        "parameters": sum(p.size for p in jax.tree.leaves(params)),
        "seconds": progress.seconds,
        "dataset_sha256": data.corpus.sha256,
        "sample": sample,
    }
    workdir.write_summary(summary)
    run.draw_learning_curve(workdir.path / "learning_curve.png", workdir.read_metrics())
    run.print_table(
        f"{data.corpus.name}, {FLAGS.cell}",
        [
            ("train perplexity, last epoch", f"{summary['train_perplexity']:.3f}"),
            ("valid perplexity", f"{summary['valid_perplexity']:.3f}"),
            ("test perplexity", f"{summary['test_perplexity']:.3f}"),
            ("test bits per character", f"{summary['bits_per_character']:.3f}"),
            ("test tokens unknown", f"{float(jnp.mean(data.test == 0)):.2%}"),
            ("vocabulary", f"{len(data.vocab):,}"),
            ("parameters", f"{summary['parameters']:,}"),
            ("training tokens/s", f"{summary['tokens_per_second']:,.0f}"),
            ("seconds", f"{summary['seconds']:.1f}"),
            ("files", workdir.path),
        ],
    )
    print(sample)


def load_params(workdir, model):
    template = build_state(model, build.optimizer(total_steps=1))
    return restore_params(workdir, FLAGS.checkpoint, template)


def generated(model, params, vocab):
    """The prompt and its continuation, in pieces of text."""
    tokens = texts.known_prompt(vocab)
    stream = decoding.stream(
        lambda state, token, params: model.step(params, state, token),
        model.initial_state(),
        vocab.encode(tokens),
        jax.random.key(FLAGS.seed),
        context=params,
        temperature=FLAGS.temperature,
        top_k=FLAGS.top_k,
        top_p=FLAGS.top_p,
    )
    yield from texts.pieces(tokens, itertools.islice(stream, FLAGS.length), vocab)


if __name__ == "__main__":
    run.launch(main, sys.modules[__name__])
