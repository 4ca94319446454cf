"""Gurobi: the commercial mixed-integer solver, with its solution pool for the K lowest states."""
