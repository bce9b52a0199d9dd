"""``python -m engine.cli`` is ``lensmith``."""

from engine.cli import main

main()
