"""Beam search of a translation model beside the same model and search in PyTorch.

    python -m experiments.benchmarks.decoding
    python -m experiments.benchmarks.decoding --quick

A GRU with attention and input feeding, the same random weights in both, translates the
same random sentences into sentences of up to as many tokens as the source has. Both
must find the same translations, by equal scores, before anything is timed. PyTorch's
search is a Python loop over steps on batched beams, in the manner of OpenNMT-py: the
memory is laid out once per hypothesis, sentences that are over leave the batch.
"outside the step" is the share of this project's time that a loop of as many model
steps without any search does not take. torch is needed (`pip install torch`).
"""

import sys
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags

import seqjax
from experiments import run
from experiments.benchmarks import timing
from experiments.benchmarks.torch_beam import TorchTranslator
from seqjax import decoding
from seqjax.data.vocab import BOS, EOS
from seqjax.decoding import hypotheses
from seqjax.models.seq2seq import Seq2Seq

FLAGS = flags.FLAGS
flags.DEFINE_list("beams", ["1", "5", "10"], "widths of the beam")
flags.adopt_module_key_flags(timing)

LETTERS = "VxHxSxB"
SHAPES = [(8000, 512, 25, 32)]
QUICK_SHAPES = [(500, 64, 10, 8)]
ALPHA = 0.75


def make_model(sizes):
    """(model, params): E is H; sharp enough that hypotheses differ clearly."""
    vocab_size, hidden, *_ = sizes
    encoder = seqjax.Bidirectional(seqjax.GRU(hidden // 2))
    model = Seq2Seq(
        vocab_size, vocab_size, encoder, (seqjax.GRU(hidden),), hidden, "general"
    )
    params = model.init(jax.random.key(FLAGS.seed))
    return model, params._replace(out_w=8.0 * params.out_w)


def seqjax_search(model, width, max_length):
    """A compiled (params, source, lengths) -> Hypotheses of the best translations."""
    options = {
        "bos": BOS,
        "eos": EOS,
        "max_length": max_length,
        "length_penalty": hypotheses.power_penalty(ALPHA),
    }

    @jax.jit
    def search(params, source, lengths):
        state, encoded = model.start(params, source, lengths)
        step = partial(model.step, params)
        if width == 1:
            return decoding.greedy(step, state, context=encoded, **options)
        return decoding.beam_search(
            step, state, beam_size=width, n_best=1, context=encoded, **options
        )

    return search


def steps_alone(model, width):
    """A compiled loop of `count` model steps for as many hypotheses, and no search."""

    @jax.jit
    def loop(params, source, lengths, count):
        state, encoded = model.start(params, source, lengths)
        state = jax.tree.map(lambda s: jnp.stack([s] * width, axis=1), state)
        step = jax.vmap(partial(model.step, params), (0, 0, None))  # K
        step = jax.vmap(step, (0, 0, 0))  # B
        tokens = jnp.full((source.shape[1], width), BOS)

        def body(_, carry):
            state, tokens = carry
            state, logits = step(state, tokens, encoded)
            return state, tokens + (logits[..., 0] > 1e9)

        return jax.lax.fori_loop(0, count, body, (state, tokens))

    return loop


def measure(sizes, width):
    """The record of one shape and width: equality, then sentences a second."""
    vocab_size, _, num_steps, batch = sizes
    model, params = make_model(sizes)
    rng = np.random.default_rng(FLAGS.seed)
    source = rng.integers(4, vocab_size, (num_steps, batch)).astype(np.int32)
    lengths = np.full(batch, num_steps, np.int32)
    max_length = num_steps
    search = seqjax_search(model, width, max_length)
    theirs = TorchTranslator(model, params, width, max_length, ALPHA)
    found = jax.device_get(search(params, source, lengths))
    check_equal(sizes, width, found, theirs.translate(source))
    count = int(found.lengths.max())
    alone = steps_alone(model, width)
    calls = {
        "seqjax": lambda: jax.block_until_ready(search(params, source, lengths)),
        "torch": lambda: theirs.translate(source),
        "steps": lambda: jax.block_until_ready(alone(params, source, lengths, count)),
    }
    seconds = timing.take_turns(
        {name: timing.warmed(call) for name, call in calls.items()},
        timing.chosen_rounds(),
    )
    spreads = {name: timing.spread(times) for name, times in seconds.items()}
    ours = spreads["seqjax"]["median"]
    return {
        "shape": timing.joined(sizes),
        "beam": width,
        "mean_length": float(found.lengths.mean()),
        "longest": count,
        "arms": {
            name: {
                "seconds": spreads[name],
                "sentences_per_second": timing.spread([batch / s for s in times]),
            }
            for name, times in seconds.items()
        },
        "ratio": ours / spreads["torch"]["median"],
        "outside": 1 - spreads["steps"]["median"] / ours,
    }


def check_equal(sizes, width, found, theirs):
    """Refuse searches that find different translations or scores.

    Raises:
      UserError: naming the first sentence that differs.
    """
    for i, (tokens, score) in enumerate(theirs):
        ours = found.tokens[i, 0, : found.lengths[i, 0]].tolist()
        close = abs(found.scores[i, 0] - score) <= 1e-4 * max(1, abs(score))
        if ours != tokens or not close:
            raise run.UserError(
                f"{timing.joined(sizes)}, beam {width}, sentence {i}: {ours} with "
                f"score {found.scores[i, 0]} and in torch {tokens} with {score}."
            )


def print_records(records):
    """A row a shape and width."""
    header = [LETTERS, "beam", "seqjax", "(range)", "torch", "(range)"]
    header += ["seqjax/torch", "outside the step", "length"]
    rows = []
    for record in records:
        row = [record["shape"], record["beam"]]
        for name in ("seqjax", "torch"):
            speed = record["arms"][name]["sentences_per_second"]
            low, high = (timing.show(speed[end], 1) for end in ("low", "high"))
            row += [timing.show(speed["median"], 1), f"({low}-{high})"]
        row += [f"{1 / record['ratio']:.2f}", f"{record['outside']:.0%}"]
        rows.append([*row, timing.show(record["mean_length"], 1)])
    run.print_columns("sentences/s", header, rows)


def chosen_beams():
    """--beams as numbers.

    Raises:
      UserError: for anything else.
    """
    if not FLAGS.beams or not all(b.isdigit() and int(b) > 0 for b in FLAGS.beams):
        raise run.UserError(f"--beams takes whole numbers above 0, got {FLAGS.beams}.")
    return [int(b) for b in FLAGS.beams]


def main():
    shapes, beams = timing.chosen_shapes(LETTERS, SHAPES, QUICK_SHAPES), chosen_beams()
    path = timing.json_path("decoding")
    timing.prepare()
    if not timing.installed("torch"):
        raise run.UserError(
            "the peer is missing: pip install torch, then run this again."
        )
    records = []
    for sizes in shapes:
        for width in beams:
            run.note(f"{timing.joined(sizes)}, beam {width} ...")
            records.append(measure(sizes, width))
            timing.write_json(path, sys.modules[__name__], records, {})
    print_records(records)


if __name__ == "__main__":
    run.launch(main, sys.modules[__name__])
