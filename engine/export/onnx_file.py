"""The network as one ONNX file: normalised pixels in, logits out, any batch size."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import onnx
import torch
from torch import nn

from engine.errors import ExportError

OPSET = 18
INPUT = "images"
_LARGEST = 2**31 - 2**20  # one protobuf message holds 2 GiB at most


def write_onnx(
    model: nn.Module,
    size: tuple[int, int],
    path: Path,
    about: Mapping[str, Any],
    outputs: Sequence[str] = ("logits",),
) -> None:
    """Export ``model`` (evaluation mode, fp32, on the CPU) to ``path``, weights inside.

    The input is float32 (N, 3, H, W) of ``size``, height and width; ``outputs`` are the names of the raw
    outputs. ``about`` is stored as JSON strings in the file's metadata. Raises ``ExportError`` when the
    network cannot be exported.
    """
    if sum(tensor.numel() * tensor.element_size() for tensor in model.state_dict().values()) > _LARGEST:
        raise ExportError(
            "This model is larger than the 2 GB that one ONNX file can hold.", "Choose a smaller backbone."
        )
    # Two images, so that the exporter does not take a batch of one for a constant.
    example = torch.zeros(2, 3, *size)
    try:
        program = torch.onnx.export(
            model,
            (example,),
            dynamo=True,
            dynamic_shapes=({0: torch.export.Dim("batch", min=1)},),
            opset_version=OPSET,
            input_names=[INPUT],
            output_names=list(outputs),
            verbose=False,
        )
    except torch.onnx.OnnxExporterError as error:
        reason = str(error).strip().splitlines()[0]
        raise ExportError(
            f"This network cannot be exported to ONNX: {reason}", "Choose another backbone."
        ) from error
    assert program is not None
    program.save(str(path), external_data=False)
    _annotate(path, about)


def _annotate(path: Path, about: Mapping[str, Any]) -> None:
    model = onnx.load(str(path))
    # The exporter leaves traces of its own source files, with their paths on this machine.
    for part in (model.graph, *model.graph.node, *model.graph.value_info, *model.functions):
        part.ClearField("metadata_props")
        part.ClearField("doc_string")
    values = {key: json.dumps(value, ensure_ascii=False) for key, value in about.items()}
    onnx.helper.set_model_props(model, values)
    onnx.checker.check_model(model)
    onnx.save(model, str(path))
