"""Splits: what a rule would do, drawing them anew, moving images, folds."""

from __future__ import annotations

from collections.abc import Sequence

from engine.api.people import local_person
from engine.api.projects import find_project
from engine.contracts.datasets import EditReceipt, FoldPlan, GroupPreview, Split, SplitPreview, SplitRule
from engine.datasets import resplit
from engine.storage.database import Database, new_id


class Splits:
    """Which images of a project train, validate and test."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def preview(self, project: str, rule: SplitRule) -> SplitPreview:
        """Say what ``resplit`` would do; raises ``InputError`` for a rule that says nothing possible."""
        with self.database.read() as session:
            return resplit.preview(session, find_project(session, project).id, rule)

    def rule(self, project: str) -> SplitRule | None:
        """Return the rule by which a person last had the splits drawn, or None."""
        with self.database.read() as session:
            return resplit.current_rule(session, find_project(session, project).id)

    def resplit(self, project: str, rule: SplitRule, key: str | None = None) -> EditReceipt:
        """Draw the splits of all images anew; one undoable step.

        Raises ``InputError`` for a rule that says nothing possible.
        """
        with self.database.write() as session:
            row = find_project(session, project)
            return resplit.resplit(session, row.id, rule, key or new_id(), local_person(session))

    def move(
        self, project: str, image_ids: Sequence[str], split: Split, key: str | None = None
    ) -> EditReceipt:
        """Put images into a split; one undoable step."""
        with self.database.write() as session:
            row, person = find_project(session, project), local_person(session)
            return resplit.move_to_split(session, row.id, list(image_ids), split, key or new_id(), person)

    def moved(self, project: str) -> int:
        """Count the images that were moved by hand since the splits were last drawn, and not moved back."""
        with self.database.read() as session:
            return resplit.moved_by_hand(session, find_project(session, project).id)

    def groups(self, project: str, rules: Sequence[str]) -> tuple[GroupPreview, ...]:
        """Say what each group rule (as in ``SplitRule``) finds in the images in use; 0 groups: nothing.

        Raises ``InputError`` for a rule that is none.
        """
        with self.database.read() as session:
            return resplit.groupings(session, find_project(session, project).id, rules)

    def folds(self, project: str, k: int, seed: int = 0, group_rule: str | None = None) -> FoldPlan:
        """Cut the images in use into ``k`` folds, stratified; nothing is written.

        ``resplit`` with a rule of ``k`` folds lets one of them validate.

        ``group_rule`` as in ``SplitRule``; None: image by image. Raises ``InputError`` for a number of
        folds that is not possible.
        """
        with self.database.read() as session:
            return resplit.folds(session, find_project(session, project).id, k, seed, group_rule)
