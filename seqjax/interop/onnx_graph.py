"""A builder of ONNX graphs: operators are added to names, and return names."""

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np

OPSET, IR_VERSION = 17, 8
Value: TypeAlias = str | np.ndarray | np.generic  # a name, or a constant


class Graph:
    """The operators, constants, inputs and outputs so far.

    Args:
      library: the module onnx.
    """

    def __init__(self, library: Any) -> None:
        self._onnx = library
        self._nodes: list[Any] = []
        self._constants: list[Any] = []
        self._inputs: list[Any] = []
        self._outputs: list[Any] = []

    def input(self, name: str, dtype: Any, shape: Sequence[str | int]) -> str:
        """Declare an input; a size that is a name is open."""
        self._inputs.append(self._declare(name, dtype, shape))
        return name

    def output(
        self, value: str, name: str, dtype: Any, shape: Sequence[str | int]
    ) -> None:
        """Declare a value as an output with this name."""
        self._nodes.append(self._onnx.helper.make_node("Identity", [value], [name]))
        self._outputs.append(self._declare(name, dtype, shape))

    def add(self, operator: str, *values: Value | None, **attributes: Any) -> str:
        """Add an operator with one output; None is an optional input that is absent."""
        return self.add_all(operator, 1, *values, **attributes)[0]

    def add_all(
        self, operator: str, outputs: int, *values: Value | None, **attributes: Any
    ) -> list[str]:
        """Add an operator; the names of its outputs."""
        names = [f"{operator}_{len(self._nodes)}_{i}" for i in range(outputs)]
        inputs = ["" if value is None else self._name(value) for value in values]
        node = self._onnx.helper.make_node(operator, inputs, names, **attributes)
        self._nodes.append(node)
        return names

    def serialize(self, name: str) -> bytes:
        """The content of an ONNX file, checked by the library."""
        helper = self._onnx.helper
        graph = helper.make_graph(
            self._nodes, name, self._inputs, self._outputs, self._constants
        )
        opsets = [helper.make_opsetid("", OPSET)]
        model = helper.make_model(
            graph, producer_name="seqjax", opset_imports=opsets, ir_version=IR_VERSION
        )
        self._onnx.checker.check_model(model, full_check=True)
        return model.SerializeToString()

    def dense(self, w: Any, b: Any, xs: str) -> str:
        """xs @ w + b."""
        return self.add("Add", self.add("MatMul", xs, w), b)

    def cast(self, value: str, dtype: Any) -> str:
        """The values in another dtype."""
        return self.add("Cast", value, to=self._type(dtype))

    def unsqueeze(self, value: str, axes: Sequence[int]) -> str:
        """The array with more axes of size 1."""
        return self.add("Unsqueeze", value, np.array(axes))

    def sum(self, value: str, axis: int) -> str:
        """The sum over an axis."""
        return self.add("ReduceSum", value, np.array([axis]), keepdims=0)

    def slice(self, value: str, begin: int, end: int | str, axis: int = 0) -> str:
        """value[begin:end] along an axis."""
        stop = self.unsqueeze(end, [0]) if isinstance(end, str) else np.array([end])
        return self.add("Slice", value, np.array([begin]), stop, np.array([axis]))

    def valid(self, value: str, lengths: str) -> str:
        """index < length, [N, ...], for an array [N, ...] and its lengths [...]."""
        shape = self.add("Shape", value)
        count = self.add("Gather", shape, np.int64(0), axis=0)
        steps = self.add("Range", np.int64(0), count, np.int64(1))  # [N]
        lengths = self.cast(lengths, np.int64)
        rank = self.add("Size", self.add("Shape", lengths))
        ones = self.add("Expand", np.array([1]), self.unsqueeze(rank, [0]))
        column = self.add("Concat", self.unsqueeze(count, [0]), ones, axis=0)
        return self.add("Less", self.add("Reshape", steps, column), lengths)

    def _name(self, value: Value) -> str:
        if isinstance(value, str):
            return value
        name = f"constant_{len(self._constants)}"
        array = np.ascontiguousarray(value).reshape(np.shape(value))
        self._constants.append(self._onnx.numpy_helper.from_array(array, name))
        return name

    def _declare(self, name: str, dtype: Any, shape: Sequence[str | int]) -> Any:
        make = self._onnx.helper.make_tensor_value_info
        return make(name, self._type(dtype), list(shape))

    def _type(self, dtype: Any) -> int:
        return self._onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
