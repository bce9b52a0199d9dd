"""What the Train screen offers: it counts the images that a training would really use."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file
from sqlalchemy import select, update

from engine.api.options import train_options
from engine.contracts.runs import TrainOptions
from engine.errors import WeightsError
from engine.storage.database import Database
from engine.storage.tables import AnnotationRow, ImageRow, Project
from tests.training import make_project, make_settings


class Labels:
    """A project of 36 labelled images; tests take labels away."""

    def __init__(self, home: Path) -> None:
        self.settings = make_settings(home)
        self.database = Database(self.settings)
        make_project(self.settings, self.database, side=8)

    def take(self, split: str) -> None:
        with self.database.write() as session:
            chosen = AnnotationRow.image_id.in_(select(ImageRow.id).where(ImageRow.split == split))
            session.execute(update(AnnotationRow).where(chosen).values(on_head=False))

    def options(self, **start: str) -> TrainOptions:
        with self.database.read() as session:
            return train_options(session, self.settings, session.scalars(select(Project)).one(), start)


@pytest.fixture
def labels(tmp_path: Path) -> Iterator[Labels]:
    made = Labels(tmp_path / "home")
    yield made
    made.database.close()


def counts(options: TrainOptions) -> tuple[int, int, int]:
    return options.train_images, options.val_images, options.test_images


def test_labelled_images_are_counted_by_split(labels: Labels) -> None:
    options = labels.options()
    assert counts(options) == (24, 6, 6)
    assert options.problems == ()
    labels.take("test")
    assert counts(labels.options()) == (24, 6, 0)
    assert labels.options().problems == ()


def test_validation_images_without_a_label_are_an_obstacle(labels: Labels) -> None:
    labels.take("val")
    assert counts(labels.options()) == (24, 0, 6)
    assert "(validation)" in labels.options().problems[0]


def test_training_images_without_a_label_are_an_obstacle(labels: Labels) -> None:
    labels.take("train")
    assert counts(labels.options()) == (0, 6, 6)
    assert "0 labelled images" in labels.options().problems[0]


def test_presets_say_what_they_would_do_from_the_weights_that_were_chosen(
    labels: Labels, tmp_path: Path
) -> None:
    file = tmp_path / "mine.safetensors"
    save_file({"conv1.weight": np.zeros((8, 3, 3, 3), np.float32)}, file)
    (tmp_path / "config.json").write_text('{"architecture": "resnet50"}')
    untouched, chosen = labels.options(), labels.options(weights=str(file))
    assert {preset.weights.source for preset in untouched.presets} == {"bundled"}
    assert {(p.weights.source, p.backbone) for p in chosen.presets} == {("file", "resnet50")}
    assert chosen.presets[0].strategy == "probe"
    assert [p.config for p in chosen.presets] == [p.config for p in untouched.presets], "what Train compares"
    assert {p.backbone for p in labels.options(backbone="nothing_like_it").presets} == {"nothing_like_it"}
    with pytest.raises(WeightsError):
        labels.options(weights=str(tmp_path / "gone.safetensors"))
