"""Which tables of a source hold its labels, and which split each is."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import PurePosixPath

from engine.contracts.datasets import Split
from engine.datasets.archive import Member
from engine.datasets.formats.base import SourceView, split_of
from engine.datasets.formats.csv_columns import columns_of, is_image_name
from engine.datasets.formats.csv_rows import Listing, find_image
from engine.datasets.formats.csv_survey import Survey, survey
from engine.datasets.formats.object_table import is_object_table
from engine.datasets.formats.tables import SUFFIXES, open_table
from engine.errors import InputError

KEPT = "csv_table"
MOST_NAMED = 8  # columns in a sentence

Surveyed = tuple[Listing, Survey]
Notes = tuple[str, ...]


def label_tables(view: SourceView) -> tuple[tuple[Surveyed, ...], Notes]:
    """Return the tables that hold the labels, surveyed, and what to say about the choice.

    A table that only repeats those of the splits is left out, and the name of a single table that would
    put everything into validation or test is not taken for a split.
    """
    if KEPT not in view.kept:
        found = [_surveyed(view, member) for member in view.named(*SUFFIXES)]
        view.kept[KEPT] = _without_whole([one for one in found if one is not None])
    tables, notes = view.kept[KEPT]
    if len(tables) == 1:
        tables, notes = _alone(tables[0][0], tables[0][1], notes)
    return tuple(tables), tuple(
        dict.fromkeys(chain(notes, *(_notes(listing, facts) for listing, facts in tables)))
    )


def refuse_unclear(tables: Sequence[Surveyed]) -> None:
    """Raise ``InputError`` when there is no table, or it is not clear which holds what."""
    if not tables:
        raise InputError(
            "There is no table with a column for the image and one for its class.",
            "Name the columns path and label.",
        )
    for listing, _ in tables:
        if listing.columns.box_style == "list" and listing.columns.in_cell is None:
            raise InputError(
                f"The boxes in “{listing.path}” may be corners or corner and size.",
                "Write them in columns xmin, ymin, xmax, ymax.",
            )
    splits = [listing.split for listing, _ in tables]
    named = ", ".join(listing.path for listing, _ in tables)
    if len(tables) > 1 and (None in splits or len(set(splits)) < len(splits)):
        raise InputError(
            f"Several tables hold labels: {named}.", "Keep one, or name them train, val and test."
        )
    if len({_shape(listing) for listing, _ in tables}) > 1:
        raise InputError(f"The tables hold different labels: {named}.", "Give them the same columns.")


def _shape(listing: Listing) -> tuple[object, ...]:
    columns = listing.columns
    points = tuple(one.name for one in columns.points)
    return bool(columns.box), points, bool(columns.tags), columns.relative, columns.union


def _surveyed(view: SourceView, member: Member) -> Surveyed | None:
    table = open_table(view, member)
    if table is None or (not table.named and is_object_table(table.first)):
        return None  # it says what is where in masks, and no class of an image
    columns = columns_of(table)
    if columns is None:
        return None
    listing = Listing(table, columns, _split_in_name(member.path))
    listing = replace(listing, homes=_homes(view, listing))
    guessed = columns.tags or (columns.points and not columns.box)
    if guessed and not any(_is_listed(view, listing, cells) for cells in table.sample):
        return None
    listing, facts = survey(view, listing)
    if not listing.columns.has_geometry and listing.columns.label is None and len(listing.columns.tags) < 2:
        view.opened.discard(member.path)
        return None
    return listing, facts


def _is_listed(view: SourceView, listing: Listing, cells: Sequence[str]) -> bool:
    try:
        find_image(view, listing, cells)
    except LookupError:
        return listing.columns.path < len(cells) and is_image_name(cells[listing.columns.path])
    return True


def _homes(view: SourceView, listing: Listing) -> tuple[str, ...]:
    """Return the folders that a table's names may start from: those of its split, its own, the root."""
    own = listing.path.rpartition("/")[0]
    folders = dict.fromkeys(member.path.rpartition("/")[0] for member in view.images)
    of_split = [one for one in folders if listing.split and split_of(one.rpartition("/")[2]) == listing.split]
    return tuple(dict.fromkeys([*of_split, own, ""]))


def _split_in_name(path: str) -> Split | None:
    """Return the split that a table's name or its folder's says: train.csv, test_labels.csv, val/a.csv."""
    pure = PurePosixPath(path)
    found = {split_of(word) for word in re.split(r"[^A-Za-z]+", pure.stem)} - {None}
    return found.pop() if len(found) == 1 else split_of(pure.parent.name)


def _without_whole(tables: list[Surveyed]) -> tuple[list[Surveyed], Notes]:
    parts = [facts.keys for listing, facts in tables if listing.split]
    rest = [(listing, facts) for listing, facts in tables if not listing.split]
    if len(parts) < 2 or len(rest) != 1 or rest[0][1].keys != set().union(*parts):
        return tables, ()
    note = f"“{rest[0][0].path}” repeats the tables of the splits, which are used instead."
    return [one for one in tables if one[0].split], (note,)


def _alone(listing: Listing, facts: Survey, notes: Notes) -> tuple[list[Surveyed], Notes]:
    if listing.split in ("val", "test"):
        notes += (f"All labels stand in “{listing.path}”; its name is not taken for their split.",)
        listing = replace(listing, split=None)
    if listing.columns.split is None and listing.split is None:
        by_folder = None not in facts.folders and len(facts.folders) > 1
        notes += ("The split is that of each image's folder.",) if by_folder else ()
        listing = replace(listing, by_folder=by_folder)
    return [(listing, facts)], notes


def _notes(listing: Listing, facts: Survey) -> Iterator[str]:
    columns = listing.columns
    if columns.group is not None and facts.groups:
        yield f"Images with the same “{columns.names[columns.group]}” stay together."
    if columns.in_cell is not None:
        meaning = (
            "x, y, width and height" if columns.in_cell == "size" else "left, top, right and bottom edge"
        )
        yield f"The boxes are read as {meaning}."
    if columns.tags:
        used = {columns.path, columns.split, columns.group, columns.ignored, columns.labelled}
        used |= {*columns.tags, *(columns.size or ())}
        left = [f"“{name}”" for n, name in enumerate(columns.names) if n not in used and name]
        if left:
            yield f"Columns that are no tags of 0 and 1 are not read: {', '.join(left[:MOST_NAMED])}."
