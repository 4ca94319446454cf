"""Healing: a pruned model brought nearer to its original, measured, saved and loaded again."""
