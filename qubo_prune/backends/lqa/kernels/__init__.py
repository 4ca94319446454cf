"""Compiled code of local quantum annealing."""
