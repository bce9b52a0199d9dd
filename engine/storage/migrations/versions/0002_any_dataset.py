"""any dataset: images with nothing on them, keypoint names, and edits beyond labels."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = '0002'
down_revision = '0001'
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Go one version up."""

    # Plain ADD COLUMN: batch mode would make the table anew, and other tables refer to these rows.
    op.add_column('images', sa.Column('negative', sa.Boolean(), server_default=sa.false(), nullable=False))
    op.add_column('projects', sa.Column('split_rule', sa.JSON(), nullable=True))
    op.add_column('classes', sa.Column('points', sa.JSON(), nullable=True))
    op.add_column('classes', sa.Column('skeleton', sa.JSON(), nullable=True))

    with op.batch_alter_table('edits', schema=None) as batch_op:
        batch_op.add_column(sa.Column('before', sa.JSON(), nullable=True))
        batch_op.alter_column('image_id', existing_type=sa.String(length=24), nullable=True)

    # A region that does not count has no class. No table refers to annotations, so making it anew is safe.
    with op.batch_alter_table('annotations', schema=None) as batch_op:
        batch_op.alter_column('class_id', existing_type=sa.String(length=24), nullable=True)


def downgrade() -> None:
    """Go one version down; edits that change no image are lost."""

    op.execute('DELETE FROM annotations WHERE class_id IS NULL')
    with op.batch_alter_table('annotations', schema=None) as batch_op:
        batch_op.alter_column('class_id', existing_type=sa.String(length=24), nullable=False)

    op.execute('DELETE FROM edits WHERE image_id IS NULL')
    with op.batch_alter_table('edits', schema=None) as batch_op:
        batch_op.alter_column('image_id', existing_type=sa.String(length=24), nullable=False)
        batch_op.drop_column('before')

    op.drop_column('classes', 'skeleton')
    op.drop_column('classes', 'points')
    op.drop_column('projects', 'split_rule')
    op.drop_column('images', 'negative')
