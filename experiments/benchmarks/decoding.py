"""Speed of beam search with a translation model in seqjax and in PyTorch.

    python -m experiments.benchmarks.decoding
    python -m experiments.benchmarks.decoding --quick

A GRU with attention and input feeding translates random sentences. A translation has
at most as many tokens as its source. The two implementations (arms) have the same
random weights, and must find the same translations with equal scores before they are
timed. The search in PyTorch is a Python loop over steps with batched beams, as in
OpenNMT-py: the memory is repeated for each hypothesis, and finished sentences leave the
batch.

The table shows medians of sentences per second. "seqjax/torch" is the ratio of these
rates: above 1, seqjax is faster. "outside the step" is the share of the time of seqjax
that a loop of as many model steps without a search does not need. The benchmark needs
torch.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Self

import jax
import jax.numpy as jnp
import numpy as np

import seqjax
from experiments.benchmarks import environment, timing
from experiments.benchmarks.bars import draw_bars
from experiments.benchmarks.config import (
    BenchmarkConfig,
    Shape,
    format_shape,
    format_shapes,
    parse_shapes,
)
from experiments.benchmarks.results import (
    check_json,
    format_number,
    format_spread,
    write_json,
)
from experiments.benchmarks.torch_beam import TorchTranslator, Translation
from experiments.common.command_line import launch
from experiments.common.console import note, print_columns
from experiments.common.errors import UserError
from experiments.common.settings import setting
from seqjax import decoding
from seqjax.backend import on_gpu
from seqjax.data.vocab import BOS, EOS
from seqjax.decoding import Hypotheses, penalties
from seqjax.models.seq2seq import Seq2Seq, Seq2SeqParams

LETTERS = "VxHxSxB"
SHAPES: list[Shape] = [(8000, 512, 25, 32)]
QUICK_SHAPES: list[Shape] = [(500, 64, 10, 8)]
ALPHA = 0.75  # exponent of the length penalty


@dataclasses.dataclass(frozen=True)
class Config(BenchmarkConfig):
    """The settings of this benchmark."""

    shapes: tuple[str, ...] = setting(
        format_shapes(SHAPES),
        f"Shapes {LETTERS} to measure, joined by commas: vocabulary size, hidden size, "
        f"source length, batch size.",
    )
    json: str = setting(
        "runs/benchmarks/decoding.json", "JSON file for all measured numbers."
    )
    beams: tuple[int, ...] = setting(
        (1, 5, 10), "Beam sizes to measure, joined by commas.", minimum=1
    )

    def check(self) -> None:
        if not self.beams:
            raise UserError("--beams is empty; give beam sizes joined by commas.")

    @classmethod
    def defaults(cls, given: Mapping[str, Any]) -> Self:
        """A small shape in few rounds with --quick."""
        if not given.get("quick"):
            return cls()
        return cls(rounds=3, shapes=format_shapes(QUICK_SHAPES))


def make_model(sizes: Shape, seed: int) -> tuple[Seq2Seq, Seq2SeqParams]:
    """(model, params) with E equal to H.

    The softmax weights are scaled up, so that the scores of hypotheses differ clearly.
    """
    vocab_size, hidden, *_ = sizes
    encoder = seqjax.Bidirectional(seqjax.GRU(hidden // 2))
    model = Seq2Seq(
        vocab_size, vocab_size, encoder, (seqjax.GRU(hidden),), hidden, "general"
    )
    params: Any = model.init(jax.random.key(seed))
    return model, params._replace(out_w=8.0 * params.out_w)


def make_search(
    model: Seq2Seq, beam_size: int, max_length: int
) -> Callable[..., Hypotheses]:
    """A compiled (params, source, lengths) -> the best translations."""

    @jax.jit
    def search(params: Any, source: jax.Array, lengths: jax.Array) -> Hypotheses:
        state, encoded = model.start(params, source, lengths)
        return decoding.beam_search(
            partial(model.step, params),
            state,
            bos=BOS,
            eos=EOS,
            beam_size=beam_size,
            max_length=max_length,
            n_best=1,
            length_penalty=penalties.power_penalty(ALPHA),
            context=encoded,
        )

    return search


def make_steps(model: Seq2Seq, beam_size: int) -> Callable[..., Any]:
    """A compiled (params, source, lengths, count): `count` model steps, no search."""

    @jax.jit
    def loop(params: Any, source: jax.Array, lengths: jax.Array, count: int) -> Any:
        state, encoded = model.start(params, source, lengths)
        state = jax.tree.map(lambda s: jnp.stack([s] * beam_size, axis=1), state)
        step = jax.vmap(partial(model.step, params), (0, 0, None))  # K
        step = jax.vmap(step, (0, 0, 0))  # B
        tokens = jnp.full((source.shape[1], beam_size), BOS)

        def body(_: Any, carry: Any) -> Any:
            state, tokens = carry
            state, logits = step(state, tokens, encoded)
            # The tokens stay the same, but XLA cannot drop the computation of logits.
            return state, tokens + (logits[..., 0] > 1e9)

        return jax.lax.fori_loop(0, count, body, (state, tokens))

    return loop


def measure(config: Config, sizes: Shape, beam_size: int) -> dict[str, Any]:
    """The record of one shape and beam size: sentences per second of both arms.

    Raises:
      UserError: if the translations differ.
    """
    vocab_size, _, num_steps, batch_size = sizes
    model, params = make_model(sizes, config.seed)
    rng = np.random.default_rng(config.seed)
    source = rng.integers(4, vocab_size, (num_steps, batch_size)).astype(np.int32)
    lengths = np.full(batch_size, num_steps, np.int32)
    search = make_search(model, beam_size, max_length=num_steps)
    steps = make_steps(model, beam_size)
    translator = TorchTranslator(model, params, beam_size, num_steps, ALPHA)
    found = jax.device_get(search(params, source, lengths))
    check_equal(sizes, beam_size, found, translator.translate(source))
    count = int(found.lengths.max())
    calls: dict[str, timing.Call] = {
        "seqjax": lambda: jax.block_until_ready(search(params, source, lengths)),
        "torch": lambda: translator.translate(source),
        "steps": lambda: jax.block_until_ready(steps(params, source, lengths, count)),
    }
    seconds = timing.time_calls(calls, config.rounds)
    spreads = timing.spreads(seconds)
    ours = spreads["seqjax"]["median"]
    return {
        "shape": format_shape(sizes),
        "beam": beam_size,
        "mean_length": float(found.lengths.mean()),
        "longest": count,
        "arms": {
            name: {
                "seconds": spreads[name],
                "sentences_per_second": timing.spread([batch_size / s for s in times]),
            }
            for name, times in seconds.items()
        },
        "ratio": ours / spreads["torch"]["median"],
        "outside": 1 - spreads["steps"]["median"] / ours,
    }


def check_equal(
    sizes: Shape,
    beam_size: int,
    found: Hypotheses,
    translations: Sequence[Translation],
) -> None:
    """Refuse searches that find different translations or scores.

    On a GPU, where products are in TF32, a quarter of the sentences may differ.

    Args:
      sizes, beam_size: named in the error message.
      found: the translations of seqjax.
      translations: those of torch.

    Raises:
      UserError: naming a sentence that differs.
    """
    tolerance, allowed = (1e-2, len(translations) // 4) if on_gpu() else (1e-4, 0)
    different = 0
    for i, (tokens, score) in enumerate(translations):
        ours = found.tokens[i, 0, : found.lengths[i, 0]].tolist()
        close = abs(found.scores[i, 0] - score) <= tolerance * max(1, abs(score))
        different += ours != tokens or not close
        if different > allowed:
            raise UserError(
                f"{format_shape(sizes)}, beam size {beam_size}, sentence {i}: seqjax "
                f"finds {ours} with score {found.scores[i, 0]}, torch {tokens} with "
                f"score {score}."
            )


def print_records(records: Sequence[Mapping[str, Any]]) -> None:
    """Print one row per shape and beam size."""
    header = [LETTERS, "beam size", "seqjax", "(range)", "torch", "(range)"]
    header += ["seqjax/torch", "outside the step", "mean length"]
    rows = []
    for record in records:
        row = [record["shape"], record["beam"]]
        for name in ("seqjax", "torch"):
            row += format_spread(record["arms"][name]["sentences_per_second"], 1)
        row += [f"{1 / record['ratio']:.2f}", f"{record['outside']:.0%}"]
        rows.append([*row, format_number(record["mean_length"], 1)])
    print_columns("sentences/s", header, rows)


def run(config: Config) -> list[dict[str, Any]]:
    """Measure all shapes with all beam sizes; returns the records."""
    shapes = parse_shapes(config.shapes, LETTERS)
    check_json(config.json)
    environment.prepare()
    environment.require("torch")
    records = []
    for sizes in shapes:
        for beam_size in dict.fromkeys(config.beams):
            note(f"{format_shape(sizes)}, beam size {beam_size} ...")
            records.append(measure(config, sizes, beam_size))
            write_json("decoding", config, records, {})
    print_records(records)
    print(f"bars: {draw_bars(config.json)}")
    return records


def main(argv: Sequence[str] | None = None) -> None:
    """Run the benchmark with these arguments, by default those of the process."""
    launch(__doc__, Config, {"run": run}, argv)


if __name__ == "__main__":
    main()
