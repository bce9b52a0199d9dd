"""Measured speeds, and the forecasts that rest on them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

from engine.contracts.models import ModelInfo, WeightsInfo, WeightsPlan
from engine.models.catalog import catalog_path, find_model
from engine.models.speeds import Speed, read_speeds, remember
from engine.settings import Settings
from engine.storage.blobs import write_atomic
from engine.training.choices import Choice
from engine.training.forecast import CHILD_START, forecast
from tests.training import make_settings

HUB = WeightsPlan(source="cache", name="", sentence="")


def choice(backbone: str = "small", size: int = 160, strategy: Any = "probe", **values: Any) -> Choice:
    settled: dict[str, Any] = {"time_budget": 600.0, "epochs": None, "max_epochs": 50, "lr": None, **values}
    return Choice(backbone, {}, HUB, strategy, size, **settled)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A workspace whose catalog knows the work of two networks and not that of a third."""
    found = make_settings(tmp_path)
    models = [
        ModelInfo(name=name, family="", parameters=1, input_size=160, multiply_adds=work, weights=none)
        for none in [WeightsInfo(source="none")]
        for name, work in (("small", 100_000_000), ("large", 400_000_000), ("unknown", None))
    ]
    write_atomic(catalog_path(found), TypeAdapter(list[ModelInfo]).dump_json(models))
    return found


def measured(
    settings: Settings, speed: float, backbone: str = "small", size: int = 160, strategy: str = "probe"
) -> None:
    remember(
        settings,
        Speed(backbone=backbone, image_size=size, strategy=strategy, device="cpu", images_per_second=speed),
    )


def test_a_newer_speed_replaces_the_older_one_of_its_kind(settings: Settings) -> None:
    measured(settings, 10.0)
    measured(settings, 20.0)
    measured(settings, 5.0, strategy="full")
    assert {(speed.strategy, speed.images_per_second) for speed in read_speeds(settings, "cpu")} == {
        ("probe", 20.0),
        ("full", 5.0),
    }
    assert read_speeds(settings, "cuda:0") == ()


def test_speeds_of_another_machine_do_not_count(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    measured(settings, 10.0)
    monkeypatch.setattr("platform.node", lambda: "another")
    assert read_speeds(settings, "cpu") == ()


def test_the_catalog_shows_the_training_speed(settings: Settings) -> None:
    measured(settings, 100.0)
    model = find_model(settings, "small")
    assert model is not None and model.images_per_second is None
    measured(settings, 30.0, size=192, strategy="full")
    model = find_model(settings, "small")
    assert model is not None
    assert (model.images_per_second, model.measured_size) == (30.0, 192)


def test_nothing_is_told_of_a_probe_before_anything_was_measured(settings: Settings) -> None:
    found = forecast(settings, choice(), 700, 200, 100)
    assert (found.seconds, found.measured) == (None, False)


def test_a_measured_probe(settings: Settings) -> None:
    measured(settings, 100.0)
    found = forecast(settings, choice(), 700, 200, 100)
    assert (found.seconds, found.measured) == (CHILD_START + 10.0, True)


@pytest.mark.parametrize(
    ("backbone", "size", "seconds"),
    [("large", 160, 40.0), ("small", 320, 40.0), ("large", 80, 10.0), ("unknown", 160, None)],
)
def test_another_network_is_estimated_by_its_multiply_adds(
    settings: Settings, backbone: str, size: int, seconds: float | None
) -> None:
    measured(settings, 100.0)
    found = forecast(settings, choice(backbone, size), 700, 200, 100)
    assert found.seconds == (None if seconds is None else pytest.approx(CHILD_START + seconds))
    assert not found.measured


def test_the_same_network_at_another_size_is_the_better_reference(settings: Settings) -> None:
    measured(settings, 50.0, size=320)
    measured(settings, 1.0, backbone="large")
    assert forecast(settings, choice(), 700, 200, 100).seconds == CHILD_START + 5.0


def test_training_is_bounded_by_its_budget_and_by_its_epochs(settings: Settings) -> None:
    full = choice(strategy="full")
    assert forecast(settings, full, 700, 200, 100).seconds == CHILD_START + 600.0
    assert not forecast(settings, full, 700, 200, 100).measured
    measured(settings, 50.0, strategy="full")
    measured(settings, 100.0)
    # 10 s of features, then epochs of 700 / 50 + 200 / 100 = 16 s: 36 of them fit the 590 s that are left.
    found = forecast(settings, full, 700, 200, 100)
    assert (found.seconds, found.measured) == (CHILD_START + 10.0 + 36 * 16.0, True)
    assert forecast(settings, replace(full, max_epochs=5), 700, 200, 100).seconds == CHILD_START + 90.0
