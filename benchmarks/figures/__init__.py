"""Measured figures of README and docs, taken from ``benchmarks/results``: ``python -m
benchmarks.figures`` writes them into the pages, so that none is typed and none disagrees.
"""
