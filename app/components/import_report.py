"""An import: its progress, the account of every file, and what was repaired or skipped and why."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Final

import pandas as pd
import streamlit as st

from app.components.formats import brief, count, plain
from app.components.page import card, guarded
from app.engine_client import client
from app.routes.urls import issues_url, job_issues_url
from engine.contracts.datasets import ImportIssue, ImportReport, Outcome
from engine.contracts.jobs import ENDED, JobInfo, JobState, Problem

FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")
WORDS: Final = {"all": "all", Outcome.REPAIRED.value: "repaired", Outcome.SKIPPED.value: "skipped"}
STOPPING: Final = "stopping"
"""The job that this browser tab has asked to stop."""
PACE_SECONDS: Final = 3.0
PACE_SHARE: Final = 0.02
"""From when on the pace of a job says something: time since it started, share that is done."""
_VARIES: Final = re.compile(r"“[^”]*”|(?<![\w.])[-+]?\d[\d,.]*(?<![,.])")
"""What differs from one file to the next within the same reason: names in quotes and numbers."""


def import_progress(job: JobInfo, *, title: str = "", stop: str = "Stop the import") -> None:
    """Draw how far an import (or another job on the data) is, with a way to stop it."""
    with card("import-progress", title):
        st.progress(job.progress or 0.0, text=_doing(job))
        if job.state not in ENDED:
            stopping = st.session_state.get(STOPPING) == job.id
            st.button(
                "Stopping…" if stopping else stop,
                key="stop-import",
                disabled=stopping,
                on_click=guarded(_stop),
                args=(job.id,),
            )


def _doing(job: JobInfo) -> str:
    if job.state is JobState.QUEUED:
        return f"Waiting for {count(job.ahead, 'job')} before it" if job.ahead else "Starting"
    parts = [plain(job.message) or "Starting", f"{100 * (job.progress or 0.0):.0f} %", _time_left(job)]
    return " · ".join(part for part in parts if part)


def _time_left(job: JobInfo) -> str:
    """Say how long a job needs still, at its pace so far; empty while that would be a guess.

    A look at a set tells of two steps only, and a second attempt starts anew: both have no pace.
    """
    done = job.progress or 0.0
    if job.state is not JobState.RUNNING or job.started_at is None or job.attempt > 1:
        return ""
    spent = (datetime.now(UTC) - job.started_at).total_seconds()
    if spent < PACE_SECONDS:
        return ""
    if job.kind == "recognise":
        return f"{_roughly(spent)} so far"
    return f"{_roughly(spent * (1 - done) / done)} left" if PACE_SHARE <= done < 1 else ""


def _roughly(seconds: float) -> str:
    """Write a time in s as the drop zone does: "40 s", "3 min", "1.5 h"."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _stop(job: str) -> None:
    client().jobs.cancel(job)
    st.session_state[STOPPING] = job  # it ends at its next safe place, which can take a moment


def import_card(report: ImportReport) -> None:
    """Draw the account of the last import; every repair and skip opens on demand."""
    with card("import", "Import"):
        st.markdown(f"{count(report.images, 'image')} taken in")
        reason = brief(report.format_reason)
        whole = plain(report.format_reason) if reason != report.format_reason else None
        st.caption(f"{_account(report)}  \n{plain(reason)}", help=whole)
        for note in report.notes:
            st.caption(_sentence(brief(note)), help=plain(note) if brief(note) != note else None)
        if report.issues_total:
            with st.container(horizontal=True, key="import-actions"):
                if st.button("See each", key="see-issues", type="tertiary"):
                    issues_dialog(report)
                st.link_button("Download as CSV", issues_url(report.project), type="tertiary")


def _sentence(note: str) -> str:
    text = note[:1].upper() + note[1:]
    return plain(text if text.endswith((".", "!", "?")) else f"{text}.")


def _account(report: ImportReport) -> str:
    """Say what became of everything that was read; labels count beside their pictures."""
    others = f" {count(report.ignored, 'other file')} ignored." if report.ignored else ""
    read = f"{report.read:,} pictures and labels were read"
    if report.kept == report.read:
        return f"{read}, all kept as they are.{others}"
    odd = [f"{number:,} {what}" for number, what in (
        (report.kept, "kept as they are"), (report.repaired, "repaired"), (report.skipped, "skipped"),
    ) if number]  # fmt: skip
    return f"{read}: {', '.join(odd)}.{others}"


@st.dialog("What was repaired or skipped", width="large")
def issues_dialog(report: ImportReport) -> None:
    """Show the reasons with how often each occurs, and each file, filtered by outcome, reason and text."""
    st.caption(_account(report))
    _listed(report.issues, report.issues_total, issues_url(report.project))


def found_so_far(job: str, problem: Problem) -> None:
    """Draw the way to what an import had repaired and skipped until it asked or was refused, if anything.

    ``job`` is the import's.
    """
    if problem.issues and st.button(f"See each ({problem.issues_total:,})", key="see-found", type="tertiary"):
        found_dialog(job, problem)


@st.dialog("What was found so far", width="large")
def found_dialog(job: str, problem: Problem) -> None:
    """Show what an import that asks or was refused found wrong, file by file, and give the CSV of it."""
    st.caption("Nothing was taken in yet. This is what would be repaired or skipped, and why.")
    _listed(problem.issues, problem.issues_total, job_issues_url(job) if problem.issues_file else "")


def _listed(issues: Sequence[ImportIssue], total: int, url: str) -> None:
    """Draw the filtered table of ``issues``, the first of ``total``; ``url`` is that of the CSV of all."""
    if total > len(issues):
        rest = "; the CSV has them all" if url else ""
        st.caption(f"The first {len(issues):,} of {total:,}{rest}.")
    _table(_filtered(issues))
    if url:
        st.link_button("Download as CSV", url, type="tertiary")


def _filtered(issues: Sequence[ImportIssue]) -> list[ImportIssue]:
    """Draw the filters and return what they leave."""
    numbers = Counter(issue.outcome.value for issue in issues)
    with st.container(horizontal=True, vertical_alignment="center", key="issue-filter"):
        with st.container(key="chips-outcome", width="content"):
            outcome = st.pills(
                "Outcome",
                ["all", *(word for word in list(WORDS)[1:] if numbers[word])],
                format_func=lambda word: f"{WORDS[word]} {numbers[word] if word != 'all' else len(issues):,}",
                default="all",
                required=True,
                key="issue-outcome",
                label_visibility="collapsed",
            )
        text = st.text_input(
            "Search",
            placeholder="Search file or reason",
            key="issue-text",
            label_visibility="collapsed",
            width=240,
        )
    found = matching((i for i in issues if outcome in ("all", i.outcome.value)), text)
    reasons = count_reasons(found)
    reason = st.selectbox(
        "Reason",
        [*reasons],
        index=None,
        format_func=lambda name: f"{reasons[name]:,} × {name}" if name in reasons else "",
        placeholder=f"Every reason ({len(reasons):,})",
        key="issue-reason",
        label_visibility="collapsed",
    )
    return [issue for issue in found if reason in (None, same_reason(issue.reason))]


def _table(issues: Sequence[ImportIssue]) -> None:
    if not issues:
        st.caption("Nothing fits this filter.")
        return
    # What happened and why come first: on a phone, what stands at the right is out of sight.
    rows = [(i.outcome.value, for_people(i.reason), for_people(i.file), str(i.line or "")) for i in issues]
    table = pd.DataFrame(rows, columns=["outcome", "reason", "file", "line"])
    if not table["line"].any():
        table = table.drop(columns="line")
    with st.container(key="issue-table"):
        st.dataframe(
            table,
            hide_index=True,
            height="auto" if len(rows) <= 9 else 360,
            column_config={"outcome": st.column_config.Column(width=80)},
            alt="Repairs and skips",
        )


def matching(issues: Iterable[ImportIssue], text: str) -> list[ImportIssue]:
    """Return the issues whose file or reason holds ``text``, whatever the case."""
    wanted = text.strip().casefold()
    return [i for i in issues if wanted in i.file.casefold() or wanted in i.reason.casefold()]


def count_reasons(issues: Iterable[ImportIssue]) -> dict[str, int]:
    """Count the reasons, the most frequent first; one reason up to its numbers and names."""
    return dict(Counter(same_reason(issue.reason) for issue in issues).most_common())


def same_reason(reason: str) -> str:
    """Return a reason with "…" for what differs from file to file."""
    return _VARIES.sub("…", reason)


def for_people(cell: str) -> str:
    """Keep a spreadsheet that opens a copy of this table from running the cell as a formula."""
    return f"'{cell}" if cell.startswith(FORMULA) else cell
