"""Which images train, validate and test: drawing the splits again, with what that would change."""

from __future__ import annotations

from typing import Final, Literal

import pandas as pd
import streamlit as st

from app import state
from app.components.dataset import SPLIT_NAMES
from app.components.formats import count, plain
from app.components.page import say, show_problem, tell
from app.engine_client import client
from engine.contracts.datasets import SPLITS, GroupPreview, SplitPreview, SplitRule
from engine.errors import InputError, LensmithError

IMAGE, FOLDER, PATTERN, OWN = "image", "folder", "pattern", "own"
WAYS: Final = {
    IMAGE: "Image by image",
    FOLDER: "By folder",
    PATTERN: "By a part of the name",
    OWN: "By the groups that the set names",
}
"""What stays together in one split."""
LEVELS: Final = {
    "folder": "the folder it lies in",
    "folder:1": "the first folder of its path",
    "folder:2": "the second folder of its path",
    "folder:3": "the third folder of its path",
}
WIDE: Final = 140
MOST_SEED: Final = 2**53 - 1
"""The largest whole number that a browser keeps."""


@st.dialog("Split", width="large")
def split_dialog(project: str) -> None:
    """Ask for a rule, show what it would do, and draw the splits by it."""
    last = client().splits.rule(project)
    wanted = _rule(last or SplitRule())
    if wanted is None:
        return
    try:
        found = client().splits.preview(project, wanted)
    except InputError as problem:
        show_problem(problem)
        return
    _preview(found)
    if found.moved:
        runs = bool(client().projects.status(project).runs)
        told = "Runs from before were measured on other images, so train again before you compare. "
        say(
            f"{count(found.moved, 'image')} would change sides. {told if runs else ''}“Undo” takes it back.",
            "look" if runs else "neutral",
            key="split",
        )
    else:
        st.caption("The splits are already drawn so.")
    if st.button("Draw again", type="primary", key="do-split", disabled=not found.moved):
        _draw(project, wanted)


def _draw(project: str, rule: SplitRule) -> None:
    write = f"split-{project}-{rule}"
    try:
        receipt = client().splits.resplit(project, rule, key=state.write_key(write))
    except LensmithError as problem:
        show_problem(problem)
        return
    state.written(write)
    tell(receipt.message)
    st.rerun()


def _rule(last: SplitRule) -> SplitRule | None:
    """Draw the fields and return the rule, or None while something is missing."""
    shares = [round(100 * share) for share in last.fractions]
    with st.container(horizontal=True, key="split-shares"):
        of_train = st.number_input("Train (%)", 1, 100, shares[0], key="split-train", width=WIDE)
        of_val = st.number_input("Validation (%)", 0, 99, shares[1], key="split-val", width=WIDE)
        of_test = st.number_input("Test (%)", 0, 99, shares[2], key="split-test", width=WIDE)
        number = st.number_input(
            "Seed",
            0,
            MOST_SEED,
            min(last.seed, MOST_SEED),
            key="split-seed",
            width=WIDE,
            help="Another number draws other splits; the same number draws the same.",
        )
    by, group_rule = _groups(last)
    if by == "group" and group_rule is None:
        st.caption(
            plain("Say which part of a name is the group: ^([^_]+)_ is what stands before the first “_”.")
        )
        return None
    fractions = (of_train / 100, of_val / 100, of_test / 100)
    return SplitRule(fractions=fractions, seed=number, by=by, group_rule=group_rule or "")


def _groups(last: SplitRule) -> tuple[Literal["image", "group"], str | None]:
    """Ask what stays together: a patient, a film, a place; None while its pattern is missing."""
    ways = list(WAYS)
    way = st.radio(
        "What stays together",
        ways,
        index=ways.index(_way(last)),
        format_func=WAYS.__getitem__,
        captions=[
            "even over the classes",
            "a folder is one patient, film or place",
            "such as the number of a patient in it",
            "where it names any",
        ],
        horizontal=True,
        key="split-way",
    )
    if way == IMAGE:
        return "image", ""
    if way == OWN:
        return "group", ""
    if way == FOLDER:
        levels = list(LEVELS)
        index = levels.index(last.group_rule) if last.group_rule in LEVELS else 0
        return "group", st.selectbox(
            "The folder is", levels, index, format_func=LEVELS.__getitem__, key="split-level"
        )
    typed = st.text_input(
        "Pattern",
        last.group_rule if _way(last) == PATTERN else "",
        placeholder="^([^_]+)_",
        help="A regular expression with one group in round brackets; it is searched in the path.",
        key="split-pattern",
    )
    return "group", typed.strip() or None


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
