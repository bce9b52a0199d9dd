"""Tasks: one folder and one registry entry each."""
