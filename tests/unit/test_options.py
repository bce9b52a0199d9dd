"""What the Train screen offers: it counts the images that a training would really use."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select, update

from engine.api.options import train_options
from engine.contracts.runs import TrainOptions
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

    def options(self) -> TrainOptions:
        with self.database.read() as session:
            return train_options(session, self.settings, session.scalars(select(Project)).one())


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
