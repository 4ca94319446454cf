"""Measurements: every figure in the documentation comes from a command of this folder."""
