"""Measuring a machine: too little memory, devices that compute behind our back."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from engine.errors import RunError
from engine.tasks.base import Batch, StepOutput
from engine.training import tune as tuning
from engine.training.loop import train
from engine.training.tune import Setting, Speed, Subject, tune
from tests.training import make_settings
from tests.unit.test_loop import SIDE, Exploding, Silent, part, setup


class Small(Exploding):
    """A learner on a device that holds ``most`` images at once."""

    def __init__(self, inner: Any, most: int, error: RuntimeError) -> None:
        super().__init__(inner)
        self.most = most
        self.error = error

    def step(self, batch: Batch) -> StepOutput:
        if len(batch.images) > self.most:
            raise self.error
        return self.inner.step(batch)


OUT = (
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
    RuntimeError("MPS backend out of memory (MPS allocated: 9 GB)"),
)


def subject(most: int, error: RuntimeError = OUT[0]) -> Subject:
    learner: Any = Small(setup()[0].learner, most, error)
    return Subject(learner, part().samples, SIDE, torch.device("cpu"), 1000, True, "test_resnet")


def measure(home: Path, found: Subject) -> Speed:
    return tune(make_settings(home), setup(precision="fp32", memory_format="contiguous")[0].config, found, 60)


@pytest.mark.parametrize("error", OUT, ids=("cuda", "mps"))
def test_a_batch_that_does_not_fit_has_no_rate_and_is_not_taken(tmp_path: Path, error: RuntimeError) -> None:
    speed = measure(tmp_path, subject(tuning.CPU_BATCH, error))
    assert speed.setting.batch_size <= tuning.CPU_BATCH
    assert min(rate for _, rate in speed.tried) == 0.0
    assert speed.predict_rate > 0
    assert not list(tmp_path.rglob("tuning/*.json"))  # the memory may be free next time


def test_when_nothing_fits_a_sentence_says_what_to_make_smaller(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="too small for 16 images of 16 px") as caught:
        measure(tmp_path, subject(1))
    assert "batch size (such as 8)" in caught.value.hint


def test_another_error_is_not_taken_for_want_of_memory(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="shapes"):
        measure(tmp_path, subject(1, RuntimeError("shapes cannot be multiplied")))


def test_training_that_runs_out_of_memory_ends_with_advice() -> None:
    made, state = setup()
    learner: Any = Small(made.learner, 2, OUT[0])
    with pytest.raises(RunError, match="too small for 4 images") as caught:
        train(replace(made, learner=learner), state, Silent())
    assert "smaller batch size (such as 2)" in caught.value.hint
    assert caught.value.__cause__ is OUT[0]


@pytest.mark.parametrize("device", ["cuda", "mps"])
def test_a_rate_waits_for_the_gpu(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[str] = []
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device: waited.append("cuda"))
    monkeypatch.setattr(torch.mps, "synchronize", lambda: waited.append("mps"))
    ours = replace(subject(64), device=torch.device(device))
    rate = tuning._rate(ours, Setting("fp32", "contiguous", 2, 1), lambda *_: None)
    assert rate > 0
    assert waited == [device, device]
