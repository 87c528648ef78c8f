"""A script: seqjax works where only jax, NumPy and safetensors are installed.

tests/test_package.py runs it on the built wheel, and .ci/run in an environment that has
only the core dependencies. Training needs flax and optax, so its modules are left out.
"""

import importlib
import pkgutil
import sys

EXTRAS = (
    "absl",
    "matplotlib",
    "pooch",
    "rich",
    "sacrebleu",
    "sentencepiece",
)
TRAINING = ("flax", "optax")
OF_FLAX = ("seqjax.training", "seqjax.interop.linen", "seqjax.interop.nnx")


def main() -> None:
    """Unroll a stack and import every module, with imports of the others failing."""
    sys.modules.update(dict.fromkeys([*EXTRAS, *TRAINING]))
    import jax
    import jax.numpy as jnp

    import seqjax

    cell = seqjax.Stack((seqjax.LSTM(4), seqjax.GRU(5)))
    params = cell.init(jax.random.key(0), input_size=3)
    xs, lengths = jnp.ones((6, 2, 3)), jnp.array([6, 2])
    _, ys = seqjax.unroll(cell, params, xs, lengths=lengths)
    assert ys.shape == (6, 2, 5)
    assert jnp.all(ys[:2] != 0)
    assert jnp.all(ys[2:, 1] == 0)
    for module in pkgutil.walk_packages(seqjax.__path__, "seqjax."):
        if not module.name.startswith(OF_FLAX):
            importlib.import_module(module.name)
            print(module.name)
    print(seqjax.__file__)


main()
