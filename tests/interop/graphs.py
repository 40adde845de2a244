"""Small QONNX files, built with onnx.helper."""

import math
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

DOMAIN = "qonnx.custom_op.general"


class GraphBuilder:
    """Nodes one after another; every method returns the name of its result."""

    def __init__(self, *shape: int) -> None:
        self.nodes: list[Any] = []
        self.constants: dict[str, np.ndarray] = {}
        self.shape = shape

    def constant(self, value: Any, dtype: Any = np.float32) -> str:
        name = f"c{len(self.constants)}"
        self.constants[name] = np.asarray(value, dtype)
        return name

    def node(self, op: str, *inputs: str, domain: str = "", **attributes: Any) -> str:
        output = f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, list(inputs), [output], f"{op}_{len(self.nodes)}", domain=domain,
                                           **attributes))  # fmt: skip
        return output

    def quant(self, x: str, bits: float, scale: Any = 1.0, *, signed: int = 1, narrow: int = 1, zero: float = 0.0,
              mode: str = "ROUND") -> str:  # fmt: skip
        operands = self.constant(scale), self.constant(zero), self.constant(bits)
        return self.node("Quant", x, *operands, domain=DOMAIN, signed=signed, narrow=narrow, rounding_mode=mode)

    def bipolar(self, x: str, scale: Any = 1.0) -> str:
        return self.node("BipolarQuant", x, self.constant(scale), domain=DOMAIN)

    def norm(self, x: str, rng: np.random.Generator, channels: int, spread: float = 1.0) -> str:
        values = (rng.uniform(0.5, 2, channels) * rng.choice([-1, 1], channels), rng.normal(0, 0.5, channels),
                  rng.normal(0, spread, channels), rng.uniform(0.5, 2, channels) * spread**2)  # fmt: skip
        return self.node("BatchNormalization", x, *(self.constant(value) for value in values), epsilon=1e-5)

    def model(self, *outputs: str) -> Any:
        graph = helper.make_graph(
            self.nodes,
            "graph",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, list(self.shape))],
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
            [numpy_helper.from_array(value, name) for name, value in self.constants.items()],
        )
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])

    def bytes(self, *outputs: str) -> bytes:
        return bytes(self.model(*outputs).SerializeToString())


def mlp(seed: int = 0, *, bits: float = 2, weight_bits: float = 2, inputs: int = 24, scale: float = 1.0) -> bytes:
    """Bytes → 2x - 1 → Quant → MatMul → BatchNormalization → Quant → MatMul → affine."""
    rng = np.random.default_rng(seed)
    b = GraphBuilder(1, inputs)
    doubled = b.node("Sub", b.node("Mul", "x", b.constant(2)), b.constant(1))
    x = b.quant(doubled, bits, 1.0 if bits == 2 else 1 / 64)
    w = b.quant(b.constant(rng.normal(0, 1.2 * scale * 2 ** (weight_bits - 2), (12, inputs))), weight_bits, scale)
    x = b.node("MatMul", x, b.node("Transpose", w, perm=[1, 0]))
    x = b.quant(b.norm(x, rng, 12, 3.0 * scale * 2 ** (weight_bits - 2)), bits, 1.0 if bits == 2 else 1 / 32)
    w = b.quant(b.constant(rng.normal(0, 1, (12, 5))), 2)
    x = b.node("MatMul", x, w)
    return b.bytes(b.node("Add", b.node("Mul", x, b.constant(0.37)), b.constant([0.25])))


def conv(seed: int = 0, *, pool: str = "MaxPool", per_channel: bool = False) -> bytes:
    """Conv → BatchNormalization → Relu → Quant → pool → depthwise Conv → Quant → Flatten → Gemm."""
    rng = np.random.default_rng(seed)
    b = GraphBuilder(1, 3, 9, 8)
    x = b.quant("x", 4, 1 / 7, narrow=1)
    scale = rng.uniform(0.1, 1, (6, 1, 1, 1)) if per_channel else 0.5
    w = b.quant(b.constant(rng.normal(0, 0.6, (6, 3, 3, 3))), 2, scale)
    x = b.node("Conv", x, w, b.constant(rng.normal(0, 1, 6)), kernel_shape=[3, 3], pads=[1, 0, 1, 2], strides=[1, 1])
    x = b.quant(b.node("Relu", b.norm(x, rng, 6)), 4, 0.25, signed=0, narrow=0)
    x = b.node(pool, x, **({} if pool == "GlobalAveragePool" else {"kernel_shape": [2, 2], "strides": [2, 2]}))
    if pool != "MaxPool":
        x = b.quant(x, 5, math.pi / 40)
    if pool != "GlobalAveragePool":
        w = b.bipolar(b.constant(rng.normal(0, 1, (6, 1, 3, 3))), 0.5)
        x = b.quant(b.node("Conv", x, w, group=6, strides=[1, 2], auto_pad="SAME_UPPER"), 5, 0.3)
    x = b.node("Flatten", x)
    size = 6 if pool == "GlobalAveragePool" else 6 * 4 * 2
    w = b.quant(b.constant(rng.normal(0, 1, (10, size))), 3, 0.25)
    return b.bytes(b.quant(b.node("Gemm", x, w, b.constant(rng.normal(0, 1, 10)), transB=1), 7, 0.41))


def load(data: bytes) -> Any:
    return onnx.load_model_from_string(data)
