"""Weights and models of other libraries: torch, flax, haiku, Keras.

torch, flax, haiku, keras   weights from and to their recurrent layers
weights                     safetensors files
stablehlo                   models as programs, without their code
onnx                        models as graphs of ONNX; onnx_layers has their recurrent
                            operators, onnx_graph builds them
nnx, linen                  RNN and Bidirectional of flax, run by `seqjax.unroll`
flax_loop                   what these compute
layers                      cells as a list of layers

None of these libraries is imported unless a module of it is used.
"""

from seqjax.interop.flax import from_flax, to_flax
from seqjax.interop.haiku import from_haiku, to_haiku
from seqjax.interop.keras import from_keras, to_keras
from seqjax.interop.onnx import to_onnx
from seqjax.interop.stablehlo import from_stablehlo, to_stablehlo
from seqjax.interop.torch import from_torch, to_torch
from seqjax.interop.weights import read_weights, write_weights

__all__ = [
    "from_flax",
    "from_haiku",
    "from_keras",
    "from_stablehlo",
    "from_torch",
    "read_weights",
    "to_flax",
    "to_haiku",
    "to_keras",
    "to_onnx",
    "to_stablehlo",
    "to_torch",
    "write_weights",
]
