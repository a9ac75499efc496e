"""Attributes of ONNX nodes: read strictly, with ONNX's defaults, and turned into windows."""

from typing import Any

import onnx

from heldout.kernels import SCORER
from heldout.kernels.errors import BadGraph, Unsupported
from heldout.kernels.operators import MOST_CELLS
from heldout.kernels.windows import Shape, Window

WINDOW: dict[str, Any] = {"auto_pad": b"NOTSET", "dilations": (1, 1), "pads": (0, 0, 0, 0), "strides": (1, 1)}


def called(node: onnx.NodeProto) -> str:
    return f"{node.op_type} ({node.name or (node.output[0] if node.output else 'unnamed')})"


def read_attributes(node: onnx.NodeProto, **defaults: Any) -> dict[str, Any]:
    """The node's attributes over their defaults. Raises Unsupported for one that has no default here."""
    values = {attribute.name: onnx.helper.get_attribute_value(attribute) for attribute in node.attribute}
    for name in sorted(values.keys() - defaults.keys()):
        raise Unsupported(f"attribute {name} of {called(node)} is not defined in {SCORER}")
    return {**defaults, **values}


def pool_window(node: onnx.NodeProto, attributes: dict[str, Any], size: Shape) -> Window:
    kernel = list(attributes["kernel_shape"] or ())
    if attributes["ceil_mode"] or attributes.get("storage_order") or len(size) != 4:
        raise Unsupported(f"{called(node)} must run over one axis or two, with ceil_mode 0")
    shape = window(node, kernel, attributes, size)
    if shape.cells > MOST_CELLS:
        raise Unsupported(f"{called(node)} has a window of more than {MOST_CELLS} cells")
    if any(max(shape.begin[axis], shape.end[axis]) >= shape.kernel[axis] for axis in (0, 1)):
        raise BadGraph(f"{called(node)} has paddings as large as its window")
    if shape.dilations != (1, 1) and shape.padded:
        raise Unsupported(f"{called(node)} has both dilations and paddings, so that a window may see nothing")
    return shape


def window(node: onnx.NodeProto, kernel: list[int], attributes: dict[str, Any], size: Shape) -> Window:
    strides, dilations, pads = (list(attributes[name]) for name in ("strides", "dilations", "pads"))
    if [len(kernel), len(strides), len(dilations), len(pads)] != [2, 2, 2, 4]:
        raise Unsupported(f"{called(node)} must run over height and width")
    if min(*kernel, *strides, *dilations) < 1 or min(pads) < 0 or max(*kernel, *strides, *dilations, *pads) > 1 << 16:
        raise BadGraph(f"{called(node)} has sizes that make no window")
    mode = attributes["auto_pad"].decode()
    if mode in ("SAME_UPPER", "SAME_LOWER"):
        pads = _same_pads(kernel, strides, dilations, size[2:], upper=mode == "SAME_UPPER")
    elif mode == "VALID":
        pads = [0, 0, 0, 0]
    elif mode != "NOTSET":
        raise Unsupported(f"{called(node)} has auto_pad {mode}")
    return Window(
        (kernel[0], kernel[1]),
        (strides[0], strides[1]),
        (dilations[0], dilations[1]),
        (pads[0], pads[1]),
        (pads[2], pads[3]),
    )


def _same_pads(kernel: list[int], strides: list[int], dilations: list[int], size: Shape, *, upper: bool) -> list[int]:
    """Paddings that give ceil(size / stride) outputs; an odd one goes to the end if `upper`, else to the beginning."""
    begin, end = [], []
    for axis in (0, 1):
        reach = dilations[axis] * (kernel[axis] - 1) + 1
        padding = max(0, (-(-size[axis] // strides[axis]) - 1) * strides[axis] + reach - size[axis])
        begin.append(padding // 2 if upper else padding - padding // 2)
        end.append(padding - begin[axis])
    return begin + end
