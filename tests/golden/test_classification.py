"""Twenty seeded steps of classification: the losses that this code has always had.

A change here is a change of what training computes. When it is meant, write the file again:
``python -m tests.golden.test_classification``.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from engine.training.loop import train
from tests.unit.test_loop import Silent, plan, setup

TOLERANCE = {"sgd": 1e-3, "adamw": 0.05}
"""Relative. Adam's first steps have the same size however small a gradient is, so with it the last bits
of a convolution, which differ between processors, show."""

FILE = Path(__file__).with_name("classification.json")


def losses() -> dict[str, list[float]]:
    before = torch.get_num_threads()
    # Sums over another number of threads round differently.
    torch.set_num_threads(1)
    found = {optimizer: _losses(optimizer) for optimizer in ("adamw", "sgd")}
    torch.set_num_threads(before)
    return found


def _losses(optimizer: str) -> list[float]:
    made, state = setup(optimizer=optimizer, color=0.3, shear=5.0)
    observer = Silent()
    for group in state.optimizer.param_groups:
        group["peak"] = 2e-4
    longer = replace(made, plan=plan(epochs=5, steps_per_epoch=4, batch_size=3))
    train(longer, state, observer)
    return [*observer.losses, *(entry["val_loss"] for entry in observer.entries)]


def test_twenty_steps_have_the_losses_on_record() -> None:
    expected = json.loads(FILE.read_text())
    found = losses()
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        assert len(values) == 25
        # Processors differ in the last bits of a convolution, and steps amplify them.
        assert found[name] == pytest.approx(values, rel=TOLERANCE[name])


if __name__ == "__main__":
    FILE.write_text(json.dumps(losses(), indent=1) + "\n")
