"""How long a run would take, from speeds that were measured on this machine. No torch here."""

from __future__ import annotations

from dataclasses import dataclass

from engine.models.catalog import find_model, usual_device
from engine.models.speeds import Speed, read_speeds
from engine.settings import Settings
from engine.training.choices import Choice
from engine.training.plan import plan_epochs

CHILD_START = 6.0
"""Seconds from the claim of a run to its first batch: Python, torch, decoding, the measurement."""


@dataclass(frozen=True)
class Forecast:
    """Seconds of a run (None: cannot be told), and whether they rest on its own measured speed."""

    seconds: float | None
    measured: bool = False


def forecast(settings: Settings, choice: Choice, train: int, val: int, test: int) -> Forecast:
    """Forecast a run on so many training, validation and test images."""
    speeds = read_speeds(settings, usual_device(settings))
    features = _feature_rate(settings, choice, speeds)
    extraction = None if features.rate is None else (train + val + test) / features.rate
    if choice.strategy == "probe":
        return Forecast(None if extraction is None else CHILD_START + extraction, features.measured)
    used = extraction if extraction is not None and choice.pretrained else 0.0
    learning = _measured(speeds, choice, choice.strategy)
    if learning is None or train == 0:
        budget = choice.time_budget
        return Forecast(None if budget is None else CHILD_START + budget)
    rates = (learning, features.rate or learning)
    epochs = plan_epochs(choice, rates, (train, val), used)
    return Forecast(CHILD_START + used + epochs * (train / rates[0] + val / rates[1]), measured=True)


@dataclass(frozen=True)
class _Rate:
    rate: float | None
    measured: bool = False


def _measured(speeds: tuple[Speed, ...], choice: Choice, strategy: str) -> float | None:
    wanted = (choice.backbone, choice.image_size, strategy)
    rates = [s.images_per_second for s in speeds if (s.backbone, s.image_size, s.strategy) == wanted]
    return rates[-1] if rates else None


def _feature_rate(settings: Settings, choice: Choice, speeds: tuple[Speed, ...]) -> _Rate:
    """Return the measured images/s of the features, or an estimate from another network's.

    The estimate assumes as many multiply-adds a second; the same backbone at another size comes first.
    """
    exact = _measured(speeds, choice, "probe")
    if exact is not None:
        return _Rate(exact, measured=True)
    work = _work(settings, choice.backbone, choice.image_size)
    others = sorted(
        (speed for speed in speeds if speed.strategy == "probe"),
        key=lambda speed: speed.backbone != choice.backbone,
    )
    for other in others:
        reference = _work(settings, other.backbone, other.image_size)
        if work is not None and reference is not None:
            return _Rate(other.images_per_second * reference / work)
    return _Rate(None)


def _work(settings: Settings, backbone: str, size: int) -> float | None:
    """Return multiply-adds an image at ``size`` px, None where the catalog does not know them."""
    model = find_model(settings, backbone)
    if model is None or not model.multiply_adds:
        return None
    return model.multiply_adds * (size / model.input_size) ** 2
