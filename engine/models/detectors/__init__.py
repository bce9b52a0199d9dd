"""Detectors of our own: networks with raw outputs, what they learn from, and their decoding in numpy."""
