"""The account of an import: each row that was read ends as kept, repaired or skipped.

A row is one image, or one of its labels. Nothing here reads or writes a file.
"""

from __future__ import annotations

import csv
import io
import re
from dataclasses import dataclass, field

from engine.contracts.datasets import ImportIssue, Outcome
from engine.errors import QuestionError

SHOWN_ISSUES = 1_000
TOLD_REASONS = 3
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")

_DETAIL = re.compile(r"“[^”]*”|\([^()]*\)|\d[\d.,]*")
"""What two rows with the same reason differ in: names, places, numbers."""


@dataclass
class Tally:
    """Rows of one kind by outcome."""

    kept: int = 0
    repaired: int = 0
    skipped: int = 0
    first: ImportIssue | None = None
    """The first of them that is skipped."""
    kinds: dict[str, list[ImportIssue]] = field(default_factory=dict)
    """Those that are skipped, by reason without the names and numbers in it."""

    @property
    def read(self) -> int:
        """All rows of this kind."""
        return self.kept + self.repaired + self.skipped

    def skip(self, issue: ImportIssue) -> None:
        """Count a row that is not used."""
        self.skipped += 1
        self.first = self.first or issue
        self.kinds.setdefault(_DETAIL.sub("", issue.reason), []).append(issue)

    def why(self) -> str:
        """Say for what reasons rows are skipped: the most frequent, each by its first row."""
        kinds = sorted(self.kinds.values(), key=len, reverse=True)
        told = [f"{len(kind):,} as in {_row(kind[0])}" for kind in kinds[:TOLD_REASONS]]
        if len(kinds) == 1:
            told = [_row(kinds[0][0]) if self.skipped == 1 else f"all as in {_row(kinds[0][0])}"]
        if rest := sum(len(kind) for kind in kinds[TOLD_REASONS:]):
            told.append(f"{rest:,} for other reasons")
        return "; ".join(told)

    @property
    def skipped_share(self) -> float:
        """Share of the rows that is skipped, 0 to 1."""
        return self.skipped / self.read if self.read else 0.0


@dataclass
class Account:
    """Counts rows and collects the issues, in the order in which they came up."""

    images: Tally = field(default_factory=Tally)
    labels: Tally = field(default_factory=Tally)
    issues: list[ImportIssue] = field(default_factory=list)

    def image(self, path: str, repairs: tuple[str, ...] = ()) -> None:
        """Count an image that is used."""
        self._used(self.images, path, None, repairs)

    def label(self, file: str, line: int | None, repairs: tuple[str, ...] = ()) -> None:
        """Count a label that is used."""
        self._used(self.labels, file, line, repairs)

    def skip_image(self, path: str, reason: str) -> None:
        """Count an image that is not used."""
        self._skipped(self.images, ImportIssue(file=path, outcome=Outcome.SKIPPED, reason=reason))

    def skip_label(self, file: str, line: int | None, reason: str) -> None:
        """Count a label that is not used."""
        self._skipped(self.labels, ImportIssue(file=file, line=line, outcome=Outcome.SKIPPED, reason=reason))

    def label_issue(self, issue: ImportIssue) -> None:
        """Count a label that a reader has skipped or repaired."""
        if issue.outcome is Outcome.SKIPPED:
            self._skipped(self.labels, issue)
        else:
            self.labels.repaired += 1
            self.issues.append(issue)

    def ask(self, limit: float, accepted: bool) -> None:
        """Raise ``QuestionError`` when more than ``limit`` of the rows of a kind would be skipped."""
        for tally, word in ((self.labels, "labels"), (self.images, "images")):
            if tally.skipped_share > limit and not accepted:
                raise QuestionError(
                    f"{tally.skipped:,} of {tally.read:,} {word} ({_percent(tally.skipped_share)}) would be "
                    f"skipped, more than {_percent(limit)}: {tally.why()}.",
                    "Mend the set, or accept the skips.",
                    flag="--accept-skips",
                )

    def counts(self) -> dict[str, int]:
        """Give ``read``, ``kept``, ``repaired``, ``skipped`` over images and labels."""
        return {
            name: getattr(self.images, name) + getattr(self.labels, name)
            for name in ("read", "kept", "repaired", "skipped")
        }

    def skips_first(self) -> tuple[ImportIssue, ...]:
        """Return the first issues to show, those that lose something before those that were repaired."""
        order = sorted(self.issues, key=lambda issue: issue.outcome is not Outcome.SKIPPED)
        return tuple(order[:SHOWN_ISSUES])

    def issues_csv(self) -> bytes:
        """Write all issues as CSV for a spreadsheet; cells that look like formulas become text."""
        buffer = io.StringIO(newline="")
        table = csv.writer(buffer)
        table.writerow(["file", "line", "outcome", "reason"])
        for issue in self.issues:
            line = "" if issue.line is None else str(issue.line)
            table.writerow([_plain(issue.file), line, issue.outcome.value, _plain(issue.reason)])
        return buffer.getvalue().encode("utf-8-sig")

    def _used(self, tally: Tally, file: str, line: int | None, repairs: tuple[str, ...]) -> None:
        if repairs:
            tally.repaired += 1
            reason = "; ".join(repairs)
            self.issues.append(ImportIssue(file=file, line=line, outcome=Outcome.REPAIRED, reason=reason))
        else:
            tally.kept += 1

    def _skipped(self, tally: Tally, issue: ImportIssue) -> None:
        tally.skip(issue)
        self.issues.append(issue)


def _percent(share: float) -> str:
    """Write a share as text; small ones with a decimal, so that 5.4 % is told apart from a limit of 5 %."""
    return f"{round(100 * share, 1 if share < 0.1 else 0):g} %"


def _row(issue: ImportIssue) -> str:
    return f"{issue.file}: {issue.reason}"


def _plain(cell: str) -> str:
    return f"'{cell}" if cell.startswith(FORMULA_STARTS) else cell
