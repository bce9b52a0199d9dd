"""Metrics, curves and intervals in plain numpy; no torch, no task knows more than it needs.

Functions that take ``weights`` of shape (B, N) measure B weighted versions of the same N images at
once. With bootstrap counts as weights this gives the whole interval from the code that also gives
the value (all weights one).
"""
