"""One screen a file: reads the facade, lays out components."""
