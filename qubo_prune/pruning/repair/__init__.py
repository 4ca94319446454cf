"""Repairs of a pruned model in closed form, and what all methods of healing have in common."""
