"""The command line: ``lensmith ...``, a thin skin over the facade.

``--json`` prints one JSON document on standard output and nothing else. Exit codes: 0; 2 for bad arguments
or input; 1 for a run that failed, was cancelled or paused; 130 for Ctrl-C (the run goes on).
"""

from __future__ import annotations

import sys

from engine.cli import data, dataset, dataset_export, house, listing, models, weights
from engine.cli.app import app
from engine.errors import LensmithError

__all__ = ["data", "dataset", "dataset_export", "house", "listing", "main", "models", "weights"]


def main() -> None:
    """Run the command line; errors become one sentence and an exit code."""
    try:
        app(standalone_mode=True)
    except LensmithError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        print("Stopped watching; what was started goes on in the background.", file=sys.stderr)
        sys.exit(130)
