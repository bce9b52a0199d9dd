"""The one tree of errors that Lensmith raises on purpose.

Each error carries a sentence for a person (``message``) and a next step (``hint``). Everything that
is *not* in this tree is a bug and is shown as such, with its trace in the log.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from engine.contracts.datasets import ImportIssue


class LensmithError(Exception):
    """Base of all expected errors; ``message`` says what is wrong, ``hint`` what to do next."""

    exit_code = 1
    http_status = 500

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        """Message and hint as one line, as the command line prints them."""
        return f"{self.message} {self.hint}".strip()


class InputError(LensmithError):
    """What a person gave (a file, a value, an option) cannot be used.

    When an import ends so, ``issues`` are the first of what it had repaired and skipped until then,
    ``issues_total`` how many there were, and ``issues_file`` the CSV of all of them.
    """

    exit_code = 2
    http_status = 400
    issues: tuple[ImportIssue, ...] = ()
    issues_total = 0
    issues_file = ""


class NotFoundError(InputError):
    """A project, run, image or file that was named does not exist (or no longer does)."""

    http_status = 404


class ConflictError(LensmithError):
    """The thing changed meanwhile, or is in a state that does not allow this step."""

    exit_code = 2
    http_status = 409


class LimitError(InputError):
    """An input is over one of the documented limits (size, pixels, members, ratio)."""

    http_status = 413


class ArchiveError(InputError):
    """An archive is damaged or built to escape its folder or to fill the disk."""


class ImageReadError(InputError):
    """One image file cannot be decoded; the reason is part of the message."""


class WeightsError(InputError):
    """A weights file does not fit the model, or is of a kind that could run code."""


class HubError(WeightsError):
    """Published weights cannot be fetched; a person chooses what a run starts from instead."""

    flag = "no-hub"


class HubSilentError(WeightsError):
    """The hub of weights (or another server of theirs) does not answer, or only with its own failure."""


class QuestionError(InputError):
    """The import needs a decision from a person.

    ``flag`` names the option that answers it, ``choices`` its values where it takes one.
    """

    http_status = 409

    def __init__(
        self, message: str, hint: str = "", *, flag: str = "", choices: tuple[str, ...] = ()
    ) -> None:
        super().__init__(message, hint)
        self.flag = flag
        self.choices = choices


class RunError(LensmithError):
    """A run ended without a result: failed, cancelled or paused."""


class ExportError(LensmithError):
    """A bundle could not be made, or does not agree with the trained model."""


class JobCancelledError(LensmithError):
    """Raised inside a child when a person asked to stop; ends the job as cancelled."""


class LeaseLostError(LensmithError):
    """Another attempt owns this job now; the child that sees this must end without writing."""


class UnavailableError(LensmithError):
    """A part of the house (worker, prediction process) did not answer in time."""

    http_status = 503
