"""Sentences about learning curves: each is said for the curves that show it, and for no others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from engine.evaluation.curves_in_words import read_curves


def _texts(train: Sequence[float], val: Sequence[float]) -> str:
    epochs: list[dict[str, Any]] = [
        {"epoch": number, "train_loss": a, "val_loss": b, "metrics": {"top1": 0.5}}
        for number, (a, b) in enumerate(zip(train, val, strict=True), start=1)
    ]
    return " | ".join(found.text for found in read_curves(epochs, "top1", "Top-1 accuracy"))


def test_validation_that_rises_while_training_falls_has_turned() -> None:
    said = _texts([1.2, 0.8, 0.5, 0.3, 0.1], [1.1, 0.9, 0.7, 0.8, 1.0])
    assert "Validation turned at epoch 3" in said
    assert "0.70 to 1.00" in said
    assert "0.50 to 0.10" in said


def test_a_gap_alone_is_no_turn() -> None:
    said = _texts([1.2, 0.8, 0.3, 0.1], [1.1, 0.9, 0.7, 0.6])
    assert "turned at" not in said
    assert "has not turned" in said


def test_rising_together_is_no_overfitting() -> None:
    assert "turned at" not in _texts([1.2, 0.8, 0.9, 1.1], [1.1, 0.8, 0.9, 1.1])


def test_falling_together_is_said_as_such() -> None:
    assert "No sign of overfitting" in _texts([1.2, 0.8, 0.5, 0.4], [1.1, 0.8, 0.55, 0.45])


def test_training_above_validation_is_augmentation_and_no_news() -> None:
    said = _texts([1.2, 0.9, 0.7, 0.6], [1.1, 0.7, 0.4, 0.3])
    assert "No sign of overfitting" in said


def test_two_high_losses_ask_for_more_model() -> None:
    assert "still high" in _texts([1.2, 1.15, 1.1, 1.1], [1.2, 1.16, 1.12, 1.11])


def test_one_epoch_says_nothing() -> None:
    assert _texts([1.0], [1.0]) == ""
