"""Versions of a dataset: what they hold, what changed between two, and going back to one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import pandas as pd
import streamlit as st

from app import state
from app.components.formats import count, plain
from app.components.gallery import Tile, gallery
from app.components.moments import moment_here
from app.components.page import card, show_problem, tell
from app.components.selection import undo_beside, undoable
from app.engine_client import client
from engine.contracts.datasets import DatasetSummary, ImageFilter, VersionDiff, VersionInfo
from engine.errors import LensmithError

RESTORING: Final = "versions-restoring"
SHOWN: Final = "versions-shown"
STEP: Final = 10
MOST_PICTURES: Final = 24
REASONS: Final = {
    "import": "after an import",
    "train": "for a training",
    "export": "for an export",
    "restore": "after going back",
    "manual": "by hand",
}
"""Why a version was frozen."""
SPLIT_WORDS: Final = {"train": "train", "val": "validation", "test": "test", None: "none"}


def versions_card(project: str, summary: DatasetSummary) -> None:
    """Draw the latest version; the others open on demand."""
    with card("versions", "Versions"):
        latest = summary.version
        if latest is None:
            st.caption("The first is frozen by an import, a training or an export.")
            return
        since = summary.changed_since_version
        st.markdown(f"Version {latest.number:,} · {moment_here(latest.created_at)}")
        st.caption(
            f"{_reason(latest)}, {count(latest.images, 'image')}"
            + (f"; {count(since, 'change')} since" if since else "")
        )
        undo_beside(project, summary, "versions")
        if st.button(count(latest.number, "version"), key="see-versions", type="tertiary"):
            for key in (RESTORING, SHOWN):
                st.session_state.pop(key, None)
            versions_dialog(project)


@st.dialog("Versions of the data", width="large")
def versions_dialog(project: str) -> None:
    """List the versions, compare two, go back to one, or freeze one by hand."""
    versions = client().versions.list(project)
    known = {version.number: version for version in versions}
    asked = known.get(st.session_state.get(RESTORING, 0))
    if asked is not None:
        _confirm(project, asked)
        return
    listed, compared = st.tabs(["All versions", "Compare two"])
    with listed:
        _list(project, versions)
    with compared:
        if len(versions) < 2:
            st.caption("There is one version so far. The next is frozen when the data changed.")
        else:
            _compare(project, known)


def _list(project: str, versions: Sequence[VersionInfo]) -> None:
    people = len({version.person for version in versions if version.person}) > 1
    shown = st.session_state.get(SHOWN, STEP)
    with st.container(horizontal=True, vertical_alignment="center", key="freeze"):
        st.caption(
            "Each import, training and export freezes what is there then. Versions are never changed.",
            width="stretch",
        )
        if st.button("Freeze now", key="freeze-now"):
            _freeze(project, versions)
    for position, version in enumerate(versions[:shown]):
        _row(version, latest=position == 0, people=people)
    if len(versions) > shown:
        st.button(
            f"Show older ({len(versions) - shown:,})",
            key="older",
            on_click=st.session_state.__setitem__,
            args=(SHOWN, shown + 5 * STEP),
        )


def _row(version: VersionInfo, *, latest: bool, people: bool) -> None:
    with st.container(horizontal=True, vertical_alignment="center", key=f"version-{version.number}"):
        with st.container(gap=None, width="stretch", key=f"version-text-{version.number}"):
            st.markdown(f"**Version {version.number:,}** · {moment_here(version.created_at)}")
            by = f" by {plain(version.person)}" if people and version.person else ""
            told = [f"{_reason(version)}{by}", count(version.images, "image")]
            told += [plain(version.changes)] if version.changes else []
            lines = [" · ".join(told), *([f"Used by {_runs(version.runs)}"] if version.runs else [])]
            st.caption("  \n".join(lines))
        if not latest:
            st.button(
                "Go back to it",
                key=f"restore-{version.number}",
                type="tertiary",
                help=f"Make the data what they were in version {version.number:,}",
                on_click=st.session_state.__setitem__,
                args=(RESTORING, version.number),
            )


def _reason(version: VersionInfo) -> str:
    return f"frozen {plain(REASONS.get(version.reason, version.reason))}"


def _runs(numbers: Sequence[int]) -> str:
    shown = ", ".join(f"\\#{number}" for number in numbers[-6:])
    return f"{'run' if len(numbers) == 1 else 'runs'} {'… ' if len(numbers) > 6 else ''}{shown}"


def _freeze(project: str, versions: Sequence[VersionInfo]) -> None:
    try:
        made = client().versions.freeze(project)
    except LensmithError as problem:
        show_problem(problem)
        return
    same = bool(versions) and made.number == versions[0].number
    tell(f"Nothing has changed since version {made.number}." if same else f"Frozen as version {made.number}.")
    st.rerun()


def _confirm(project: str, version: VersionInfo) -> None:
    st.markdown(
        f"**Make the data what they were in version {version.number:,}?**  \n"
        f"{count(version.images, 'image')} with their labels, classes and splits as they were "
        f"{moment_here(version.created_at)}. Images that came later are left out, not deleted. "
        "“Undo” takes it back."
    )
    with st.container(horizontal=True, key="restore-actions"):
        if st.button(f"Go back to version {version.number:,}", type="primary", key="do-restore"):
            _restore(project, version.number)
        st.button("Leave it", key="no-restore", on_click=st.session_state.pop, args=(RESTORING, None))


def _restore(project: str, number: int) -> None:
    write = f"restore-{project}-{number}"
    try:
        receipt = client().versions.restore(project, number, key=state.write_key(write))
    except LensmithError as problem:
        show_problem(problem)
        return
    state.written(write)
    st.session_state.pop(RESTORING, None)
    undoable("versions", receipt)
    st.rerun()


def _compare(project: str, known: Mapping[int, VersionInfo]) -> None:
    numbers = list(known)
    left, right = st.columns(2)
    before = left.selectbox(
        "From",
        numbers,
        index=1,
        format_func=lambda n: _named(known[n]) if n in known else "",
        key="compare-from",
    )
    after = right.selectbox(
        "To", numbers, format_func=lambda n: _named(known[n]) if n in known else "", key="compare-to"
    )
    diff = client().versions.compare(project, before, after)
    if not diff.changes and not diff.counts:
        st.markdown("These two hold the same.")
        return
    st.markdown(f"**{plain(diff.changes[:1].upper() + diff.changes[1:])}**")
    _classes(diff)
    pairs = {move.image: (SPLIT_WORDS[move.before], f"→ {SPLIT_WORDS[move.after]}") for move in diff.moved}
    for key, title, ids in (
        ("added", "Added", diff.added),
        ("out", "Left out", diff.left_out),
        ("labels", "Labels changed", diff.relabelled),
        ("moved", "In another split", tuple(pairs)),
    ):
        if ids:
            _pictures(project, f"{key}-{before}-{after}", title, ids, pairs if key == "moved" else {})


def _named(version: VersionInfo) -> str:
    return f"Version {version.number:,} · {moment_here(version.created_at)}"


def _classes(diff: VersionDiff) -> None:
    said = [("New classes", diff.classes_added), ("Classes that are gone", diff.classes_removed)]
    lines = [f"{title}: {plain(', '.join(names))}" for title, names in said if names]
    lines += [f"{plain(rename.before)} is now {plain(rename.after)}" for rename in diff.classes_renamed]
    if lines:
        st.caption("  \n".join(lines))
    if diff.counts:
        rows = [(c.name, c.before, c.after, c.after - c.before) for c in diff.counts]
        st.dataframe(
            pd.DataFrame(rows, columns=["class", "labels before", "labels after", "change"]),
            hide_index=True,
            height="auto" if len(rows) <= STEP else 390,
            alt="Labels of each class in both versions",
        )


def _pictures(
    project: str, key: str, title: str, ids: Sequence[str], labels: Mapping[str, Sequence[str]]
) -> None:
    first = tuple(ids[:MOST_PICTURES])
    found = (
        client().datasets.images(project, ImageFilter(image_ids=first, left_out=None), 0, MOST_PICTURES).items
    )
    more = f", of which {len(found):,} are shown" if len(ids) > len(found) else ""
    st.caption(f"{title}: {count(len(ids), 'image')}{more}")
    tiles = [
        Tile(item.id, about=item.path, parts=tuple((line, "") for line in labels.get(item.id, ())))
        for item in found
    ]
    gallery(project, tiles, key=f"diff-{key}", choose="none", rows=2, tile=88, label=title)
