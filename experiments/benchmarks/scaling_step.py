"""One process of the scaling benchmark: times a training step, prints it as JSON.

`experiments.benchmarks.scaling` starts it, with the number of its devices in XLA_FLAGS.
"""

import dataclasses
import json
import re
import statistics
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import PartitionSpec

import seqjax
from experiments.benchmarks.config import Shape
from experiments.common.command_line import launch
from experiments.common.devices import DevicesConfig, Placement
from experiments.common.processes import is_first
from experiments.common.settings import Settings, setting
from seqjax import sharding, training

BYTES = {"f32": 4, "s32": 4, "u32": 4, "bf16": 2, "pred": 1, "f64": 8, "s64": 8}


@dataclasses.dataclass(frozen=True)
class Sizes(Settings):
    """The language model that is trained."""

    sizes: tuple[int, ...] = setting(
        (32, 35, 256, 10_000), "Rows, steps, hidden units and words."
    )
    steps: int = setting(10, "Number of timed steps.", minimum=1)


@dataclasses.dataclass(frozen=True)
class Config(Settings):
    """The settings of this process."""

    step: Sizes = Sizes()
    devices: DevicesConfig = DevicesConfig()


def collectives(text: str) -> dict[str, dict[str, int]]:
    """The collectives of a compiled program: {kind: {"number": n, "bytes": b}}.

    The bytes are those of their results, which may be tuples.
    """
    found: dict[str, dict[str, int]] = {}
    kinds = "all-reduce|all-gather|reduce-scatter|all-to-all|collective-permute"
    for result, kind in re.findall(rf"= (.+?) ({kinds})(?:-start)?\(", text):
        numbers = found.setdefault(kind, {"number": 0, "bytes": 0})
        numbers["number"] += 1
        for dtype, shape in re.findall(r"(\w+)\[([\d,]*)\]", result):
            size = int(np.prod([int(n) for n in shape.split(",") if n], dtype=np.int64))
            numbers["bytes"] += BYTES.get(dtype, 4) * size
    return found


def make_step(sizes: Shape, placement: Placement) -> tuple[Any, Any, Any]:
    """(compiled step, state, batch), with arrays where the placement says."""
    rows, num_steps, hidden_size, vocab_size = sizes
    cell = seqjax.LSTM(hidden_size)
    model = seqjax.LanguageModel(vocab_size, cell, hidden_size)
    optimizer = training.make_optimizer("adam", 1e-3, 1.0)
    params = model.init(jax.random.key(0))
    carry = model.initial_state((rows,))
    state = training.init_state(params, optimizer, carry, jax.random.key(1))

    def loss(params: Any, carry: Any, window: jax.Array, key: jax.Array) -> Any:
        return model.loss(params, window, key, state=carry)

    step = placement.step(training.make_train_step(loss, optimizer))
    rng = np.random.default_rng(0)
    window = rng.integers(0, vocab_size, (num_steps + 1, rows)).astype(np.int32)
    state, batch = placement.state(state), placement.batch(window)
    compiled = jax.jit(step, donate_argnums=0).lower(state, batch).compile()
    return compiled, state, batch


def make_sum(placement: Placement, params: Any) -> tuple[Any, Any]:
    """(program, arguments): the sum over the devices of arrays like the gradients."""
    mesh = placement.mesh
    assert mesh is not None

    def add(gradients: Any) -> Any:
        return jax.tree.map(lambda g: jax.lax.psum(g[0], sharding.DATA), gradients)

    spec = PartitionSpec(sharding.DATA)
    number = mesh.shape[sharding.DATA]
    gradients = jax.tree.map(lambda p: np.zeros((number, *p.shape), p.dtype), params)
    gradients = sharding.place(gradients, sharding.of_batch(mesh, 0))
    program = jax.shard_map(add, mesh=mesh, in_specs=spec, out_specs=PartitionSpec())
    return jax.jit(program).lower(gradients).compile(), gradients


def median_seconds(call: Any, number: int) -> float:
    """The median of so many calls, after two that are not timed."""
    times = []
    for _ in range(number + 2):
        begin = time.perf_counter()
        jax.block_until_ready(call())
        times.append(time.perf_counter() - begin)
    return statistics.median(times[2:])


def measure(config: Config) -> dict[str, Any]:
    """Print and return the numbers of this layout."""
    rows = config.step.sizes[0]
    placement = Placement.of(config.devices, 1, rows)
    step, state, batch = make_step(config.step.sizes, placement)
    holder = [state]

    def train() -> Any:
        holder[0], metrics = step(holder[0], batch)
        return metrics

    seconds = median_seconds(train, config.step.steps)
    total, count = (float(x) for x in train()[:2])
    found = {
        "seconds": seconds,
        "flops": step.cost_analysis()["flops"],
        "loss": total / count,
        "collectives": collectives(step.as_text()),
        "parameter_bytes": 4 * sum(p.size for p in jax.tree.leaves(state.params)),
        "collective_seconds": 0.0,
    }
    if placement.mesh is not None and jax.device_count() > 1:
        params = jax.tree.map(jnp.asarray, sharding.gather(holder[0].params))
        add, gradients = make_sum(placement, params)
        found["collective_seconds"] = median_seconds(
            lambda: add(gradients), config.step.steps
        )
    if is_first():
        print(json.dumps(found))
    return found


if __name__ == "__main__":
    launch(__doc__, Config, {"measure": measure})
