"""The command line: `qubo-prune`, or `python -m qubo_prune`."""
