"""Write a .tflite: tensors, constants and operators into LiteRT's FlatBuffers schema."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.common.errors import RuntimeUnavailableError, first_line
from segport.conversion.litert.grid import Grid
from segport.conversion.litert.versions import version_of

_TYPES = {
    "float32": "FLOAT32", "int8": "INT8", "int32": "INT32", "int64": "INT64", "bool": "BOOL",
    "uint8": "UINT8",
}  # fmt: skip
_ALIGNMENT = 16
"""Bytes at multiples of which constants lie, as the schema demands."""
_FILE_FORMAT = 3
_LAST_OLD_CODE = 127
"""Operators beyond it did not fit the byte that readers before 2020 look at."""


@dataclass(frozen=True)
class Tensor:
    """A tensor of the file: its number, its shape as stored, its type and its grid."""

    index: int
    shape: tuple[int, ...]
    dtype: str
    grid: Grid | None = None


@dataclass(frozen=True)
class Options:
    """What an operator's attributes are: a table of the schema and its fields."""

    table: str
    fields: Mapping[str, Any]


def options(table: str, **fields: Any) -> Options:
    """Return attributes, such as `options("SoftmaxOptions", beta=1.0)`."""
    return Options(table, fields)


def load_schema() -> Any:
    """Return the generated classes of the schema; raise RuntimeUnavailableError without them."""
    try:
        from ai_edge_litert import schema_py_generated
    except ImportError as error:
        raise RuntimeUnavailableError(
            f"litert: not usable here ({first_line(error)}); pip install 'segport[litert]'"
        ) from error
    return schema_py_generated


class Writer:
    """A .tflite in the making, of one graph."""

    def __init__(self) -> None:
        self._schema = load_schema()
        self._tensors: list[Any] = []
        self._buffers: list[bytes] = [b""]
        self._known: dict[bytes, int] = {b"": 0}
        self._codes: dict[tuple[str, int], int] = {}
        self._operators: list[Any] = []
        self.counts: dict[str, int] = {}

    def tensor(
        self, name: str, shape: Sequence[int], dtype: str, grid: Grid | None = None
    ) -> Tensor:
        """Add a tensor that an operator, or the user, gives."""
        return self._tensor(name, shape, dtype, grid, 0)

    def constant(self, name: str, value: NDArray[np.generic], grid: Grid | None = None) -> Tensor:
        """Add a constant; equal ones share their bytes."""
        data = np.ascontiguousarray(value).tobytes()
        buffer = self._known.setdefault(data, len(self._buffers))
        if buffer == len(self._buffers):
            self._buffers.append(data)
        return self._tensor(name, value.shape, value.dtype.name, grid, buffer)

    def rename(self, tensor: Tensor, name: str) -> None:
        """Give a tensor another name."""
        self._tensors[tensor.index].name = name

    def operator(
        self, code: str, inputs: Sequence[Tensor], outputs: Sequence[Tensor], given: Options | None
    ) -> None:
        """Add an operator, named as in the schema's BuiltinOperator."""
        schema = self._schema
        key = (code, version_of(code, inputs, outputs, given.fields if given else {}))
        made = schema.OperatorT()
        made.opcodeIndex = self._codes.setdefault(key, len(self._codes))
        made.inputs = [tensor.index for tensor in inputs]
        made.outputs = [tensor.index for tensor in outputs]
        if given:
            made.builtinOptionsType = getattr(schema.BuiltinOptions, given.table)
            made.builtinOptions = getattr(schema, f"{given.table}T")()
            for name, value in given.fields.items():
                if not hasattr(made.builtinOptions, name):
                    raise AttributeError(f"{given.table} has no {name}")
                setattr(made.builtinOptions, name, self._number(value))
        self._operators.append(made)
        kind = f"{code} {outputs[0].dtype}"
        self.counts[kind] = self.counts.get(kind, 0) + 1

    def finish(self, inputs: Mapping[str, Tensor], outputs: Mapping[str, Tensor]) -> bytes:
        """Return the file, whose inputs and outputs have these names in its one signature."""
        import flatbuffers

        schema = self._schema
        graph = schema.SubGraphT()
        graph.name = "main"
        graph.tensors, graph.operators = self._tensors, self._operators
        graph.inputs = [tensor.index for tensor in inputs.values()]
        graph.outputs = [tensor.index for tensor in outputs.values()]
        model = schema.ModelT()
        model.version, model.description = _FILE_FORMAT, "segport"
        model.subgraphs = [graph]
        model.operatorCodes = [self._code(*key) for key in self._codes]
        model.buffers = [_buffer(schema, data) for data in self._buffers]
        model.signatureDefs = [self._signature(inputs, outputs)]
        builder = flatbuffers.Builder(sum(map(len, self._buffers)) + 2**16)
        builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
        return bytes(builder.Output())

    def _tensor(
        self, name: str, shape: Sequence[int], dtype: str, grid: Grid | None, buffer: int
    ) -> Tensor:
        made = self._schema.TensorT()
        made.name, made.shape, made.buffer = name, list(shape), buffer
        made.type = getattr(self._schema.TensorType, _TYPES[dtype])
        if grid:
            made.quantization = self._schema.QuantizationParametersT()
            made.quantization.scale, made.quantization.zeroPoint = (
                list(grid.scales),
                list(grid.zeros),
            )
            made.quantization.quantizedDimension = grid.axis
        self._tensors.append(made)
        return Tensor(len(self._tensors) - 1, tuple(shape), dtype, grid)

    def _number(self, value: Any) -> Any:
        """Return the number of what is given as "Enum.NAME", such as "Padding.VALID"."""
        if not isinstance(value, str):
            return value
        enum, _, name = value.partition(".")
        return getattr(getattr(self._schema, enum), name)

    def _code(self, code: str, version: int) -> Any:
        made = self._schema.OperatorCodeT()
        made.builtinCode = getattr(self._schema.BuiltinOperator, code)
        made.deprecatedBuiltinCode = min(made.builtinCode, _LAST_OLD_CODE)
        made.version = version
        return made

    def _signature(self, inputs: Mapping[str, Tensor], outputs: Mapping[str, Tensor]) -> Any:
        made = self._schema.SignatureDefT()
        made.signatureKey = "serving_default"
        made.inputs, made.outputs = (
            [self._named(name, tensor) for name, tensor in ends.items()]
            for ends in (inputs, outputs)
        )
        return made

    def _named(self, name: str, tensor: Tensor) -> Any:
        made = self._schema.TensorMapT()
        made.name, made.tensorIndex = name, tensor.index
        return made


def _buffer(schema: Any, data: bytes) -> Any:
    """Return a buffer that packs its bytes aligned, which the generated class does not."""

    class Aligned(schema.BufferT):  # type: ignore[misc]
        def Pack(self, builder: Any) -> Any:  # noqa: N802
            vector = None
            if data:
                builder.StartVector(1, len(data), _ALIGNMENT)
                builder.head -= len(data)
                builder.Bytes[builder.head : builder.head + len(data)] = data
                vector = builder.EndVector()
            schema.BufferStart(builder)
            if vector is not None:
                schema.BufferAddData(builder, vector)
            return schema.BufferEnd(builder)

    return Aligned()
