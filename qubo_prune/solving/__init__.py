"""The verbs: solve, sweep, verify."""
