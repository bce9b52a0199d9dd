"""All that changes while a run learns, and how it becomes a checkpoint and comes back."""

from __future__ import annotations

import copy
import io
import pickle
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import nn

from engine.contracts.jobs import Checkpoint
from engine.errors import RunError
from engine.training.ema import Ema


@dataclass
class Progress:
    """The numbers of a run beside its tensors; times in s, ``best`` on the monitored metric."""

    step: int = 0
    seconds: float = 0.0
    loss_sum: float = 0.0
    loss_steps: int = 0
    epoch_seconds: float = 0.0
    best: float | None = None
    best_epoch: int = 0
    epochs_since_best: int = 0
    stopped: str = ""
    history: list[dict[str, Any]] = field(default_factory=list)


class TrainingState:
    """Model, average, optimizer, the best weights so far, and the numbers beside them."""

    def __init__(self, model: nn.Module, optimizer: torch.optim.Optimizer, ema_decay: float) -> None:
        self.model = model
        self.optimizer = optimizer
        self.ema = Ema(model, ema_decay)
        self.best: dict[str, torch.Tensor] | None = None
        self.progress = Progress()

    def keep_best(self) -> None:
        """Keep a copy of the evaluated weights (the average's, where there is one)."""
        self.best = copy.deepcopy(self.ema.model.state_dict())

    def restore_best(self) -> nn.Module:
        """Return the evaluated model with its best weights."""
        if self.best is not None:
            self.ema.model.load_state_dict(self.best)
        return self.ema.model.eval()

    def to_bytes(self, frozen: dict[str, Any]) -> bytes:
        """Write everything, with ``frozen`` (plain values that never change in this run)."""
        content = {
            "frozen": frozen,
            "progress": asdict(self.progress),
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "ema": self.ema.model.state_dict() if self.ema.decay > 0 else None,
            "best": self.best,
        }
        buffer = io.BytesIO()
        torch.save(content, buffer)
        return buffer.getvalue()

    def load(self, content: dict[str, Any]) -> None:
        """Take everything back from what ``read_checkpoint`` returned."""
        self.model.load_state_dict(content["model"])
        self.optimizer.load_state_dict(content["optimizer"])
        if content["ema"] is not None:
            self.ema.model.load_state_dict(content["ema"])
        self.best = content["best"]
        self.progress = Progress(**content["progress"])


def read_checkpoint(checkpoint: Checkpoint) -> dict[str, Any]:
    """Read a checkpoint file; raises ``RunError`` when it is not one of ours."""
    try:
        content = torch.load(checkpoint.path, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, OSError, pickle.UnpicklingError) as error:
        raise RunError(f"The checkpoint of step {checkpoint.step} cannot be read.") from error
    assert isinstance(content, dict)
    return content
