"""What Data shows of a dataset: its filters, its gallery, its cards."""

from __future__ import annotations

from typing import Any, Final

import streamlit as st

from app import state, theme
from app.components.bars import Bar, bars
from app.components.formats import SPLIT_NAMES, count, plain
from app.components.gallery import MOST_TILES
from app.components.gallery.labels import drawn_tiles
from app.components.import_report import import_card
from app.components.page import card, live
from app.components.selection import Tools, editable_gallery, undo_beside
from app.engine_client import client
from engine.contracts.datasets import (
    SPLITS,
    ClassInfo,
    DatasetSummary,
    ImageFilter,
    ImportReport,
    SizeSummary,
)

OUT: Final = "out"
MOST_CHIPS: Final = 40
"""More classes than these are found faster by typing."""
CHIPS: Final[dict[str, str]] = {"all": "all", **SPLIT_NAMES}


def browse(project: str, summary: DatasetSummary) -> None:
    """Draw filters and the gallery that they leave; the address says which.

    This part of the screen refreshes by itself: ``summary`` serves its first drawing.
    """
    known: list[DatasetSummary] = [summary]

    def part() -> None:
        _browse(project, known.pop() if known else client().datasets.summary(project))

    live(None)(part)


def _browse(project: str, summary: DatasetSummary) -> None:
    view = state.here()
    wanted = _wanted(summary, view)
    found = client().overlays.tiles(project, wanted, offset=view.page * MOST_TILES, limit=MOST_TILES)
    if view.page and not found.items:  # the set became smaller since this address was noted
        state.move(page=0)
        st.rerun()
    with st.container(horizontal=True, vertical_alignment="center", key="toolbar"):
        _filters(summary, view)
        st.space("stretch")
        edits = st.container(horizontal=True, vertical_alignment="center", width="content", key="edits")
    if found.items:
        token = f"{wanted.model_dump_json()}{view.page}"
        tiles = drawn_tiles(found.items)
        tools = Tools(out=bool(wanted.left_out), move=True, place=edits)
        editable_gallery(project, summary, tiles, key="data", rows=4, token=token, tools=tools)
    else:
        st.caption("No image fits this filter.")
    if found.total > MOST_TILES:
        _pages(found.total, view.page)


def _wanted(summary: DatasetSummary, view: state.ViewState) -> ImageFilter:
    """Read the filter of the address; what this set does not have counts as absent."""
    known = {c.id for c in summary.classes}
    return ImageFilter(
        class_ids=tuple(c for c in view.classes if c in known),
        splits=tuple(s for s in SPLITS if s == view.split),
        left_out=view.left_out,
    )


def _filters(summary: DatasetSummary, view: state.ViewState) -> None:
    # The address decides what the widgets show, also after a refresh and after going back.
    names = {c.id: c.name for c in summary.classes}
    st.session_state["split"] = view.split if view.split in SPLITS else "all"
    st.session_state["class-filter"] = [c for c in view.classes if c in names]
    with st.container(key="chips-split", width="content"):
        st.pills(
            "Split",
            list(CHIPS),
            format_func=CHIPS.__getitem__,
            key="split",
            required=True,
            label_visibility="collapsed",
            on_change=_filtered,
        )
    _class_filter(names)
    if summary.left_out or view.left_out:
        st.session_state["out"] = OUT if view.left_out else None
        with st.container(key="chips-out", width="content"):
            st.pills(
                "Left out",
                [OUT],
                format_func=lambda _: f"left out {summary.left_out:,}",
                key="out",
                label_visibility="collapsed",
                on_change=_filtered,
            )


def _class_filter(names: dict[str, str]) -> None:
    """Draw the choice of classes behind a button that says what is chosen."""
    chosen: list[str] = st.session_state["class-filter"]
    label = "every class" if not chosen else count(len(chosen), "class", "classes")
    with (
        st.container(key="chips-class", width="content"),
        st.popover(plain(names[chosen[0]]) if len(chosen) == 1 else label, key="class-choice"),
        st.container(key="chips-classes"),
    ):
        common: dict[str, Any] = {
            "format_func": lambda i: names.get(i, ""), "key": "class-filter", "on_change": _filtered,
        }  # fmt: skip
        if len(names) > MOST_CHIPS:
            st.multiselect("Classes", list(names), placeholder="every class", **common)
        else:
            common["format_func"] = lambda i: plain(names.get(i, ""))
            st.pills("Classes", list(names), selection_mode="multi", **common)


def _filtered() -> None:
    split = st.session_state["split"]
    state.move(
        split=None if split == "all" else split,
        classes=tuple(st.session_state["class-filter"]),
        left_out=bool(st.session_state.get("out")),
        page=0,
    )


def _pages(total: int, page: int) -> None:
    last = (total - 1) // MOST_TILES
    st.session_state["part-of-set"] = min(page, last)
    st.selectbox(
        "Pictures shown",
        range(last + 1),
        key="part-of-set",
        width=230,
        label_visibility="collapsed",
        format_func=lambda n: f"{n * MOST_TILES + 1:,} to {min((n + 1) * MOST_TILES, total):,} of {total:,}",
        on_change=_turn,
    )


def _turn() -> None:
    state.move(page=st.session_state["part-of-set"])


def facts(project: str, summary: DatasetSummary) -> None:
    """Draw the cards at the right: classes, split, import."""
    report = client().datasets.import_report(project)
    with card("classes", "Classes"):
        objects = any(c.objects > c.images for c in summary.classes)
        most = max((c.images for c in summary.classes), default=1) or 1
        bars(
            [
                Bar(c.name, c.images / most, _counts(c, objects), theme.class_color(c.position))
                for c in summary.classes
            ],
            key="class-bars",
        )
        if objects:
            st.caption("images · objects on them")
    with card("split", "Split"):
        parts = (f"{summary.splits.get(s, 0):,} {SPLIT_NAMES[s]}" for s in SPLITS)
        st.markdown(" · ".join(parts))
        by_hand = client().splits.moved(project)
        moved = f"; {by_hand:,} moved by hand since" if by_hand else ""
        st.caption(f"{_who_split(project, summary.splits_of_set, report)}{moved}")
        if summary.sizes:
            st.caption(_sizes(summary.sizes))
        undo_beside(project, summary, "split")
    if report is not None:
        import_card(report)


def _sizes(sizes: SizeSummary) -> str:
    """Say how large the pictures are, in px."""
    typical, smallest, largest = (
        f"{wide}\u00a0×\u00a0{high}"  # a size stays on one line
        for wide, high in (sizes.median, sizes.smallest, sizes.largest)
    )
    if smallest == largest:
        return f"all {smallest}\u00a0px"
    return f"{typical}\u00a0px typical, {smallest} to {largest}"


def _who_split(project: str, of_set: bool, report: ImportReport | None) -> str:
    """Say where the splits come from: a rule that a person drew them by, the set, or the import."""
    rule = client().splits.rule(project)
    if rule is None and of_set:
        notes = " ".join(report.notes) if report else ""
        missing = [one for one in SPLITS if f"The set has no {SPLIT_NAMES[one]} images; " in notes]
        if not missing or "of its training images serve for that" not in notes:
            return "as the set brings it"
        own = " and ".join(SPLIT_NAMES[one] for one in SPLITS if one not in missing)
        return f"{own} as the set brings them, {SPLIT_NAMES[missing[0]]} drawn from train"
    together = "; groups stay together" if rule is not None and rule.by == "group" else ""
    if rule is not None and rule.folds:
        return f"fold {rule.held_out} of {rule.folds} validates; even over the classes{together}"
    return f"drawn by Lensmith, even over the classes{together}"


def _counts(found: ClassInfo, objects: bool) -> str:
    return f"{found.images:,} · {found.objects:,}" if objects else f"{found.images:,}"
