"""An exported bundle, opened with our own code: its predict.py is never run.

A bundle may come from anywhere, so sizes are bounded, nothing is unpacked to disk, and an ONNX file
that points to data outside itself is refused before any runtime sees it.
"""

from __future__ import annotations

import json
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from onnxruntime.capi import onnxruntime_pybind11_state as runtime

from engine.datasets.framing import Frame
from engine.datasets.preprocessing import Preprocessing
from engine.errors import InputError, WeightsError
from engine.export.predict_template import Predictor
from engine.tasks.registry import get_task, read_answers

JSON_BYTES = 16 * 2**20
MODEL_BYTES = 2 * 2**30
INPUT_PIXELS = 4096 * 4096
# What damaged, encrypted or foreign files raise while they are read and parsed.
_NO_BUNDLE = (
    OSError,
    zipfile.BadZipFile,
    zlib.error,
    RuntimeError,
    ValueError,
    TypeError,
    KeyError,
    AttributeError,
)
_RUNTIME_ERRORS = (
    ValueError,
    TypeError,
    runtime.Fail,
    runtime.InvalidArgument,
    runtime.InvalidGraph,
    runtime.InvalidProtobuf,
    runtime.NoSuchFile,
    runtime.NotImplemented,
    runtime.RuntimeException,
)


def open_bundle(path: Path) -> Predictor:
    """Open a bundle's ZIP or its folder.

    Raises ``InputError`` when it is not one, ``WeightsError`` when its network cannot be trusted or run.
    """
    try:
        parts = _read_zip(path) if path.is_file() else _read_folder(path)
        names = [str(entry["name"]) for entry in _json(parts["classes.json"])]
        if not names:
            raise ValueError("no class")
        record = Preprocessing.from_dict(_json(parts["preprocessing.json"]))
        settings = dict(_json(parts["config.json"]).get("network", {}))
    except _NO_BUNDLE as error:
        raise InputError(
            f"“{path.name}” is not a bundle that Lensmith exported.", "Choose the ZIP that Export gave you."
        ) from error
    if record.height * record.width > INPUT_PIXELS:
        raise InputError(f"“{path.name}” asks for images of {record.width} x {record.height} px.")
    refuse_external_data(parts["model.onnx"])
    return _predictor(parts["model.onnx"], names, record, settings)


def _predictor(
    content: bytes, names: list[str], record: Preprocessing, settings: Mapping[str, Any]
) -> Predictor:
    task, classes = _about(content)
    if classes != names:
        raise _other_outputs()
    read = read_answers(get_task(task))
    try:
        predictor = Predictor(content, names, record, settings, read)
        nothing = np.zeros((2, record.height, record.width, 3), np.uint8)
        answered = predictor.answer(nothing, [Frame.of(record.width, record.height, record)] * 2, 0)
    except _RUNTIME_ERRORS as error:
        raise WeightsError("The bundle's network cannot be loaded or run.", "Export it again.") from error
    except (LookupError, ArithmeticError) as error:
        raise _other_outputs() from error
    if len(answered) != 2:
        raise _other_outputs()
    return predictor


def _other_outputs() -> WeightsError:
    return WeightsError("The bundle's network has other outputs than classes.", "Export it again.")


def _about(content: bytes) -> tuple[str, list[str]]:
    """Return the task and the classes that the network was trained for, as its file says."""
    properties = {entry.key: entry.value for entry in onnx.load_model_from_string(content).metadata_props}
    try:
        return str(json.loads(properties["task"])), [str(name) for name in json.loads(properties["classes"])]
    except (KeyError, ValueError, TypeError) as error:
        raise WeightsError("The bundle's network does not say what it is for.", "Export it again.") from error


def _read_zip(path: Path) -> Mapping[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: _bounded(archive.open(name), limit) for name, limit in _limits()}


def _read_folder(path: Path) -> Mapping[str, bytes]:
    return {name: _bounded((path / name).open("rb"), limit) for name, limit in _limits()}


def _limits() -> Iterator[tuple[str, int]]:
    yield "classes.json", JSON_BYTES
    yield "preprocessing.json", JSON_BYTES
    yield "config.json", JSON_BYTES
    yield "model.onnx", MODEL_BYTES


def _bounded(stream: Any, limit: int) -> bytes:
    handle: BinaryIO
    with stream as handle:
        content = handle.read(limit + 1)
    if len(content) > limit:
        raise ValueError(f"more than {limit} bytes")
    return content


def _json(content: bytes) -> Any:
    return json.loads(content.decode("utf-8-sig"))


def refuse_external_data(content: bytes) -> None:
    """Raise ``WeightsError`` when an ONNX model names files outside itself, or is no model."""
    try:
        model = onnx.load_model_from_string(content)
    except DecodeError as error:
        raise WeightsError("The bundle's model.onnx is damaged.", "Export it again.") from error
    tensors = [*_graph_tensors(model.graph), *(t for f in model.functions for t in _node_tensors(f.node))]
    if any(t.external_data or t.data_location == onnx.TensorProto.EXTERNAL for t in tensors):
        raise WeightsError(
            "The bundle's model.onnx refers to files outside itself.", "Only whole ONNX files are opened."
        )


def _graph_tensors(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    yield from _node_tensors(graph.node)


def _node_tensors(nodes: Any) -> Iterator[onnx.TensorProto]:
    for node in nodes:
        for attribute in node.attribute:
            yield attribute.t
            yield from attribute.tensors
            for sparse in (attribute.sparse_tensor, *attribute.sparse_tensors):
                yield from (sparse.values, sparse.indices)
            yield from _graph_tensors(attribute.g)
            for graph in attribute.graphs:
                yield from _graph_tensors(graph)
