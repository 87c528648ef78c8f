"""The modes of the hidden Markov model command: train, evaluate, tag, sample."""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.common.console import note, note_unknown, print_table
from experiments.common.errors import UserError
from experiments.common.line_io import evaluation_title, read_lines, write_lines
from experiments.common.text import known_prompt, read_input, text_pieces
from experiments.common.training_run import (
    LEARNING_CURVE,
    count_parameters,
    open_run,
)
from experiments.common.workdir import Workdir
from experiments.hidden_markov.baum_welch import fit, held_out
from experiments.hidden_markov.config import Config
from experiments.hidden_markov.data import Observations, build_model, load_data
from experiments.hidden_markov.states import (
    describe_gaussians,
    describe_words,
    draw_training,
    regime_accuracy,
)
from seqjax import metrics
from seqjax.baselines.hmm import HMM, HMMParams
from seqjax.checkpoint import Checkpoints
from seqjax.data.text import tokenize
from seqjax.data.text_tokenizer import TextTokenizer
from seqjax.data.vocab import Vocab


def train(config: Config) -> dict[str, Any]:
    """Train until the run is done; the entries of its summary.json."""
    workdir = open_run(config)
    data = load_data(config)
    workdir.check_data(data.sha256)
    model = build_model(config.model.num_states, data.vocab)
    with workdir.open_for_training():
        workdir.write_vocab(data.vocab.tokens if data.vocab else [], data.sha256)
        params, progress = fit(config, workdir, model, data)
        return report(config, workdir, model, params, data, progress)


def report(
    config: Config,
    workdir: Workdir,
    model: HMM,
    params: HMMParams,
    data: Observations,
    progress: dict[str, Any],
) -> dict[str, Any]:
    """Write summary.json and the figure, print the tables; the summary."""
    scores = {
        part: held_out(model, params, getattr(data, part)) for part in ("valid", "test")
    }
    log_likelihood = progress["log_likelihood"]
    summary = {
        "log_likelihood": log_likelihood,
        "train_perplexity": metrics.perplexity(-log_likelihood, len(data.train)),
        **{f"{k}_perplexity": metrics.perplexity(*v) for k, v in scores.items()},
        "iterations": progress["iterations"],
        "seconds": progress["seconds"],
        "parameters": count_parameters(params),
        "dataset_sha256": data.sha256,
    }
    draw_training(workdir.file(LEARNING_CURVE), workdir.read_metrics(), params)
    if data.vocab is None:  # densities have no perplexity
        summary |= {k: None for k in summary if k.endswith("perplexity")}
        summary |= {f"{k}_log_likelihood": -v[0] for k, v in scores.items()}
        summary["accuracy"] = regime_accuracy(config.run.seed, model, params, data)
        rows = describe_gaussians(params)
        rows.append(("regimes recovered", f"{summary['accuracy']:.1%}"))
    else:
        rows = describe_words(params, data.vocab)
    workdir.write_summary(summary)
    print_table("typical of each state", rows)
    closing = [(k.replace("_", " "), v) for k, v in summary.items() if "sha" not in k]
    if data.vocab:
        closing.append(("test tokens unknown", f"{np.mean(data.test == 0):.2%}"))
    print_table(
        f"{data.name}, {model.num_states} states",
        [
            *((k, f"{v:,.3f}" if isinstance(v, float) else v) for k, v in closing if v),
            ("files", workdir.path),
        ],
    )
    return summary


def restore(config: Config, mode: str) -> tuple[HMM, HMMParams, Vocab]:
    """(model, params, vocab) of the run in the workdir."""
    if not config.data.is_text:
        raise UserError(f"--mode={mode} is for text, not for {config.data.dataset}.")
    workdir = open_run(config, training=False)
    vocab, _ = workdir.read_vocab()
    model = build_model(config.model.num_states, vocab)
    template = model.init(jax.random.key(0))
    params, _, unreadable = Checkpoints(workdir.checkpoints / "last").restore(template)
    for sentence in unreadable:
        note(f"{sentence} Using the one before.")
    return model, params, vocab


def evaluate(config: Config) -> dict[str, float]:
    """The perplexities of the held-out parts or of the text --input, also printed."""
    model, params, vocab = restore(config, "evaluate")
    workdir, path = Workdir(config.run.workdir, config), config.files.input
    if path is None:
        data = load_data(config)
        workdir.check_data(data.sha256)
        parts = {"valid": data.valid, "test": data.test}
    else:
        parts = {"test": read_input(config.data, path, tokenizer_of(config, vocab))[1]}
    found = {
        f"{name}_perplexity": metrics.perplexity(*held_out(model, params, part))
        for name, part in parts.items()
    }
    test = parts["test"]
    rows = [
        *((name.replace("_", " "), f"{value:.4f}") for name, value in found.items()),
        ("test tokens", f"{len(test):,}"),
        ("test tokens unknown", f"{np.mean(test == 0):.2%}"),
        ("files", workdir.path),
    ]
    print_table(evaluation_title(f"{model.num_states} states", config.files), rows)
    return found


def tag(config: Config) -> list[str]:
    """Write each line of --input with the state of each token; the lines."""
    model, params, vocab = restore(config, "tag")
    lines = read_lines(config.files.input)
    sentences = [tokenize(line, config.data.level) for line in lines]
    is_viterbi = config.decode.decoding == "viterbi"
    decode = jax.jit(model.viterbi if is_viterbi else model.posterior_states)
    size, tagged = config.train.batch_size, []
    for begin in range(0, len(sentences), size):
        batch = sentences[begin : begin + size]
        longest = max(map(len, batch), default=0)
        num_steps = 2 ** math.ceil(math.log2(max(8, longest)))  # few compilations
        xs, lengths = np.zeros((num_steps, size), np.int32), np.zeros(size, np.int32)
        for i, tokens in enumerate(batch):
            xs[: len(tokens), i], lengths[i] = vocab.encode(tokens), len(tokens)
        found = decode(params, xs, lengths)
        states = np.asarray(found[0] if is_viterbi else found)
        for i, tokens in enumerate(batch):
            pairs = zip(tokens, states[:, i], strict=False)
            tagged.append(" ".join(f"{token}/{state}" for token, state in pairs))
    note_unknown((tokens, vocab.encode(tokens)) for tokens in sentences)
    write_lines(config.files.output, tagged)
    return tagged


def tokenizer_of(config: Config, vocab: Vocab) -> TextTokenizer:
    """The tokenizer of a trained model."""
    return TextTokenizer(config.data.level, vocab)


def sample(config: Config) -> str:
    """Print the prompt and its continuation."""
    model, params, vocab = restore(config, "sample")
    tokenizer = tokenizer_of(config, vocab)
    prompt = known_prompt(config.data, config.prompt, tokenizer)

    @jax.jit
    def continuation(params: HMMParams, xs: jax.Array, key: jax.Array) -> jax.Array:
        belief = model.filter(params, xs).belief
        return model.sample(key, params, config.prompt.length, belief=belief)[1]

    key = jax.random.key(config.run.seed)
    xs = continuation(params, jnp.asarray(prompt.indices), key)
    text = "".join(text_pieces(prompt, xs.tolist(), tokenizer))
    print(text)
    return text
