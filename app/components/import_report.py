"""An import: its progress, the account of every file, and what it asks."""

from __future__ import annotations

from typing import Final

import pandas as pd
import streamlit as st

from app.components.formats import count, plain
from app.components.page import card
from app.engine_client import client
from app.routes.urls import issues_url
from engine.contracts.datasets import ImportReport
from engine.contracts.jobs import ENDED, JobInfo

FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")


def import_progress(job: JobInfo) -> None:
    """Draw how far an import is, with a way to stop it."""
    with card("import-progress"):
        share = job.progress or 0.0
        st.progress(share, text=f"{plain(job.message) or 'Waiting for a free slot'} · {100 * share:.0f} %")
        if job.state not in ENDED and st.button("Stop the import", key="stop-import"):
            client().jobs.cancel(job.id)


def import_card(report: ImportReport) -> None:
    """Draw the account of the last import; the table opens on demand."""
    with card("import", "Import"):
        st.markdown(f"{count(report.images, 'image')} taken in")
        st.caption(f"{_account(report)}  \n{plain(report.format_reason)}")
        for note in report.notes:
            st.caption(plain(note))
        if report.issues_total:
            with st.container(horizontal=True, key="import-actions"):
                if st.button("See each", key="see-issues", type="tertiary"):
                    issues_dialog(report)
                st.link_button("Download CSV", issues_url(report.project), type="tertiary")


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
    """Show file, line, outcome and reason of each repair and skip."""
    if report.issues_total > len(report.issues):
        st.caption(f"The first {len(report.issues):,} of {report.issues_total:,}; the CSV has them all.")
    rows = [(for_people(i.file), i.line, i.outcome.value, for_people(i.reason)) for i in report.issues]
    st.dataframe(
        pd.DataFrame(rows, columns=["file", "line", "outcome", "reason"]),
        hide_index=True,
        height=420,
        alt="Repairs and skips",
    )


def for_people(cell: str) -> str:
    """Keep a spreadsheet that opens a copy of this table from running the cell as a formula."""
    return f"'{cell}" if cell.startswith(FORMULA) else cell
