"""safetensors files of weights: in and out, and what is refused."""

import pickle
import zipfile

import jax.numpy as jnp
import numpy as np
import pytest

from seqjax import interop

ARRAYS = {
    "w": np.arange(6, dtype=np.float32).reshape(2, 3).T,
    "half": np.asarray(jnp.arange(3, dtype=jnp.bfloat16)),
    "empty": np.zeros((0, 2), np.int8),
}


def test_what_is_read_is_what_was_written(tmp_path):
    path = tmp_path / "weights.safetensors"
    interop.write_weights(path, ARRAYS)
    found = interop.read_weights(path)
    assert found.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        assert found[name].dtype == array.dtype
        np.testing.assert_array_equal(found[name], array)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_torch_reads_and_writes_the_same_file(tmp_path):
    torch = pytest.importorskip("torch")
    files = pytest.importorskip("safetensors.torch")
    lstm, path = torch.nn.LSTM(3, 4), tmp_path / "lstm.safetensors"
    files.save_file(lstm.state_dict(), path)
    cell, params = interop.from_torch(interop.read_weights(path))
    interop.write_weights(path, interop.to_torch(cell, params))
    module = torch.nn.LSTM(3, 4)
    module.load_state_dict(files.load_file(path))
    xs = torch.randn(5, 2, 3)
    torch.testing.assert_close(module(xs)[0], lstm(xs)[0])


@pytest.mark.parametrize("cut", [0, 1, 8, 50, -1])
def test_a_file_that_is_cut_short_is_refused(tmp_path, cut):
    path = tmp_path / "weights.safetensors"
    interop.write_weights(path, ARRAYS)
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(ValueError, match="no whole safetensors file") as error:
        interop.read_weights(path)
    assert str(path) in str(error.value) and "\n" not in str(error.value)


def test_pickles_are_never_read(tmp_path):
    """Neither the old form of torch nor the new one, a zip file."""

    class Trap:
        def __reduce__(self):
            return exit, (1,)

    old, new = tmp_path / "old.pt", tmp_path / "new.pt"
    old.write_bytes(pickle.dumps(Trap()))
    with zipfile.ZipFile(new, "w") as file:
        file.writestr("archive/data.pkl", pickle.dumps(Trap()))
    for path in (old, new):
        with pytest.raises(ValueError, match="this is a pickle"):
            interop.read_weights(path)


def test_a_dtype_that_the_format_lacks_is_named(tmp_path):
    with pytest.raises(ValueError, match="w has dtype <U1"):
        interop.write_weights(tmp_path / "x", {"w": np.array("a")})
    assert list(tmp_path.iterdir()) == []
