"""The fake area of the facade about starting weights, and what it lists."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from engine.contracts.files import ServedFile
from engine.contracts.jobs import JobInfo, JobState, Problem
from engine.contracts.models import ModelInfo, WeightsInfo, WeightsPlan
from engine.contracts.weights import HubAnswer, WeightsFit, WeightsItem
from engine.errors import InputError, NotFoundError, WeightsError
from tests.ui.fake_world import NOW, picture


def items(title: str = "Line camera, spring") -> tuple[WeightsItem, ...]:
    """Return one set of weights of each source; ``title`` is of the imported ones."""
    fit = WeightsFit(
        architecture="tf_mobilenetv3_large_100",
        library="timm",
        model_args={"pad_type": "same"},
        share=0.98,
        tensors=310,
        fitted=308,
        missing=("conv_head.weight", "conv_head.bias"),
        missing_total=2,
        left_over=("ema.step",),
        left_over_total=1,
        classes=12,
        alternatives=("mobilenetv3_large_100",),
        sentence="98 % of tf_mobilenetv3_large_100 is filled; its classifier of 12 classes is left out.",
    )
    return (
        WeightsItem(
            id="lensmith_small", source="bundled", title="lensmith_small", backbone="mobilenetv3_small_050",
            start="bundled", bytes=3_100_000, licence="Apache-2.0", removable=False,
        ),
        WeightsItem(
            id="line-camera", source="imported", title=title, backbone="tf_mobilenetv3_large_100",
            start="weights:line-camera", bytes=21_900_000, licence="MIT", origin="camera.pth",
            sha256="ab" * 32, model_args={"pad_type": "same"}, mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25),
            input_size=224, added_at=NOW, used_by=("run1",), fit=fit,
        ),
        WeightsItem(
            id="timm/mobilenetv2_100.ra_in1k", source="cache", title="timm/mobilenetv2_100.ra_in1k",
            backbone="mobilenetv2_100", start="auto", bytes=14_200_000, licence="apache-2.0",
            used_by=("run3", "run2", "run1", "gone"),
        ),
    )  # fmt: skip


def catalog(query: str) -> tuple[ModelInfo, ...]:
    """Return the models of a small catalog whose name contains ``query``."""
    known = (
        ("mobilenetv2_100", "hub", True), ("resnet50", "hub", False), ("mixer_b16_224", "none", False),
    )  # fmt: skip
    return tuple(
        ModelInfo(
            name=name, family=name, parameters=None, input_size=224,
            weights=WeightsInfo(source=source, licence="apache-2.0", bytes=102_500_000, cached=cached),
        )
        for name, source, cached in known if query in name
    )  # fmt: skip


def check_backbone(name: str) -> None:
    """Refuse the one name that the catalog of this fake does not have."""
    if name == "resnet5O":
        raise InputError(f"“{name}” is not in the catalog.", "Did you mean resnet50?")


def plan_of(weights: str) -> WeightsPlan:
    """Say what a run would start from that names its weights."""
    if weights == "random":
        return WeightsPlan(source="random", name="random", sentence="Starts from random numbers.")
    if weights == "bundled":
        return WeightsPlan(source="bundled", name="x", sentence="Weights that come with Lensmith, 3 MB.")
    if weights.startswith("weights:"):
        return WeightsPlan(source="file", name=weights, sentence="Your weights “Line camera”, 22 MB.")
    if weights.startswith("run:"):
        return WeightsPlan(source="run", name=weights, sentence="The weights of an earlier run of yours.")
    raise WeightsError(f"There is no weights file “{weights}”.", "Check the path.")


class FakeWeights:
    """Stands in for ``Lensmith.weights``; its jobs are those that a test puts into ``jobs``."""

    def __init__(self, world: Any) -> None:
        self.world = world
        self.found = () if world.kind == "empty" else items()
        self.jobs: dict[str, JobInfo] = {}
        self.answer = HubAnswer(offline=False, asking=False)

    def list(self) -> tuple[WeightsItem, ...]:
        return self.found

    def get(self, item: str) -> WeightsItem:
        for found in self.found:
            if item in (found.id, found.start):
                return found
        raise NotFoundError(f"There are no weights “{item}” here.", "`lensmith weights list` shows all.")

    def start_fetch(self, backbone: str, key: str | None = None) -> JobInfo:
        self.world.note("start_fetch", backbone)
        return self._job("fetch-weights", JobState.RUNNING, message="timm/resnet50: 41.0 of 102.5 MB")

    def start_import(
        self,
        source: Path | None = None,
        *,
        upload: str | None = None,
        key: str | None = None,
        any_folder: bool = False,
        **choices: Any,
    ) -> JobInfo:
        self.world.note("start_import", source, upload, choices)
        return self._job("import-weights", JobState.RUNNING, message="Comparing with the catalog")

    def look(self, backbone: str) -> None:
        self.world.note("look", backbone)

    def hub(self) -> HubAnswer:
        return self.answer

    def remove(self, item: str) -> int:
        self.world.note("remove", item)
        freed = self.get(item).bytes
        self.found = tuple(found for found in self.found if found.id != item)
        return freed

    def file(self, item: str) -> ServedFile:
        return ServedFile(path=picture(0, 240), media_type="application/zip", name=f"{item}.zip", etag="e")

    def _job(self, kind: str, state: JobState, message: str) -> JobInfo:
        number = f"weights{len(self.jobs)}"
        self.jobs[number] = JobInfo(
            id=number, kind=kind, project=None, state=state, progress=0.4, message=message, created_at=NOW
        )
        return self.jobs[number]


def end(
    facade: Any, job: str, result: dict[str, Any] | None = None, problem: Problem | None = None
) -> None:
    """Let a job about weights succeed with ``result`` or fail with ``problem``."""
    jobs: dict[str, JobInfo] = facade.weights.jobs
    state = JobState.FAILED if problem else JobState.SUCCEEDED
    jobs[job] = jobs[job].model_copy(update={"state": state, "result": result, "problem": problem})
