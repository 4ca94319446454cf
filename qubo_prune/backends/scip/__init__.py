"""SCIP: an open exact solver, made to collect the K lowest states in one search tree."""
