"""Frozen records that cross the facade; the only types that ``app/`` and the command line see."""
