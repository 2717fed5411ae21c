"""A small writer of ONNX graphs, and packed weights as MatMulNBits nodes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from synapnet_edge.runtime.packed_file import PackedFile, Weight, unpack

OPSET = 20
_CONTRIB = "com.microsoft"
_CONTRIB_OPS = ("MatMulNBits", "FusedMatMul", "QuickGelu")


class Builder:
    """Collects nodes and constants; every method that adds a node returns the name of its output."""

    def __init__(self) -> None:
        self.nodes: list = []
        self.inputs: list = []
        self.outputs: list = []
        self._constants: dict[str, object] = {}
        self._names: dict[str, str] = {}  # what a tensor is called as an output

    def add(self, operator: str, *inputs: str, outputs: int = 1, **attributes) -> str | list[str]:
        """Add a node; several names if it has several outputs."""
        names = [f"t{len(self.nodes)}_{index}" for index in range(outputs)]
        domain = _CONTRIB if operator in _CONTRIB_OPS else ""
        self.nodes.append(helper.make_node(operator, list(inputs), names, domain=domain, **attributes))
        return names[0] if outputs == 1 else names

    def constant(self, values, dtype: type = np.float32) -> str:
        """Name of a constant; equal constants are stored once."""
        array = np.ascontiguousarray(values, dtype=dtype)
        key = f"c_{array.dtype}_{'x'.join(map(str, array.shape))}_{hash(array.tobytes()) & (2**64 - 1):x}"
        if key not in self._constants:
            self._constants[key] = numpy_helper.from_array(array, key)
        return key

    def shape(self, *sizes: int) -> str:
        """A constant shape."""
        return self.constant(sizes, np.int64)

    def input(self, name: str, shape: Sequence[int | str], dtype: int = TensorProto.FLOAT) -> str:
        """Declare an input."""
        self.inputs.append(helper.make_tensor_value_info(name, dtype, list(shape)))
        return name

    def output(self, tensor: str, name: str, shape: Sequence[int | str]) -> None:
        """Give a tensor its name as an output."""
        self._names[tensor] = name
        self.outputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, list(shape)))

    def split(self, tensor: str, sizes: Sequence[int], axis: int) -> list[str]:
        """Split along an axis."""
        if len(sizes) == 1:
            return [tensor]
        return self.add("Split", tensor, self.shape(*sizes), outputs=len(sizes), axis=axis)

    def half(self, values: np.ndarray) -> str:
        """A constant stored as FP16 and computed with as float32 (onnxruntime widens it once, at load)."""
        return self.add("Cast", self.constant(values, np.float16), to=TensorProto.FLOAT)

    def model(self, name: str, metadata: dict[str, str]):
        """The finished model."""
        for node in self.nodes:
            for names in (node.input, node.output):
                names[:] = [self._names.get(tensor, tensor) for tensor in names]
        graph = helper.make_graph(self.nodes, name, self.inputs, self.outputs, list(self._constants.values()))
        opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid(_CONTRIB, 1)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=10)
        helper.set_model_props(model, metadata)
        return model


def project(builder: Builder, x: str, file: PackedFile, modules: Sequence[str], level: int) -> str:
    """Product of x [T, K] with the stacked weights of `modules` that read it: [T, sum of N].

    Neighbours of one format become one node. `level` is MatMulNBits' accuracy level: 4 rounds activations to
    int8 per token and block, 0 keeps float32.
    """
    runs: list[list[Weight | np.ndarray]] = []
    for module in modules:
        weight = file.weight(module)
        if runs and _format(runs[-1][0]) == _format(weight):
            runs[-1].append(weight)
        else:
            runs.append([weight])
    parts = [_product(builder, x, run, level) for run in runs]
    return parts[0] if len(parts) == 1 else builder.add("Concat", *parts, axis=1)


def _format(weight: Weight | np.ndarray) -> tuple:
    if isinstance(weight, np.ndarray):
        return ("float", weight.shape[1])
    return (weight.bits, weight.block, weight.half_step, weight.shape[1])


def _product(builder: Builder, x: str, weights: list[Weight | np.ndarray], level: int) -> str:
    if isinstance(weights[0], np.ndarray):
        joined = np.concatenate(weights).T
        stored = builder.half if joined.dtype == np.float16 else builder.constant
        return builder.add("MatMul", x, stored(joined))
    first = weights[0]
    bits, columns = first.bits, first.shape[1]
    codes, scales, zeros = (np.concatenate(parts) for parts in zip(*map(_expanded, weights), strict=True))
    rows = len(codes)
    if bits == 3:
        bits, codes = 4, _repacked(unpack(codes, 3, first.block), 4)
    inputs = [x, builder.constant(codes, np.uint8), builder.constant(scales.reshape(-1))]
    if (zeros != 1 << (bits - 1)).any():
        inputs.append(builder.constant(_repacked(zeros, bits), np.uint8))
    sizes = {"K": columns, "N": rows, "bits": bits, "block_size": first.block, "accuracy_level": level}
    product = builder.add("MatMulNBits", *inputs, **sizes)
    if first.half_step:
        # Every weight is half a scale higher: a term of rank one, from the sum of the inputs of each group.
        half = 0.5 * scales
        if (half == half[:, :1]).all():
            sums, lifts = builder.add("ReduceSum", x, builder.shape(1), keepdims=1), half[:, :1]
        else:
            sums, lifts = x, np.repeat(half, first.block, 1)[:, :columns]
        product = builder.add("Gemm", sums, builder.constant(lifts.T), product)
    return product


def _expanded(weight: Weight) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Codes, scales and zero points of every group, also where the row has one."""
    groups = weight.codes.shape[1]
    shape = (weight.shape[0], groups)
    scales = np.broadcast_to(weight.scales.astype(np.float32), shape)
    return weight.codes, scales, np.broadcast_to(weight.zero_points(), shape)


def _repacked(codes: np.ndarray, bits: int) -> np.ndarray:
    """Pack codes along the last axis, lowest bits first."""
    if bits == 8:
        return codes.astype(np.uint8)
    each = 8 // bits
    padding = [(0, 0)] * (codes.ndim - 1) + [(0, -codes.shape[-1] % each)]
    parts = np.pad(codes.astype(np.uint8), padding).reshape(*codes.shape[:-1], -1, each)
    shifts = (bits * np.arange(each)).astype(np.uint8)
    return np.bitwise_or.reduce(parts << shifts, axis=-1)


def embedding(builder: Builder, index: str, weight: Weight | np.ndarray) -> str:
    """Rows [T, K] of an embedding table at `index` [T]; packed codes are unpacked after the look-up."""
    if isinstance(weight, np.ndarray):
        rows = builder.add("Gather", builder.constant(weight, np.float16), index)
        return builder.add("Cast", rows, to=TensorProto.FLOAT)
    codes, bits, columns = weight.codes, weight.bits, weight.shape[1]
    if bits == 3:
        bits, codes = 4, _repacked(unpack(codes, 3, weight.block), 4)
    groups = codes.shape[1]
    rows = builder.add("Gather", builder.constant(codes.reshape(len(codes), -1), np.uint8), index)
    fields = []
    for low in range(0, 8, bits):
        field = rows
        if low:
            field = builder.add("BitShift", field, builder.constant(low, np.uint8), direction="RIGHT")
        if bits < 8:
            field = builder.add("BitwiseAnd", field, builder.constant((1 << bits) - 1, np.uint8))
        fields.append(builder.add("Unsqueeze", field, builder.shape(2)))
    joined = fields[0] if len(fields) == 1 else builder.add("Concat", *fields, axis=2)
    levels = builder.add("Cast", joined, to=TensorProto.FLOAT)
    levels = builder.add("Reshape", levels, builder.shape(-1, groups, weight.block))
    _, scales, zeros = _expanded(weight)
    lows = builder.constant(zeros[..., None] - 0.5 * weight.half_step)
    levels = builder.add("Sub", levels, builder.add("Gather", lows, index))
    scaled = builder.add("Mul", levels, builder.add("Gather", builder.half(scales[..., None]), index))
    flat = builder.add("Reshape", scaled, builder.shape(-1, groups * weight.block))
    if groups * weight.block == columns:
        return flat
    return builder.add("Slice", flat, builder.shape(0), builder.shape(columns), builder.shape(1))
