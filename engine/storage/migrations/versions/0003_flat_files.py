"""flat files: stored files lie one folder deep, not two.

A folder for every few files costs an import more than writing them. Files are moved by renames; what was
cut off is gone on with at the next start.
"""

from __future__ import annotations

from pathlib import Path

from alembic import context

revision = '0003'
down_revision = '0002'
branch_labels = None
depends_on = None

BYTE = '[0-9a-f][0-9a-f]'


def upgrade() -> None:
    """Go one version up: ``ab/cd/abcd...`` becomes ``ab/abcd...``."""

    files: Path = context.config.attributes['files']
    for folder in files.glob(f'{BYTE}/{BYTE}'):
        for path in folder.iterdir():
            path.replace(folder.parent / path.name)
        folder.rmdir()


def downgrade() -> None:
    """Go one version down."""

    files: Path = context.config.attributes['files']
    for path in files.glob(f'{BYTE}/{BYTE}?*'):
        target = path.parent / path.name[2:4] / path.name
        target.parent.mkdir(exist_ok=True)
        path.replace(target)
