"""Dataset formats: one file and one registry entry each."""
