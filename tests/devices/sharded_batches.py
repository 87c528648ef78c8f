"""Compile gradients for a batch on one and on eight simulated devices.

    python -m tests.devices.sharded_batches
    python -m tests.devices.sharded_batches lstm tagger_crf

prints, as JSON, {subject: {way: {"share": of the operations of one device that each of
eight computes, "gathers": all-gather operations, "error": of the gradients}}}. The ways
are an Auto mesh, an Explicit mesh, and `jax.shard_map` on the Auto mesh.
"""

import json
import os
import sys
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, NamedSharding, PartitionSpec

import seqjax
from seqjax import models
from seqjax.data import buckets, labeled
from seqjax.engine.run_cell import run_cell
from seqjax.interop import flax_loop
from seqjax.nn import layers
from tests import quick

T, B, D, H, V = 12, 32, 16, 24, 50
WAYS = ("auto", "explicit", "shard_map")
RNG = np.random.default_rng(0)
XS = RNG.normal(size=(T, B, D)).astype(np.float32)
TOKENS = RNG.integers(4, V, (T, B)).astype(np.int32)
LENGTHS = RNG.integers(1, T + 1, B).astype(np.int32)
GRU, LSTM = seqjax.GRU(H), seqjax.LSTM(H)
BOTH = seqjax.Bidirectional(seqjax.GRU(H // 2))


class Subject(NamedTuple):
    """A loss, a sum over the batch."""

    loss: Callable[[Any, Any], jax.Array]  # (parameters, batch)
    init: Callable[[jax.Array], Any]
    batch: Any


def unrolled(cell: Any, **options: Any) -> Subject:
    """A sum over the outputs and the last state of `unroll`."""

    def loss(params: Any, batch: Any) -> jax.Array:
        xs, lengths = batch
        last, ys = seqjax.unroll(cell, params, xs, lengths=lengths, **options)
        return sum(jnp.sum(jnp.sin(a)) for a in jax.tree.leaves((last, ys)))

    return Subject(loss, partial(cell.init, input_size=D), (XS, LENGTHS))


def on_gpu() -> Subject:
    """The form for GPUs, which is right on a CPU too."""
    how = {"reverse": False, "fused": True, "checkpoint_every": None}

    def loss(params: Any, xs: jax.Array) -> jax.Array:
        # `unroll` would choose the other form, and does what follows.
        return jnp.sum(jnp.sin(run(params, xs)[1]))

    @seqjax.mesh_axes.on_any_mesh(lambda a: (batch(a), steps(a)))
    def run(params: Any, xs: jax.Array) -> Any:
        state = LSTM.initial_state(xs.shape[1:-1])
        state, _ = seqjax.mesh_axes.vary_alike(state, xs)
        return run_cell(LSTM, params, xs, state, valid=None, on_gpu=True, **how)

    def batch(arguments: Any) -> PartitionSpec:
        return seqjax.mesh_axes.batch_spec(arguments["xs"], 1)

    def steps(arguments: Any) -> PartitionSpec:
        return seqjax.mesh_axes.steps_spec(arguments["xs"], 1)

    return Subject(loss, partial(LSTM.init, input_size=D), XS)


def of_flax() -> Subject:
    """The loop in place of that of flax, whose sequences are [B, T, D]."""

    def loss(params: Any, xs: jax.Array) -> jax.Array:
        ways = {"lengths": None, "return_carry": False, "keep_order": False}
        carry = (jnp.zeros((xs.shape[1], H)), jnp.zeros((xs.shape[1], H)))
        inputs = jnp.swapaxes(xs, 0, 1)
        ys = flax_loop.run(LSTM, params, inputs, carry, 1, reverse=False, **ways)
        return jnp.sum(jnp.sin(ys))

    return Subject(loss, partial(LSTM.init, input_size=D), XS)


class Linear(NamedTuple):
    """A cell that somebody else wrote: h = dense(dense(x) + h)."""

    output_size: int = H

    def init(self, key: jax.Array, input_size: int) -> Any:
        keys = jax.random.split(key)
        sizes = (input_size, self.output_size), (self.output_size, self.output_size)
        return [layers.dense_init(k, *s) for k, s in zip(keys, sizes, strict=True)]

    def initial_state(self, batch_shape: tuple[int, ...] = ()) -> jax.Array:
        return jnp.zeros((*batch_shape, self.output_size))

    def project(self, params: Any, xs: jax.Array) -> jax.Array:
        return layers.dense(params[0], xs)

    def step(self, params: Any, state: Any, z: jax.Array, dot: Any = jnp.dot) -> Any:
        state = jnp.tanh(dot(z + state, params[1].w) + params[1].b)
        return state, state


def modelled(model: Any, batch: Any, **options: Any) -> Subject:
    """The loss of a model."""

    def loss(params: Any, batch: Any) -> jax.Array:
        found = model.loss(params, batch, **options)
        return jax.tree.leaves(found)[0]

    return Subject(loss, model.init, batch)


def language_model(**options: Any) -> Subject:
    return modelled(models.LanguageModel(V, LSTM, H, **options), TOKENS)


def seq2seq(attention: str | None) -> Subject:
    model = models.Seq2Seq(V, V, BOTH, (GRU, GRU), D, attention=attention)
    return modelled(model, buckets.PairBatch(TOKENS, LENGTHS, TOKENS[:8], LENGTHS // 2))


def classifier(pooling: str) -> Subject:
    model = models.Classifier(V, 3, BOTH, D, pooling=pooling)
    return modelled(model, labeled.LabeledBatch(TOKENS, LENGTHS, TOKENS[0] % 3))


def tagger(crf: bool) -> Subject:
    model = models.Tagger(V, ("O", "B", "I"), BOTH, D, crf=crf)
    inputs = models.TaggerInputs(TOKENS, LENGTHS)
    return modelled(model, models.TaggerBatch(inputs, TOKENS % 3))


def ctc() -> Subject:
    labels = models.CTCBatch(XS, LENGTHS, 1 + TOKENS[:4] % 5, LENGTHS // 5)
    return modelled(models.CTCModel(6, BOTH, D), labels)


SUBJECTS: dict[str, Callable[[], Subject]] = {
    "rnn": lambda: unrolled(seqjax.RNN(H)),
    "gru": lambda: unrolled(GRU),
    "of_flax": of_flax,
    "gru_textbook": lambda: unrolled(seqjax.GRU(H, reset_after=False)),
    "lstm": lambda: unrolled(LSTM),
    "own_cell": lambda: unrolled(Linear()),
    "plain_loop": lambda: unrolled(LSTM, fused=False),
    "reverse": lambda: unrolled(LSTM, reverse=True),
    "segments": lambda: unrolled(GRU, checkpoint_every=5),
    "form_for_gpus": on_gpu,
    "stack": lambda: unrolled(seqjax.Stack((seqjax.RNN(H), GRU))),
    "bidirectional": lambda: unrolled(seqjax.Bidirectional(LSTM, merge="sum")),
    "language_model": language_model,
    "language_model_tied": lambda: language_model(tie_embeddings=True),
    "language_model_chunked": lambda: language_model(chunk=20),
    "language_model_adaptive": lambda: language_model(clusters=(10, 30)),
    "seq2seq": lambda: seq2seq(None),
    "seq2seq_attention": lambda: seq2seq("general"),
    "classifier_mean": lambda: classifier("mean"),
    "classifier_attention": lambda: classifier("attention"),
    "pretraining": lambda: modelled(
        models.Pretraining(models.Classifier(V, 3, BOTH, D)),
        labeled.LabeledBatch(TOKENS, LENGTHS, TOKENS[0] % 3),
    ),
    "tagger_softmax": lambda: tagger(crf=False),
    "tagger_crf": lambda: tagger(crf=True),
    "ctc_model": ctc,
    "recursive_forecaster": lambda: modelled(
        models.RecursiveForecaster(GRU, 8, 4, D), XS
    ),
    "direct_forecaster": lambda: modelled(models.DirectForecaster(GRU, 8, 4, D), XS),
}


def split(leaf: np.ndarray) -> PartitionSpec:
    """The axis of the batch over the devices."""
    return PartitionSpec(*[None] * leaf.shape.index(B), "data")


def measure(subject: Subject) -> dict[str, dict[str, float]]:
    """The numbers of each way."""
    params = subject.init(jax.random.key(0))
    gradient = jax.grad(subject.loss)
    one = jax.jit(gradient).lower(params, subject.batch).compile()
    expected, specs = one(params, subject.batch), jax.tree.map(split, subject.batch)

    def sums(params: Any, batch: Any) -> jax.Array:
        return jax.lax.psum(subject.loss(params, batch), "data")

    found = {}
    for way in WAYS:
        kind = AxisType.Explicit if way == "explicit" else AxisType.Auto
        mesh = jax.make_mesh((8,), ("data",), (kind,))
        run = gradient
        if way == "shard_map":
            run = jax.shard_map(
                jax.grad(sums),
                mesh=mesh,
                in_specs=(PartitionSpec(), specs),
                out_specs=PartitionSpec(),
            )
        places = jax.tree.map(partial(NamedSharding, mesh), (PartitionSpec(), specs))
        sharded = (
            jax.device_put(params, places[0]),
            jax.tree.map(jax.device_put, subject.batch, places[1]),
        )
        eight = jax.jit(run).lower(*sharded).compile()
        pairs = zip(*map(jax.tree.leaves, (expected, eight(*sharded))), strict=True)
        flops = [program.cost_analysis()["flops"] for program in (one, eight)]
        found[way] = {
            "share": flops[1] / flops[0],
            "gathers": eight.as_text().count("all-gather("),
            "error": max(float(jnp.abs(a - np.asarray(b)).max()) for a, b in pairs)
            / max(float(jnp.abs(a).max()) for a in jax.tree.leaves(expected)),
        }
    return found


def main() -> None:
    # XLA reads its flags with the first device.
    flags = "--xla_force_host_platform_device_count=8"
    os.environ["XLA_FLAGS"] = f"{flags} {quick.XLA_FLAGS}"
    names = sys.argv[1:] or SUBJECTS
    print(json.dumps({name: measure(SUBJECTS[name]()) for name in names}))


if __name__ == "__main__":
    main()
