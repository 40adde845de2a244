"""Networks that were trained elsewhere: QONNX files to integer networks.

    from sterna.interop import import_onnx
    network, report = import_onnx("TFC_2W2A.onnx")
    report.undecided            # accumulator values that a runtime's float rounding could decide otherwise

What can be imported: chains (branches too, where they do not join) of matrix products and convolutions with quantised
weights, whatever elementwise functions by channel lie between them as long as they end in a quantiser, and pools; see
``SUPPORTED``. Refused, by layer: quantisers that meet exact halves, which QONNX rounds to the even neighbour and no
multiplier, bias and shift does, such as powers of two for all scales without a BatchNorm between; and inputs of
unsigned 8 bits, which need nine with a sign.

QONNX: Pappalardo 2022, "QONNX: Representing Arbitrary-Precision Quantized Neural Networks".
"""

import os
from pathlib import Path

from sterna.interop.graph import Graph, Node
from sterna.interop.importer import Feed, ImportReport, LayerReport, OutputReport, import_graph
from sterna.interop.onnx_file import graph_from_bytes, read_onnx
from sterna.interop.plan import SUPPORTED, Plan, plan
from sterna.spec.network import IntegerNetwork

__all__ = [
    "SUPPORTED",
    "Feed",
    "Graph",
    "ImportReport",
    "LayerReport",
    "Node",
    "OutputReport",
    "Plan",
    "graph_from_bytes",
    "import_graph",
    "import_onnx",
    "plan",
    "read_onnx",
]


def import_onnx(
    path: str | os.PathLike[str], *, feed: Feed | None = None, images: int = 64, seed: int = 0
) -> tuple[IntegerNetwork, ImportReport]:
    """The integer network of a QONNX file, and the report of its import; see :func:`import_graph`.

    Raises :class:`ModelError` for a file that is no such network, :class:`ToolError` without the package ``onnx``.
    """
    file = Path(path)
    return import_graph(
        read_onnx(file), name=file.stem or "network", feed=feed, images=images, seed=seed,
        metadata={"imported_from": file.name},
    )  # fmt: skip
