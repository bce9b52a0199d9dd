"""A trained model as files, and back: what export and prediction load."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save
from sqlalchemy.orm import Session

from engine.contracts.datasets import ClassInfo
from engine.datasets.framing import Frame
from engine.datasets.preprocessing import Preprocessing, normalise
from engine.errors import NotFoundError, RunError
from engine.models.devices import exact_fp32
from engine.models.networks import Network
from engine.settings import Settings
from engine.storage.blobs import write_atomic
from engine.storage.database import Database
from engine.storage.tables import JobRow, RunRow
from engine.tasks.base import Learner, Said
from engine.tasks.registry import get_task, load_dotted, read_answers

WEIGHTS = "model.safetensors"
CONFIG = "config.json"
PREPROCESSING = "preprocessing.json"
CLASSES = "classes.json"
BATCH = 32


@dataclass(frozen=True)
class Architecture:
    """What a network is built from again: timm's name, the model arguments, what its task adds."""

    backbone: str
    model_args: Mapping[str, Any]
    network: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class TrainedModel:
    """A trained model in evaluation mode, with all that prediction needs."""

    model: torch.nn.Module
    preprocessing: Preprocessing
    classes: tuple[ClassInfo, ...]
    task: str
    folder: Path
    learner: Learner
    device: torch.device
    settings: Mapping[str, Any] = field(default_factory=dict)
    """What the task's network needs beside name and arguments; also how its outputs are read."""

    @torch.inference_mode()
    @exact_fp32()
    def outputs(self, pixels: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
        """Return the network's raw outputs for prepared uint8 (N, H, W, 3) pixels, in fp32."""
        images = normalise(np.asarray(pixels), self.preprocessing)
        found = self.model(torch.from_numpy(images).to(self.device))
        raw = found if isinstance(found, tuple) else (found,)
        return [value.float().cpu().numpy() for value in raw]

    def answer(self, pixels: NDArray[np.uint8], frames: Sequence[Frame], top: int) -> list[Said]:
        """Answer prepared pixels as the task does; ``frames`` say how each picture lies in them."""
        names = [info.name for info in self.classes]
        read = read_answers(get_task(self.task))
        return list(read(self.outputs(pixels), frames, names, self.settings, top))

    @torch.inference_mode()
    @exact_fp32()
    def predict(self, pixels: NDArray[np.uint8]) -> list[Any]:
        """Return the task's prediction for each of the prepared uint8 (N, H, W, 3) pixels, in fp32.

        Places are in px of the input.
        """
        found: list[Any] = []
        for start in range(0, len(pixels), BATCH):
            images = normalise(np.asarray(pixels[start : start + BATCH]), self.preprocessing)
            found.extend(self.learner.predict(torch.from_numpy(images).to(self.device), self.model))
        return found


def save_model(
    folder: Path,
    model: torch.nn.Module,
    architecture: Architecture,
    record: Preprocessing,
    classes: Sequence[ClassInfo],
) -> None:
    """Write model.safetensors, config.json (timm's ``local-dir:`` loads both), and what goes with them."""
    tensors = {name: value.detach().cpu().contiguous() for name, value in model.state_dict().items()}
    write_atomic(folder / WEIGHTS, save(tensors))
    config = _timm_config(model, architecture, record, [info.name for info in classes])
    for name, content in (
        (CONFIG, config),
        (PREPROCESSING, record.to_dict()),
        (CLASSES, [info.model_dump() for info in classes]),
    ):
        write_atomic(folder / name, json.dumps(content, indent=1, ensure_ascii=False).encode())


def _timm_config(
    model: torch.nn.Module,
    architecture: Architecture,
    record: Preprocessing,
    names: list[str],
) -> dict[str, Any]:
    published = getattr(model, "pretrained_cfg", {})
    return {
        "architecture": architecture.backbone,
        "num_classes": len(names),
        "num_features": int(getattr(model, "num_features", 0)),
        "label_names": names,
        "model_args": dict(architecture.model_args),
        "network": dict(architecture.network),
        "pretrained_cfg": {
            "tag": "lensmith",
            "custom_load": False,
            "input_size": [3, record.height, record.width],
            "fixed_input_size": bool(published.get("fixed_input_size", False)),
            "interpolation": record.interpolation,
            "crop_pct": record.crop_pct,
            "crop_mode": record.resize,
            "mean": list(record.mean),
            "std": list(record.std),
            "num_classes": len(names),
            "pool_size": published.get("pool_size"),
            "first_conv": published.get("first_conv"),
            "classifier": published.get("classifier"),
        },
    }


def reload(trained: TrainedModel, folder: Path) -> torch.nn.Module:
    """Build the network of ``trained`` anew from the files of ``folder``, as someone else would."""
    network: Network = load_dotted(get_task(trained.task).network)
    return network.reload(folder).eval().requires_grad_(False)


def load_trained(settings: Settings, db: Database, run_id: str, device: str = "cpu") -> TrainedModel:
    """Load the model of a finished run; raises ``NotFoundError`` or ``RunError`` when there is none."""
    with db.read() as session:
        task, relative = _find(session, run_id)
    return load_folder(settings.home / relative, task, device)


def _find(session: Session, run_id: str) -> tuple[str, str]:
    run, job = session.get(RunRow, run_id), session.get(JobRow, run_id)
    if run is None or job is None:
        raise NotFoundError("There is no such run.", "It may have been deleted.")
    if not job.result or "model" not in job.result:
        raise RunError("This run has no model yet.", "Wait until it has finished.")
    return run.task, str(job.result["model"])


def load_folder(folder: Path, task: str, device: str = "cpu") -> TrainedModel:
    """Load what ``save_model`` wrote; raises ``RunError`` when files are missing or do not fit."""
    try:
        config, record, classes = (
            json.loads((folder / name).read_text(encoding="utf-8"))
            for name in (CONFIG, PREPROCESSING, CLASSES)
        )
        preprocessing = Preprocessing.from_dict(record)
        infos = tuple(ClassInfo(**item) for item in classes)
        network: Network = load_dotted(get_task(task).network)
        facts = config.get("network", {})
        model = network.restore(config["architecture"], config["model_args"], facts, len(infos))
        model.load_state_dict(load_file(folder / WEIGHTS))
    except (OSError, KeyError, ValueError, RuntimeError) as error:
        raise RunError("The files of this model are missing or damaged.", "Train again.") from error
    spec = get_task(task)
    model = model.eval().requires_grad_(False).to(device)
    names = [info.name for info in infos]
    learner = load_dotted(spec.learner)(model, spec.config(), names, [], preprocessing)
    return TrainedModel(model, preprocessing, infos, task, folder, learner, torch.device(device), facts)
