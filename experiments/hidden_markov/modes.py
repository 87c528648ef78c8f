"""A hidden Markov model learns word classes from text that nobody has labeled.

Examples:
    python -m experiments.hidden_markov
    python -m experiments.hidden_markov --corpus=my.txt --num_states=32
    python -m experiments.hidden_markov --mode=tag --input=sentences.txt
    python -m experiments.hidden_markov --dataset=regimes --num_states=3

Baum-Welch makes the states; the words that are typical of each say what it stands for.
Perplexities are those of experiments.language_model: the same flags give the same
vocabulary and the same predictions, all held-out tokens but the first. With
--dataset=regimes the observations are numbers with Gaussian emissions, drawn here.

A word's class is known by both its sides: Viterbi and smoothing join a pass over the
past and one over the future, as a bidirectional network joins two states
(seqjax/chains.py); perplexity and samples go by the past alone.

Where --help, which commands on text share, says otherwise, `DEFAULTS` below holds.
"""

import math
import sys
import time
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags

from experiments import lines, run, texts
from experiments.workdir import Workdir
from seqjax import metrics
from seqjax.baselines.hmm import HMM, Categorical, Gaussian, GaussianParams, HMMParams
from seqjax.checkpoint import Checkpoints
from seqjax.data.text import tokenize
from seqjax.data.vocab import Vocab

FLAGS = flags.FLAGS
for module in (run, texts, lines):
    flags.adopt_module_key_flags(module)
flags.DEFINE_enum("mode", "train", ["train", "tag", "sample"], "what to do")
flags.DEFINE_integer("num_states", 16, "hidden states", lower_bound=1)
flags.DEFINE_integer("iterations", 60, "of Baum-Welch, at most", lower_bound=1)
flags.DEFINE_float("tolerance", 1e-5, "ends at a smaller gain, nats a token", 0)
flags.DEFINE_float("prior", 0.01, "pseudo-count of each transition and symbol", 0)
flags.DEFINE_integer("batch_size", 32, "sequences in a minibatch", lower_bound=1)
flags.DEFINE_integer("num_steps", 128, "tokens in a sequence", lower_bound=1)
flags.DEFINE_integer("checkpoint_every", 20, "iterations between checkpoints", 1)
flags.DEFINE_enum("decoding", "viterbi", ["viterbi", "posterior"], "likeliest of what")

FREE_FLAGS = {
    *("workdir", "data_dir", "mode", "iterations", "tolerance", "checkpoint_every"),
    *("decoding", "input", "output", "prompt", "length"),
    "corpus",  # the checksum tells whether it is the same
}
DEFAULTS = {"level": "word", "min_freq": 2, "length": 60}  # where texts' are others
CHUNK = 1024  # held-out tokens at a time
REGIMES = 4000  # numbers in --dataset=regimes


def main():
    run.set_defaults(DEFAULTS)
    if is_text():
        texts.check_flags()
    elif FLAGS.mode != "train":
        raise run.UserError(
            f"--mode={FLAGS.mode} is for text, not for {FLAGS.dataset}."
        )
    lines.check_flags("tag")
    {"train": train, "tag": tag, "sample": sample}[FLAGS.mode]()


def is_text():
    return FLAGS.corpus is not None or FLAGS.dataset != "regimes"


def open_workdir(must_hold_a_run=False):
    module = sys.modules[__name__]
    free = FREE_FLAGS | ({"seed"} if FLAGS.mode != "train" else set())
    workdir = Workdir(run.workdir(module), module, free)
    if must_hold_a_run and not workdir.has_checkpoints():
        raise run.UserError(f"{workdir.path} holds no run; train one there first.")
    workdir.check()
    return workdir


# ---------------------------------------------------------------- data


class Data(NamedTuple):
    """What a run reads: symbols [N], or numbers [N, 1], a split."""

    name: str
    sha256: str
    vocab: Vocab | None
    train: np.ndarray
    valid: np.ndarray
    test: np.ndarray


def load_data():
    if is_text():
        corpus, data = texts.load()
        return Data(corpus.name, corpus.sha256, *data)
    _, xs = draw_regimes()
    xs = (xs - xs.mean()) / xs.std()
    splits = np.split(np.asarray(xs), [REGIMES * 90 // 100, REGIMES * 95 // 100])
    return Data("regimes", "drawn", None, *splits)


def draw_regimes():
    """(states [N], xs [N, 1]) of a market: calm, rising and falling wildly."""
    stay = jnp.log(jnp.full((3, 3), 0.01) + 0.97 * jnp.eye(3))
    mean, deviation = jnp.array([[0.0, 1.5, -2.0]]).T, jnp.array([[0.3, 0.5, 1.0]]).T
    emission = GaussianParams(mean, 2 * jnp.log(deviation))
    params = HMMParams(jnp.log(jnp.full(3, 1 / 3)), stay, emission)
    return HMM(3, Gaussian(1)).sample(jax.random.key(FLAGS.seed), params, REGIMES)


def sequences(split):
    """A split cut into minibatches: (xs [N, T, B, ...], lengths [N, B])."""
    rows, lengths = cut(split, FLAGS.num_steps)
    batch_size = min(FLAGS.batch_size, len(rows))
    padding = -len(rows) % batch_size
    rows = np.pad(rows, [(0, padding), *[(0, 0)] * split.ndim])
    xs = rows.reshape(-1, batch_size, *rows.shape[1:])
    lengths = np.pad(lengths, (0, padding)).reshape(-1, batch_size)
    return jnp.asarray(np.swapaxes(xs, 1, 2)), jnp.asarray(lengths)


def cut(split, num_steps):
    """Pieces one after the other, the last one padded: ([N, T, ...], lengths [N])."""
    num_pieces = -(-len(split) // num_steps)
    padding = num_pieces * num_steps - len(split)
    padded = np.pad(split, [(0, padding), *[(0, 0)] * (split.ndim - 1)])
    lengths = np.full(num_pieces, num_steps, np.int32)
    lengths[-1] -= padding
    return padded.reshape(num_pieces, num_steps, *split.shape[1:]), lengths


def build_model(vocab):
    return HMM(
        FLAGS.num_states, Gaussian(1) if vocab is None else Categorical(len(vocab))
    )


# ---------------------------------------------------------------- training


def train():
    workdir = open_workdir()
    data = load_data()
    workdir.check_data(data.sha256)
    model = build_model(data.vocab)
    with workdir.open_for_training():
        workdir.write_vocab(data.vocab.tokens if data.vocab else [], data.sha256)
        params, progress = fit(workdir, model, data)
        report(workdir, model, params, data, progress)


def fit(workdir, model, data):
    """Baum-Welch from the last checkpoint, if there is one: (params, progress)."""
    started = time.perf_counter()
    checkpoints = Checkpoints(workdir.checkpoints / "last")
    params = initial_params(model, data)
    params, progress = resume(workdir, checkpoints, params)
    earlier, step = progress["seconds"], jax.jit(model.baum_welch_step)
    minibatches, num_tokens = sequences(data.train), len(data.train)
    with run.ProgressBar(FLAGS.iterations, progress["iterations"]) as bar:
        while not is_over(progress):
            # What a step tells is the likelihood of the parameters it was given.
            params, log_likelihood = step(params, *minibatches, FLAGS.prior)
            progress = advanced(progress, float(log_likelihood), num_tokens)
            progress["seconds"] = earlier + time.perf_counter() - started
            iteration, per_token = progress["iterations"], progress["per_token"]
            workdir.log(step=iteration, log_likelihood=progress["log_likelihood"])
            bar.advance(1, f"log likelihood {per_token:.4f} a step")
            if iteration % 10 == 0:
                bar.line(
                    f"iteration {iteration}: log likelihood {per_token:.4f} a step"
                )
            if is_over(progress) or iteration % FLAGS.checkpoint_every == 0:
                checkpoints.save(iteration, params, progress)
    return params, progress


def initial_params(model, data):
    """Random ones, but for Gaussians, which stand apart at quantiles of the data."""
    params = model.init(jax.random.key(FLAGS.seed))
    if data.vocab is None:
        number = model.num_states
        shares = (np.arange(number) + 0.5) / number
        mean = jnp.asarray(np.quantile(data.train, shares, axis=0), jnp.float32)
        narrow = jnp.full_like(mean, -2 * math.log(number))  # deviations of 1/K
        params = params._replace(emission=GaussianParams(mean, narrow))
    return params


def resume(workdir, checkpoints, params):
    """(params, progress) of the last checkpoint, else of the beginning."""
    progress = dict.fromkeys(("log_likelihood", "per_token", "gain"))
    progress |= {"iterations": 0, "seconds": 0.0}
    if checkpoints.steps():
        params, progress, unreadable = checkpoints.restore(params)
        for sentence in unreadable:
            run.note(f"{sentence} Going on from the one before.")
        run.note(f"going on from iteration {progress['iterations']} in {workdir.path}.")
    workdir.rewind_metrics(progress["iterations"])
    return params, progress


def is_over(progress):
    gain = progress["gain"]
    gained_little = gain is not None and gain < FLAGS.tolerance
    return gained_little or progress["iterations"] >= FLAGS.iterations


def advanced(progress, log_likelihood, num_tokens):
    """The progress after one more iteration.

    Raises:
      UserError: if the data had no probability.
    """
    if not math.isfinite(log_likelihood):
        raise run.UserError(
            f"the log likelihood is {log_likelihood} after "
            f"{progress['iterations']} iterations; give a --prior above 0."
        )
    per_token, before = log_likelihood / num_tokens, progress["per_token"]
    return progress | {
        "iterations": progress["iterations"] + 1,
        "log_likelihood": log_likelihood,
        "per_token": per_token,
        "gain": None if before is None else per_token - before,
    }


@partial(jax.jit, static_argnums=0)
def log_likelihoods(model, params, xs, lengths):
    """Of the chunks of one sequence, xs [N, T, ...], each after those before: [N]."""

    def chunk(belief, inputs):
        found = model.filter(params, *inputs, belief)
        return found.belief, found.log_likelihood

    return jax.lax.scan(chunk, params.initial, (xs, lengths))[1]


def held_out(model, params, split):
    """(negative log likelihood, count) of all of a split but its first element."""
    xs, lengths = cut(split, CHUNK)
    found = log_likelihoods(model, params, jnp.asarray(xs), jnp.asarray(lengths))
    first = model.log_likelihood(params, jnp.asarray(split[:1]))
    total = np.asarray(found, np.float64).sum() - float(first)
    return -total, len(split) - 1


# ---------------------------------------------------------------- results


def report(workdir, model, params, data, progress):
    """The tables, summary.json and the figure."""
    scores = {
        name: held_out(model, params, getattr(data, name)) for name in ("valid", "test")
    }
    log_likelihood = progress["log_likelihood"]
    summary = {
        "log_likelihood": log_likelihood,
        "train_perplexity": metrics.perplexity(-log_likelihood, len(data.train)),
        **{f"{k}_perplexity": metrics.perplexity(*v) for k, v in scores.items()},
        "iterations": progress["iterations"],
        "seconds": progress["seconds"],
        "parameters": sum(p.size for p in jax.tree.leaves(params)),
        "dataset_sha256": data.sha256,
    }
    draw(workdir.path / "learning_curve.png", workdir.read_metrics(), params)
    if data.vocab is None:  # densities have no perplexity
        summary |= {k: None for k in summary if k.endswith("perplexity")}
        summary |= {f"{k}_log_likelihood": -v[0] for k, v in scores.items()}
        summary["accuracy"] = accuracy(model, params, data)
        rows = describe_gaussians(params)
        rows.append(("states as they were drawn", f"{summary['accuracy']:.1%}"))
    else:
        rows = describe_words(params, data)
    workdir.write_summary(summary)
    run.print_table("typical of each state", rows)
    shown = [(k.replace("_", " "), v) for k, v in summary.items() if "sha" not in k]
    if data.vocab:
        shown.append(("test tokens unknown", f"{np.mean(data.test == 0):.2%}"))
    run.print_table(
        f"{data.name}, {model.num_states} states",
        [
            *((k, f"{v:,.3f}" if isinstance(v, float) else v) for k, v in shown if v),
            ("files", workdir.path),
        ],
    )


def describe_words(params, data, number=8):
    """(state and its share of the text, its most typical words) by falling share.

    A word is typical of a state by its part in the divergence of what the state emits
    from the whole text: p(w | s) log(p(w | s) / p(w)).
    """
    emission, shares = np.exp(params.emission), stationary(params)
    overall = np.maximum(shares @ emission, 1e-12)
    typical = emission * np.log(np.maximum(emission, 1e-12) / overall)
    rows = []
    for state in np.argsort(-shares):
        words = data.vocab.to_tokens(np.argsort(-typical[state])[:number].tolist())
        shown = "  ".join(word if word.strip() else repr(word) for word in words)
        rows.append((f"{state} ({shares[state]:.1%})", shown))
    return rows


def describe_gaussians(params):
    """(state and its share, its mean and deviation) by falling share."""
    shares, (mean, log_variance) = stationary(params), params.emission
    deviation = np.exp(np.asarray(log_variance) / 2)
    return [
        (f"{k} ({shares[k]:.1%})", f"{mean[k, 0]:.2f} +- {deviation[k, 0]:.2f}")
        for k in np.argsort(-shares)
    ]


def stationary(params):
    """How often each state comes in the long run."""
    power = np.exp(np.asarray(params.transition, np.float64))
    return np.linalg.matrix_power(power / power.sum(axis=1, keepdims=True), 4096)[0]


def accuracy(model, params, data):
    """Share of training steps in the regime that most steps of their state are in."""
    truth, _ = draw_regimes()
    states = model.posterior_states(params, jnp.asarray(data.train))
    table = np.zeros((model.num_states, 3))
    np.add.at(table, (states, truth[: len(states)]), 1)
    return table.max(axis=1).sum() / table.sum()


def draw(path, records, params):
    """The log likelihood at each iteration, and the transition matrix, as a PNG."""
    from matplotlib.figure import Figure  # only where a figure is drawn: 0.7 s to load

    figure = Figure(figsize=(10, 4.2), layout="constrained")
    curve, matrix = figure.subplots(1, 2)
    points = [(m["step"], m["log_likelihood"]) for m in records]
    curve.plot(*zip(*points, strict=True))
    curve.set(xlabel="iterations", ylabel="log likelihood of the training data")
    curve.grid(alpha=0.3)
    image = matrix.imshow(np.exp(params.transition), vmin=0, vmax=1, cmap="Blues")
    matrix.set(xlabel="to state", ylabel="from state", title="transitions")
    figure.colorbar(image, ax=matrix)
    figure.savefig(path, dpi=120)


# ---------------------------------------------------------------- use


def restore():
    """(model, params, vocab) of the run in the workdir."""
    workdir = open_workdir(must_hold_a_run=True)
    vocab, _ = workdir.read_vocab()
    model = build_model(vocab)
    template = model.init(jax.random.key(0))
    return model, Checkpoints(workdir.checkpoints / "last").restore(template)[0], vocab


def tag():
    """Each line of the input with the state of each of its tokens."""
    model, params, vocab = restore()
    sentences = [tokenize(line, FLAGS.level) for line in lines.read()]
    decoded = jax.jit(
        model.viterbi if FLAGS.decoding == "viterbi" else model.posterior_states
    )
    tagged = []
    for begin in range(0, len(sentences), FLAGS.batch_size):
        batch = sentences[begin : begin + FLAGS.batch_size]
        longest = max(map(len, batch), default=0)
        num_steps = 2 ** math.ceil(math.log2(max(8, longest)))  # few compilations
        xs = np.zeros((num_steps, FLAGS.batch_size), np.int32)
        lengths = np.zeros(FLAGS.batch_size, np.int32)
        for i, tokens in enumerate(batch):
            xs[: len(tokens), i], lengths[i] = vocab.encode(tokens), len(tokens)
        states = decoded(params, xs, lengths)
        states = np.asarray(states[0] if FLAGS.decoding == "viterbi" else states)
        for i, tokens in enumerate(batch):
            pairs = zip(tokens, states[:, i], strict=False)
            tagged.append(" ".join(f"{t}/{s}" for t, s in pairs))
    lines.write(tagged)


def sample():
    """The prompt, and what the model makes follow it."""
    model, params, vocab = restore()
    tokens = texts.known_prompt(vocab)
    found = model.filter(params, jnp.asarray(vocab.encode(tokens)))
    key = jax.random.key(FLAGS.seed)
    _, xs = model.sample(key, params, FLAGS.length, belief=found.belief)
    print("".join(texts.pieces(tokens, xs.tolist(), vocab)))


if __name__ == "__main__":
    run.launch(main, sys.modules[__name__])
