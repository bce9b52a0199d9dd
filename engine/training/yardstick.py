"""The probe of a run: features of the frozen backbone, a linear classifier on them, its test answers."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from engine.contracts.results import MetricValue, ProbeResult
from engine.datasets.preprocessing import Preprocessing
from engine.evaluation.intervals import share_interval
from engine.features.embeddings import cached_features, features_key, pooled
from engine.features.probe import Probe, fit_probe
from engine.models.backbones import linear_classifier
from engine.models.devices import exact_fp32
from engine.settings import Settings
from engine.tasks.base import Examiner
from engine.training.data import Data, Normaliser, Part, chunks, to_unit
from engine.training.tune import Setting


@dataclass(frozen=True)
class Yardstick:
    """The fitted probe and the digests of its answers on the reported split."""

    probe: Probe
    digests: Sequence[Any]
    result: ProbeResult


@dataclass
class Meter:
    """Images whose features were computed, and the seconds that took."""

    images: int = 0
    seconds: float = 0.0

    @property
    def rate(self) -> float | None:
        """Images/s, None when nothing was computed."""
        return self.images / self.seconds if self.images else None


@dataclass(frozen=True)
class Extractor:
    """How features are computed, and under which name they are kept."""

    settings: Settings
    model: torch.nn.Module
    setting: Setting
    device: torch.device
    identity: str
    meter: Meter = field(default_factory=Meter)

    def features(
        self, part: Part, record: Preprocessing, progress: Callable[[float], None]
    ) -> NDArray[np.float32]:
        """Return (N, D) float32 features of one split, computing what is not cached."""
        key = features_key(record.decode_hash(), f"{record.mean}{record.std}", self.identity)
        shas = [sample.sha256 for sample in part.samples]
        if not shas:
            return np.zeros((0, 0), np.float32)

        def compute(positions: NDArray[np.intp]) -> NDArray[np.float32]:
            return self._compute(part, positions, record, progress)

        return cached_features(self.settings.features / key, shas, compute)

    @torch.inference_mode()
    @exact_fp32()
    def _compute(
        self,
        part: Part,
        positions: NDArray[np.intp],
        record: Preprocessing,
        progress: Callable[[float], None],
    ) -> NDArray[np.float32]:
        started = time.perf_counter()
        self.model.eval()
        normalise = Normaliser(record, self.setting.memory_format, self.device)
        rows = []
        for span in chunks(len(positions), max(self.setting.batch_size, 16)):
            images = normalise(to_unit(part.pixels[positions[span]], self.device))
            # In fp32, whatever training uses: then the probe's answers are the saved network's.
            rows.append(pooled(self.model, images).cpu().numpy())
            progress(span.stop / len(positions))
        self.meter.images += len(positions)
        self.meter.seconds += time.perf_counter() - started
        return np.concatenate(rows)


def measure_probe(
    extractor: Extractor,
    data: Data,
    metric: str,
    examiner: Examiner,
    progress: Callable[[float], None],
) -> Yardstick:
    """Fit the probe on the training images, choose C on validation, and answer the reported split."""
    started = time.perf_counter()
    reported = data.reported[1]
    record = data.preprocessing
    total = len(data.train) + len(data.val) + len(reported)
    done = 0
    features = []
    for part in (data.train, data.val, reported):
        base, share = done / total, len(part) / total

        def tell(fraction: float, base: float = base, share: float = share) -> None:
            progress(base + share * fraction)

        features.append(extractor.features(part, record, tell))
        done += len(part)
    truth = [
        np.array([sample.target for sample in part.samples], dtype=np.int64)
        for part in (data.train, data.val, reported)
    ]
    probe = fit_probe(features[0], truth[0], features[1], truth[1], len(data.classes))
    answers = probe.probabilities(features[2])
    right = answers.argmax(axis=1) == truth[2]
    low, high = share_interval(right)
    result = ProbeResult(
        metric=metric,
        value=float(right.mean()),
        low=low,
        high=high,
        seconds=time.perf_counter() - started,
        images_per_second=extractor.meter.rate,
        classifier=probe.classifier,
    )
    return Yardstick(probe, examiner.digests(reported.samples, list(answers)), result)


def install_probe(model: torch.nn.Module, probe: Probe) -> None:
    """Make the probe the model's classifier, so that it is an ordinary timm model."""
    layer = linear_classifier(model)
    assert layer is not None
    with torch.no_grad():
        layer.weight.copy_(probe.weight)
        assert layer.bias is not None
        layer.bias.copy_(probe.bias)


def gain_over_probe(examiner: Examiner, probe: Sequence[Any], model: Sequence[Any], seed: int) -> MetricValue:
    """Return how many points training won over the probe on the same images, with its interval.

    ``probe`` and ``model`` are digests of both on the same images.
    """
    value, low, high = examiner.difference(probe, model, seed)
    if math.isnan(value):
        return MetricValue(name="gain", value=None, unit="points", reason="There is nothing to compare on.")
    return MetricValue(
        name="gain", value=100 * value, low=100 * low, high=100 * high, n=len(model), unit="points"
    )
