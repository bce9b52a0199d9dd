"""Which images train, validate and test: drawing the splits again, with what that would change."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

import pandas as pd
import streamlit as st

from app import state
from app.components.formats import SPLIT_NAMES, count, plain
from app.components.page import choices, say, show_problem
from app.components.selection import undoable
from app.engine_client import client
from engine.contracts.datasets import SPLITS, GroupPreview, SplitPreview, SplitRule
from engine.errors import InputError, LensmithError

SHARES, FOLDS = "shares", "folds"
CUTS: Final = {SHARES: "By shares", FOLDS: "In folds"}
IMAGE, FOLDER, PATTERN, OWN = "image", "folder", "pattern", "own"
WAYS: Final = {
    IMAGE: "Image by image",
    FOLDER: "By folder",
    PATTERN: "By a part of the name",
    OWN: "By the groups that the set names",
}
"""What stays together in one split."""
PARTS: Final = {
    "before:_": "What stands before the first “_”",
    "before:-": "What stands before the first “-”",
    "before:digit": "What stands before the first digit",
}
"""Presets for a part of the name, as the rules of groups spell them."""
OWN_PATTERN: Final = "pattern"
LEVELS: Final = {
    "folder": "the folder it lies in",
    "folder:1": "the first folder of its path",
    "folder:2": "the second folder of its path",
    "folder:3": "the third folder of its path",
}
WIDE: Final = 140
FEW_FOLDS, MOST_FOLDS = 2, 20
USUAL_FOLDS: Final = 5
SHOWN_GROUPS: Final = 3
MOST_SEED: Final = 2**53 - 1
"""The largest whole number that a browser keeps."""


@st.dialog("Split", width="large")
def split_dialog(project: str) -> None:
    """Ask for a rule, show what it would do, and draw the splits by it."""
    last = client().splits.rule(project)
    wanted = _rule(project, last or SplitRule())
    if wanted is None:
        return
    try:
        found = client().splits.preview(project, wanted)
    except InputError as problem:
        show_problem(problem)
        return
    _preview(found)
    if found.moved:
        _warn(project, wanted, found)
    else:
        st.caption("The splits are already drawn so.")
    label = f"Hold out fold {wanted.held_out}" if wanted.folds else "Draw again"
    if st.button(label, type="primary", key="do-split", disabled=not found.moved):
        _draw(project, wanted)


def _warn(project: str, rule: SplitRule, found: SplitPreview) -> None:
    """Say how many images move, and whether older runs can still be compared."""
    tests_stay = rule.folds is not None and found.splits.get("test", 0) > 0
    runs = bool(client().projects.status(project).runs) and not tests_stay
    told = "Runs from before were measured on other images, so train again before you compare. "
    say(
        f"{count(found.moved, 'image')} would change sides. {told if runs else ''}“Undo” takes it back.",
        "look" if runs else "neutral",
        key="split",
    )


def _draw(project: str, rule: SplitRule) -> None:
    write = f"split-{project}-{rule}"
    try:
        receipt = client().splits.resplit(project, rule, key=state.write_key(write))
    except LensmithError as problem:
        show_problem(problem)
        return
    state.written(write)
    undoable("split", receipt)
    st.rerun()


def _rule(project: str, last: SplitRule) -> SplitRule | None:
    """Draw the fields and return the rule, or None while something is missing."""
    cut = choices("How to split", CUTS, key="split-cut", default=FOLDS if last.folds else SHARES)
    fractions, folds, held_out = last.fractions, None, 1
    with st.container(horizontal=True, key="split-shares"):
        if cut == FOLDS:
            folds, held_out = _folds(last)
        else:
            fractions = _shares(last)
        number = st.number_input(
            "Seed",
            0,
            MOST_SEED,
            min(last.seed, MOST_SEED),
            key="split-seed",
            width=WIDE,
            help="Another number draws other splits; the same number draws the same.",
        )
    if folds:
        st.caption(
            f"The images outside test are cut into {folds} parts of one size. Fold {held_out} validates, the "
            f"other {folds - 1} train, and test stays as it is. Train once for each fold: how far the "
            "results differ says how much they owe to the split."
        )
    by, group_rule = _groups(project, last)
    if by == "group" and group_rule is None:
        st.caption(plain("^([^_]+)_ is what stands before the first “_”; the round brackets hold the group."))
        return None
    return SplitRule(
        fractions=fractions, seed=number, by=by, group_rule=group_rule or "", folds=folds, held_out=held_out
    )


def _shares(last: SplitRule) -> tuple[float, float, float]:
    shares = [round(100 * share) for share in last.fractions]
    of_train = st.number_input("Train (%)", 1, 100, shares[0], key="split-train", width=WIDE)
    of_val = st.number_input("Validation (%)", 0, 99, shares[1], key="split-val", width=WIDE)
    of_test = st.number_input("Test (%)", 0, 99, shares[2], key="split-test", width=WIDE)
    return of_train / 100, of_val / 100, of_test / 100


def _folds(last: SplitRule) -> tuple[int, int]:
    """Ask for the number of folds and for the one that validates, from 1."""
    usual = min(max(last.folds or USUAL_FOLDS, FEW_FOLDS), MOST_FOLDS)
    folds = st.number_input("Folds", FEW_FOLDS, MOST_FOLDS, usual, key="split-folds", width=WIDE)
    held_out = st.selectbox(
        "Held out",
        range(1, folds + 1),
        min(last.held_out, folds) - 1 if folds == last.folds else 0,
        format_func=lambda fold: f"Fold {fold}",
        key=f"split-held-{folds}",  # another number of folds has other folds
        width=WIDE,
        help="This fold validates; the others train.",
    )
    return folds, held_out


def _groups(project: str, last: SplitRule) -> tuple[Literal["image", "group"], str | None]:
    """Ask what stays together: a patient, a film, a place; None while its pattern is missing.

    Only what finds groups in this set is offered.
    """
    rules = ("", *LEVELS, *PARTS)
    found = dict(zip(rules, client().splits.groups(project, rules), strict=True))
    there = {rule: one for rule, one in found.items() if one.groups}
    captions = {
        IMAGE: "even over the classes",
        FOLDER: "a folder is one patient, film or place",
        PATTERN: "such as the number of a patient in it",
        OWN: _found(there[""]) if "" in there else "",
    }
    ways = [way for way in WAYS if (way != FOLDER or LEVELS.keys() & there) and (way != OWN or "" in there)]
    way = st.radio(
        "What stays together",
        ways,
        index=ways.index(_way(last)) if _way(last) in ways else 0,
        format_func=WAYS.__getitem__,
        captions=[captions[way] for way in ways],
        horizontal=True,
        key="split-way",
    )
    reasons = {FOLDER: "its pictures lie in none", OWN: "it names none"}
    if absent := [f"{WAYS[way].lower()} ({why})" for way, why in reasons.items() if way not in ways]:
        st.caption(f"This set cannot be split {' or '.join(absent)}.")
    if way in (IMAGE, OWN):
        return "image" if way == IMAGE else "group", ""
    return "group", _folder(there, last) if way == FOLDER else _part(there, last)


def _folder(there: Mapping[str, GroupPreview], last: SplitRule) -> str:
    levels = [level for level in LEVELS if level in there]
    index = levels.index(last.group_rule) if last.group_rule in levels else 0
    return st.selectbox("The folder is", levels, index, format_func=LEVELS.__getitem__, key="split-level")


def _part(there: Mapping[str, GroupPreview], last: SplitRule) -> str | None:
    """Ask which part of a name is the group, with what each finds here; None while a pattern is missing."""
    parts = [part for part in PARTS if part in there]
    own = _way(last) == PATTERN and last.group_rule not in PARTS
    telling = next((part for part in parts if there[part].groups > 1), "")
    chosen = OWN_PATTERN if own else last.group_rule if last.group_rule in parts else telling
    options = [*parts, OWN_PATTERN]
    part = st.radio(
        "The group is",
        options,
        index=options.index(chosen) if chosen else 0,
        format_func={**PARTS, OWN_PATTERN: "Own pattern"}.__getitem__,
        captions=[*(_found(there[part]) for part in parts), "a regular expression, for names like no other"],
        key="split-part",
    )
    if part != OWN_PATTERN:
        return part
    typed = st.text_input(
        "Pattern",
        last.group_rule if own else "",
        placeholder="^([^_]+)_",
        help="A regular expression with one group in round brackets; it is searched in the path.",
        key="split-pattern",
    )
    return typed.strip() or None


def _found(groups: GroupPreview) -> str:
    """Say what a rule finds in the names of this set: the first groups, and how many there are."""
    names = ", ".join(key for key, _ in groups.examples[:SHOWN_GROUPS])
    more = ", …" if groups.groups > SHOWN_GROUPS else ""
    told = "all in one group" if groups.groups == 1 and not groups.without else count(groups.groups, "group")
    return f"here {plain(names)}{more} ({told})"


def _way(rule: SplitRule) -> str:
    if rule.by == "image":
        return IMAGE
    if not rule.group_rule:
        return OWN
    return FOLDER if rule.group_rule in LEVELS else PATTERN


def _preview(found: SplitPreview) -> None:
    """Show how many images each split would have, the groups, and each class's share."""
    parts = (f"**{found.splits.get(split, 0):,}** {SPLIT_NAMES[split]}" for split in SPLITS)
    st.markdown(" · ".join(parts))
    if none := [SPLIT_NAMES[split] for split in SPLITS if not found.splits.get(split)]:
        say(f"There would be no image for {' and none for '.join(none)}.", "look", key="split-empty")
    if found.groups is not None:
        _group_words(found.groups)
    if found.note:
        st.caption(plain(found.note))
    if found.classes:
        with st.expander("Images of each class"):
            rows = [(one.name, *(one.images.get(split, 0) for split in SPLITS)) for one in found.classes]
            st.dataframe(
                pd.DataFrame(rows, columns=["class", *(SPLIT_NAMES[split] for split in SPLITS)]),
                hide_index=True,
                height="auto" if len(rows) <= 8 else 320,
                alt="Images of each class in each split",
            )


def _group_words(groups: GroupPreview) -> None:
    examples = ", ".join(f"{key} ({number:,})" for key, number in groups.examples)
    more = ", …" if groups.groups > len(groups.examples) else ""
    st.caption(f"{count(groups.groups, 'group')}, the largest first: {plain(examples)}{more}")
