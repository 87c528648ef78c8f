"""Exported programs: the results of the model, at any batch and length."""

import dataclasses
import subprocess
import sys
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import seqjax
from seqjax.interop import from_stablehlo, stablehlo, to_stablehlo
from tests.parameters import drawn
from tests.test_model_files import CELLS, MODELS

SKIPPED = ("pretraining",)  # training alone


@dataclasses.dataclass(frozen=True)
class Own:
    """A cell of somebody's own: h' = tanh(x w + h)."""

    output_size: int = 4

    def init(self, key: jax.Array, input_size: int) -> Any:
        return {"w": jax.random.normal(key, (input_size, self.output_size))}

    def initial_state(self, batch_shape: tuple[int, ...] = ()) -> jax.Array:
        return jnp.zeros((*batch_shape, self.output_size))

    def project(self, params: Any, xs: jax.Array) -> jax.Array:
        return xs @ params["w"]

    def step(self, params: Any, state: jax.Array, z: jax.Array, dot: Any = jnp.dot):
        state = jnp.tanh(z + state)
        return state, state


SUBJECTS = {n: m for n, m in MODELS.items() if n not in SKIPPED} | CELLS
SUBJECTS["own_cell"] = Own()


def arguments(shapes, dtypes, sizes):
    """Arrays of a signature, whose lengths and tokens fit."""
    rng, found = np.random.default_rng(0), []
    for shape, dtype in zip(shapes, dtypes, strict=True):
        size = [eval(part, {}, sizes) for part in shape.split(",")]
        if shape == "b":
            found.append(rng.integers(1, min(sizes["t"], sizes["s"]), size, np.int32))
        elif jnp.issubdtype(dtype, jnp.integer):
            found.append(rng.integers(0, 3, size, np.int32))
        else:
            found.append(rng.normal(size=size).astype(dtype))
    return found


@pytest.mark.parametrize("name", SUBJECTS)
def test_a_program_gives_the_results_of_the_model(name, tmp_path):
    model = SUBJECTS[name]
    sizes = (3,) if hasattr(model, "output_size") else ()
    params, path = drawn(lambda key: model.init(key, *sizes)), tmp_path / "program"
    to_stablehlo(model, params, path)
    run, signature = from_stablehlo(path), stablehlo.signature_of(model, params)
    for t, b in ((5, 2), (3, 4)):
        given = arguments(
            signature.shapes, signature.dtypes, {"t": t, "b": b, "s": 6, "i": 3}
        )
        want, got = signature.run(*given), run(*given)
        assert len(want) == len(got)
        for ours, theirs in zip(got, want, strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


def test_a_fresh_process_needs_no_code_of_the_model(tmp_path):
    model = MODELS["classifier"]
    params, path = drawn(model.init), tmp_path / "program"
    to_stablehlo(model, params, path)
    tokens, lengths = np.array([[1, 2], [3, 4]], np.int32), np.array([2, 1], np.int32)
    code = (
        "import sys, numpy as np\n"
        "from jax import export\n"
        "program = export.deserialize(bytearray(open(sys.argv[1], 'rb').read()))\n"
        f"found, = program.call(np.int32({tokens.tolist()}), "
        f"np.int32({lengths.tolist()}))\n"
        "print([m for m in sys.modules if m.startswith('seqjax')])\n"
        "np.save(sys.argv[1] + '.npy', found)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, path], capture_output=True, text=True
    )
    assert done.stdout == "[]\n", done.stderr
    want = model.apply(params, tokens, lengths)
    np.testing.assert_allclose(np.load(f"{path}.npy"), want, atol=1e-6)


def test_what_has_no_program_is_refused(tmp_path):
    with pytest.raises(ValueError, match="a model or a cell was expected, got dict"):
        to_stablehlo({}, {}, tmp_path / "program")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", [b"", b"x" * 100, None])
def test_a_file_that_is_no_program_is_refused(content, tmp_path):
    path = tmp_path / "program"
    to_stablehlo(seqjax.GRU(2), drawn(lambda k: seqjax.GRU(2).init(k, 3)), path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2] if content is None else content)
    with pytest.raises(ValueError, match=r"no whole program of jax.export") as error:
        from_stablehlo(path)
    assert "\n" not in str(error.value)
