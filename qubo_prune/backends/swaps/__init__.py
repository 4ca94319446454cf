"""Heuristics that swap blocks: tabu and annealing."""
