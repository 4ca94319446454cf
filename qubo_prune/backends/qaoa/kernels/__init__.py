"""The compiled part of the QAOA simulation."""
