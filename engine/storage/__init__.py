"""Database, content-addressed files, run folders."""
