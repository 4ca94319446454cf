"""Exhaustive enumeration: visits every state, prunes nothing, and so checks everything else."""
