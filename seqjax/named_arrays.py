"""Arrays by name as the bytes of a safetensors file, and back."""

from collections.abc import Mapping

import jax.numpy as jnp
import numpy as np
import safetensors
import safetensors.numpy

DTYPES = {  # of safetensors
    **{"F64": np.float64, "F32": np.float32, "F16": np.float16, "BF16": jnp.bfloat16},
    **{"I64": np.int64, "I32": np.int32, "I16": np.int16, "I8": np.int8},
    **{"U64": np.uint64, "U32": np.uint32, "U16": np.uint16, "U8": np.uint8},
    **{"BOOL": np.bool_, "C64": np.complex64},
}


def encode(arrays: Mapping[str, np.ndarray]) -> bytes:
    """The content of a safetensors file.

    Raises:
      ValueError: naming an array whose dtype the format lacks.
    """
    for name, array in arrays.items():
        if array.dtype not in DTYPES.values():
            raise ValueError(f"{name} has dtype {array.dtype}")
    ordered = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    return safetensors.numpy.save(ordered)


def decode(content: bytes) -> dict[str, np.ndarray]:
    """The arrays of a safetensors file by name.

    Raises:
      ValueError: if the content is not that of a whole safetensors file.
    """
    try:
        return {
            name: np.frombuffer(entry["data"], DTYPES[entry["dtype"]]).reshape(
                entry["shape"]
            )
            for name, entry in safetensors.deserialize(content)
        }
    except (safetensors.SafetensorError, KeyError) as error:
        raise ValueError(str(error)) from None
