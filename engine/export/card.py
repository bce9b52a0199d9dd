"""The model card: what the model is, what it was made from, how good it is and where it ends."""

from __future__ import annotations

import platform
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from engine.contracts.results import MetricValue, ProbeResult, Report, WeightsUsed
from engine.datasets.preprocessing import Preprocessing
from engine.evaluation.agreement import NEAR_TIE, TOLERANCE, Agreement
from engine.tasks.registry import get_task

PACKAGES = ("lensmith", "torch", "timm", "onnx", "onnxruntime", "numpy", "Pillow", "safetensors")
_SPECIAL = re.compile(r"([\\`*_\[\]|<>~&$])")


@dataclass(frozen=True)
class CardFacts:
    """Everything that a card tells.

    ``split_sizes`` counts images by split and class name; ``heic``: the set has HEIC pictures.
    """

    project: str
    run: str
    run_number: int
    dataset_version: int
    manifest: str
    classes: Sequence[str]
    split_sizes: Mapping[str, Mapping[str, int]]
    config: Mapping[str, Any]
    plan: Mapping[str, Any]
    weights: WeightsUsed | None
    report: Report
    probe: ProbeResult | None
    record: Preprocessing
    onnx: Agreement
    safetensors: Agreement
    stored: Agreement
    heic: bool = False


def write_card(facts: CardFacts) -> str:
    """Return the card as Markdown; names that people typed are escaped."""
    sections = (
        _introduction(facts),
        _data(facts),
        _results(facts),
        _parity(facts),
        _training(facts),
        _limits(facts),
        _versions(facts.heic),
    )
    return "\n".join(line for section in sections for line in (*section, ""))


def escaped(text: object) -> str:
    """Make ``text`` one line that Markdown shows as it is."""
    return _SPECIAL.sub(r"\\\1", " ".join(str(text).split()))


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    lines = [head, ["---"] * len(head), *rows]
    return ["| " + " | ".join(str(cell) for cell in line) + " |" for line in lines]


def _introduction(facts: CardFacts) -> list[str]:
    task = get_task(facts.report.task)
    backbone = escaped(facts.plan.get("backbone", "?"))
    size = f"{facts.record.width} x {facts.record.height}"
    packages = "onnxruntime, numpy, Pillow and pillow-heif" if facts.heic else "onnxruntime, numpy and Pillow"
    return [
        f"# {escaped(facts.project)}, run {facts.run_number}",
        "",
        f"{task.title}: {task.labels}, {len(facts.classes)} classes. Backbone {backbone}, {size} px.",
        "",
        "```",
        "pip install -r requirements.txt",
        "python predict.py IMAGE_OR_FOLDER ... [--json]",
        "```",
        "",
        *_table(
            ("File", "What it is"),
            (
                ("model.onnx", "the network: float32 images (N, 3, H, W) in, logits (N, K) out, any N"),
                ("model.safetensors, config.json", 'the same weights; `timm.create_model("local-dir:.")`'),
                ("classes.json", "the classes in the order of the outputs"),
                ("preprocessing.json", "how an image becomes the network's input"),
                ("predict.py", f"does all of it; needs {packages}"),
                ("checksums.sha256", "`sha256sum --check checksums.sha256`"),
            ),
        ),
    ]


def _data(facts: CardFacts) -> list[str]:
    splits = list(facts.split_sizes)
    rows = [
        (escaped(name), *(facts.split_sizes[split].get(name, 0) for split in splits))
        for name in facts.classes
    ]
    totals = ("**all**", *(sum(facts.split_sizes[split].values()) for split in splits))
    return [
        "## Data",
        "",
        f"Version {facts.dataset_version} of the dataset (manifest SHA-256 `{facts.manifest}`), images:",
        "",
        *_table(("Class", *splits), [*rows, totals]),
    ]


def _results(facts: CardFacts) -> list[str]:
    titles = {spec.name: spec.title for spec in get_task(facts.report.task).metrics}
    rows = [(titles[name], *_value(value)) for name, value in facts.report.metrics.items()]
    lines = [
        "## Results",
        "",
        f"On {facts.report.images} images of the {facts.report.split} split, with 95 % intervals "
        "(bootstrap over images).",
        "",
        *_table(("Measure", "Value", "Interval", "Images"), rows),
    ]
    if facts.probe is not None and facts.probe.value is not None:
        lines += [
            "",
            f"Yardstick: a linear classifier on the frozen starting weights reaches "
            f"{facts.probe.metric} {facts.probe.value:.3f}.",
        ]
    return lines


def _value(metric: MetricValue) -> tuple[str, str, str]:
    if metric.value is None:
        return "none", metric.reason, str(metric.n)
    interval = "" if metric.low is None else f"{metric.low:.4f} to {metric.high:.4f}"
    return f"{metric.value:.4f}", interval, str(metric.n)


def _parity(facts: CardFacts) -> list[str]:
    compared = (
        ("model.onnx through predict.py, against the trained model", facts.onnx),
        ("model.safetensors through timm, against the trained model", facts.safetensors),
        ("model.onnx through predict.py, against the results above", facts.stored),
    )
    return [
        "## Proof",
        "",
        f"This bundle was run on the original files of the same images. Required: the same class (but where "
        f"the two best differ by less than {NEAR_TIE}), probabilities within {TOLERANCE}, in fp32.",
        "",
        *_table(
            ("Compared", "Images", "Same class", "Near ties", "Largest difference", "Mean difference"),
            [
                (
                    name,
                    a.images,
                    a.same_class,
                    a.near_ties,
                    f"{a.largest_difference:.2e}",
                    f"{a.mean_difference:.2e}",
                )
                for name, a in compared
            ],
        ),
    ]


def _training(facts: CardFacts) -> list[str]:
    weights = facts.weights
    source = "unknown" if weights is None else f"{weights.source}: {weights.name} {weights.licence}".strip()
    settings = {**facts.config, **facts.plan}
    if "weights" in settings:  # a file's folder is nobody's business
        settings["weights"] = Path(str(settings["weights"])).name
    return [
        "## Training",
        "",
        f"Starting weights: {escaped(source)}. Run `{facts.run}`. The best checkpoint was chosen on the "
        "validation images. Settings and measured plan:",
        "",
        *_table(
            ("Setting", "Value"), [(f"`{key}`", escaped(value)) for key, value in sorted(settings.items())]
        ),
    ]


def _limits(facts: CardFacts) -> list[str]:
    return [
        "## Limits",
        "",
        f"- It always answers with one of its {len(facts.classes)} classes, even where none is right.",
        "- The numbers hold for images like those of the dataset: same kind of camera, light and scene.",
        "- A score is the model's own estimate; the calibration error (ECE) above says how far to trust it.",
        *(f"- {escaped(note)}" for note in facts.report.notes),
    ]


def _versions(heic: bool) -> list[str]:
    found = [("Python", platform.python_version())]
    for package in (*PACKAGES, "pillow-heif") if heic else PACKAGES:
        try:
            found.append((package, version(package)))
        except PackageNotFoundError:  # Lensmith run from a source folder without installation
            found.append((package, "not installed"))
    return ["## Versions", "", *_table(("Package", "Version"), found)]
