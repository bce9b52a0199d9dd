"""The fake areas of the facade about runs and results."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from typing import Any

from engine.contracts.jobs import JobState, Problem
from engine.contracts.models import WeightsPlan
from engine.contracts.results import (
    CurvePanel,
    GridItem,
    HistogramPanel,
    ImageGridPanel,
    ImageResult,
    MatrixPanel,
    MetricValue,
    ProbeResult,
    RunReport,
    ScalarsPanel,
    Series,
    TablePanel,
)
from engine.contracts.runs import (
    LiveRun,
    Observation,
    PresetInfo,
    RunDetail,
    RunSummary,
    TrainOptions,
)
from engine.errors import NotFoundError
from engine.tasks.classification.spec import ClassificationConfig
from tests.ui.fake_weights import check_backbone, plan_of
from tests.ui.fake_world import CONFUSION, TOTAL, run_summary


class FakeRuns:
    """Stands in for ``Lensmith.runs``."""

    def __init__(self, world: Any) -> None:
        self.world = world

    def options(self, project: str, *, weights: str = "auto", backbone: str = "auto") -> TrainOptions:
        check_backbone(backbone)
        if weights != "auto":
            plan_of(weights)  # raises for what is not there

        def preset(
            name: str, title: str, sentence: str, backbone: str, strategy: str, seconds: float
        ) -> PresetInfo:
            return PresetInfo(
                name=name,
                title=title,
                sentence=sentence,
                backbone=backbone,
                strategy=strategy,
                seconds=seconds,
                seconds_measured=name == "quick",
                config={"preset": name},
                recommended=name == "balanced",
                weights=WeightsPlan(
                    source="cache",
                    name=f"{backbone}.ra_in1k",
                    sentence="ImageNet weights, already on this machine.",
                ),
            )

        return TrainOptions(
            presets=(
                preset("quick", "Quick", "a first answer, and the yardstick", "mobilenetv2_100", "probe", 15),
                preset("balanced", "Balanced", "good for most sets", "mobilenetv2_100", "last_stages", 360),
                preset("best", "Best", "overnight; 12 min on a GPU", "convnext_tiny", "full", 11400),
            ),
            recommended="balanced",
            reason="1,768 images is “quite a lot”, and ImageNet features already separate them well "
            "(probe 0.78 against 0.44 from random weights), so opening the last stages pays more than "
            "training the whole network.",
            train_images=1768,
            val_images=328,
            test_images=431,
            queued_before=self.world.queued,
            parameter_schema=ClassificationConfig.model_json_schema(),
            problems=("Each class needs at least two training images; “trash” has one.",)
            if self.world.kind == "blocked"
            else (),
        )

    def start(self, project: str, config: dict[str, Any], key: str | None = None) -> RunSummary:
        self.world.note("start", project, dict(config))
        return run_summary(2, JobState.RUNNING)

    def list(self, project: str | None = None) -> tuple[RunSummary, ...]:
        if self.world.kind == "empty" or project == "p2":
            return ()
        failed = Problem(
            message="The training process ran out of memory.", hint="Choose a smaller image size."
        )
        return (
            run_summary(4, JobState.QUEUED, progress=None, best=None, seconds=None, ahead=1),
            run_summary(2, JobState.RUNNING, message="Epoch 6 of 10"),
            run_summary(1),
            run_summary(3, JobState.FAILED, problem=failed, best=None),
        )

    def get(self, run: str) -> RunDetail:
        found = next((r for r in self.list("p1") if r.id == run), None)
        if found is None:
            raise NotFoundError("This run does not exist (any more).", "Choose another one on Runs.")
        return RunDetail(**found.model_dump(), config={"preset": "balanced"}, plan=None, attempt=1)

    def live(self, run: str) -> LiveRun:
        detail = RunSummary(**self.get(run).model_dump(include=set(RunSummary.model_fields)))
        if detail.state is JobState.QUEUED:
            return LiveRun(
                run=detail,
                epoch=0,
                epochs=0,
                images_per_second=None,
                seconds_done=0,
                seconds_left=None,
                loss=(),
                metric=(),
                metric_title="Right answers (top-1)",
                rate=(),
                observations=(),
                samples=(),
            )
        steps = [float(n) for n in range(0, 300, 5)]
        wave = random.Random(3)
        loss = [0.35 + 1.4 * math.exp(-s / 80) + wave.uniform(-0.03, 0.03) for s in steps]
        ends = [float(n) for n in range(30, 300, 30)]
        validation = [0.42 + 1.3 * math.exp(-s / 75) for s in ends]
        return LiveRun(
            run=detail,
            epoch=6,
            epochs=10,
            images_per_second=68,
            seconds_done=230,
            seconds_left=140,
            loss=(
                Series(name="training", x=tuple(steps), y=tuple(loss)),
                Series(name="validation", x=tuple(ends), y=tuple(validation)),
            ),
            metric=(
                Series(name="validation", x=(1, 2, 3, 4, 5, 6), y=(0.61, 0.74, 0.80, 0.85, 0.861, 0.874)),
            ),
            metric_title="Right answers (top-1)",
            rate=(
                Series(name="learning rate", x=tuple(steps), y=tuple(1e-3 * (1 - s / 400) for s in steps)),
            ),
            observations=(
                Observation(text="Validation still improves: 0.861 → 0.874 in the last epoch.", tone="good"),
                Observation(text="The gap is small (0.04): no sign of overfitting."),
                Observation(
                    text="“trash” has 96 training images, the others 280 or more: its recall lags (0.61).",
                    tone="look",
                ),
            ),
            samples=tuple(
                GridItem(
                    image_id=f"i{n}",
                    caption=f"{name} {score:.2f}",
                    truth=name,
                    predicted=name,
                    score=score,
                    tone="wrong" if n == 5 else "neutral",
                )
                for n, (name, score) in enumerate(
                    zip(self.world.classes, (0.98, 0.81, 0.95, 0.62, 0.44, 0.77), strict=False)
                )
            ),
            probe=MetricValue(name="top1", value=0.777, low=0.74, high=0.81, n=328),
            setup="mobilenetv2, last 3 stages · ImageNet weights · bf16: 2.4 times faster here",
        )

    def stop(self, run: str, keep_best: bool = False) -> RunSummary:
        self.world.note("stop", run, keep_best)
        return self.get(run)

    def resume(self, run: str) -> RunSummary:
        self.world.note("resume", run)
        return self.get(run)

    def log(self, run: str) -> str:
        return "epoch 1  loss 1.62\nepoch 2  loss 1.21\n"


class FakeResults:
    """Stands in for ``Lensmith.results``."""

    def __init__(self, world: Any) -> None:
        self.world = world

    def latest(self, project: str) -> str | None:
        return None if project == "p2" or self.world.kind == "empty" else "run1"

    def report(self, run: str) -> RunReport | None:
        if run != "run1":
            return None
        names = self.world.classes
        recall = tuple(n / 40 for n in range(41))
        top1 = MetricValue(name="top1", value=0.874, low=0.842, high=0.903, n=431)
        error = MetricValue(
            name="balanced_error", value=0.141, low=0.109, high=0.176, n=431, higher_is_better=False
        )
        top5 = MetricValue(name="top5", value=None, reason="There are only four classes.", n=431)
        cells = tuple(
            tuple(
                tuple(f"i{(r * 6 + c * 7 + n) % TOTAL}" for n in range(min(count, 40)))
                for c, count in enumerate(row)
            )
            for r, row in enumerate(CONFUSION)
        )
        panels = (
            ScalarsPanel(
                title="Headline",
                values=(top1, error, top5),
                labels=(
                    "Right answers (top-1)",
                    "Mean error per class (BER)",
                    "Right among the first five (top-5)",
                ),
            ),
            MatrixPanel(
                title="Confusion", row_labels=names, column_labels=names, counts=CONFUSION, images=cells
            ),
            CurvePanel(
                title="Precision and recall, one class against the rest",
                x_label="recall",
                y_label="precision",
                x_range=(0, 1),
                y_range=(0, 1.02),
                series=tuple(
                    Series(
                        name=name,
                        x=recall,
                        y=tuple(1 - 0.1 * (n + 1) * r**3 for r in recall),
                        color=n,
                        note=f"AP {0.97 - 0.03 * n:.2f}",
                    )
                    for n, name in enumerate(names)
                ),
            ),
            CurvePanel(
                title="Calibration",
                help="A model that says 0.8 should be right in 8 of 10 cases.",
                x_label="confidence",
                y_label="share right",
                x_range=(0, 1),
                y_range=(0, 1),
                diagonal=True,
                series=(Series(name="model", x=(0.3, 0.5, 0.7, 0.9), y=(0.35, 0.44, 0.66, 0.93)),),
            ),
            TablePanel(
                title="Per class",
                columns=("class", "precision", "recall", "F1", "images"),
                units=("", "share", "share", "share", "count"),
                rows=tuple(
                    (name, 0.9 - n / 50, 0.88 - n / 30, 0.89 - n / 40, 80 - n) for n, name in enumerate(names)
                ),
                images=tuple(tuple(f"i{n + 6 * k}" for k in range(9)) for n in range(len(names))),
            ),
            HistogramPanel(
                title="Confidence",
                x_label="score of the answer",
                edges=(0, 0.2, 0.4, 0.6, 0.8, 1),
                counts=((0, 9, 30, 80, 258), (2, 11, 18, 14, 9)),
                names=("right", "wrong"),
                images=(tuple(("i1", "i2") for _ in range(5)), tuple(("i3", "i4") for _ in range(5))),
            ),
            ImageGridPanel(
                title="Most confident errors",
                items=tuple(
                    GridItem(
                        image_id=f"i{n}",
                        caption=f"{names[(n + 2) % 6 % len(names)]} 0.9{9 - n}",
                        truth=names[n % len(names)],
                        tone="wrong",
                    )
                    for n in range(8)
                ),
            ),
        )
        return RunReport(
            run=run,
            project="p1",
            task="classification",
            state="succeeded",
            seconds=372,
            images_per_second=68,
            strategy="last_stages",
            backbone="mobilenetv2_100",
            weights=run_summary(1).weights,
            metrics={"top1": top1, "balanced_error": error, "top5": top5},
            probe=ProbeResult(metric="top1", value=0.777, low=0.74, high=0.81, seconds=4),
            gain=MetricValue(name="gain", value=9.7, low=6.1, high=13.4, n=431, unit="points"),
            panels=panels,
            notes=("Measured on 431 test images that the training never saw.",),
        )

    def scores(self, run: str, image_ids: Sequence[str]) -> dict[str, ImageResult]:
        return {
            i: ImageResult(image_id=i, truth=1, predicted=4, scores=(0.01, 0.05, 0.01, 0.01, 0.91, 0.01))
            for i in image_ids
        }

    def classes(self, run: str) -> tuple[str, ...]:
        return self.world.classes
