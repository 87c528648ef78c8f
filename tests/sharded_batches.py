"""Compile gradients for a batch on one and on eight simulated devices.

    python -m tests.sharded_batches

prints, as JSON, {subject: {"flops": on one device, "share": of each of eight devices,
"gathers": all-gather operations, "error": of the gradients}}.
"""

import json
import os

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

import seqjax
from seqjax.engine.run_cell import run_cell

T, B, D, H, V = 12, 32, 16, 24, 50
CELLS = {
    "lstm": (seqjax.LSTM(H), {}),
    "plain loop": (seqjax.LSTM(H), {"fused": False}),
    "bidirectional gru": (seqjax.Bidirectional(seqjax.GRU(H)), {}),
    "stack": (seqjax.Stack((seqjax.RNN(H), seqjax.GRU(H))), {}),
}
FORMS = ["form for GPUs"]  # of the loop, run on the CPU
MODELS = {
    "language model": {},
    "chunked softmax": {"chunk": 20},
}


def subjects():
    """name -> (gradient of a loss, parameters, batch [T, B, ...])."""
    rng = np.random.default_rng(0)
    xs = jnp.asarray(rng.normal(size=(T, B, D)), jnp.float32)
    for name, (cell, options) in CELLS.items():

        def loss(params, xs, cell=cell, options=options):
            return jnp.sum(jnp.sin(seqjax.unroll(cell, params, xs, **options)[1]))

        yield name, loss, cell.init(jax.random.key(0), D), xs
    cell = seqjax.LSTM(H)
    options = {"reverse": False, "fused": True, "checkpoint_every": None}

    def loss_on_gpu(params, xs):
        state = cell.initial_state((B,))
        how = {"valid": None, "on_gpu": True, **options}
        return jnp.sum(jnp.sin(run_cell(cell, params, xs, state, **how)[1]))

    yield FORMS[0], loss_on_gpu, cell.init(jax.random.key(0), D), xs
    tokens = jnp.asarray(rng.integers(0, V, (T + 1, B)), jnp.int32)
    for name, options in MODELS.items():
        model = seqjax.LanguageModel(V, seqjax.LSTM(H), H, dropout=0.2, **options)

        def loss(params, tokens, model=model):
            return model.loss(params, tokens, jax.random.key(1))[0][0]

        yield name, loss, model.init(jax.random.key(0)), tokens


def main():
    # XLA reads its flags with the first device.
    flags = os.environ.get("XLA_FLAGS", "")
    os.environ["XLA_FLAGS"] = f"{flags} --xla_force_host_platform_device_count=8"
    mesh = Mesh(np.array(jax.devices()), ("data",))
    everywhere = NamedSharding(mesh, PartitionSpec())
    split = NamedSharding(mesh, PartitionSpec(None, "data"))
    found = {}
    for name, loss, params, batch in subjects():
        run = jax.jit(jax.grad(loss))
        one = run.lower(params, batch).compile()
        sharded = jax.device_put(params, everywhere), jax.device_put(batch, split)
        eight = run.lower(*sharded).compile()
        pairs = zip(
            jax.tree.leaves(one(params, batch)),
            jax.tree.leaves(eight(*sharded)),
            strict=True,
        )
        flops = [program.cost_analysis()["flops"] for program in (one, eight)]
        found[name] = {
            "flops": flops[0],
            "share": flops[1] / flops[0],
            "gathers": eight.as_text().count("all-gather("),
            "error": max(
                float(jnp.abs(a - np.asarray(b)).max() / jnp.abs(a).max())
                for a, b in pairs
            ),
        }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
