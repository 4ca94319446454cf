"""Compiled building blocks shared by the engines: canonical energies, bounded pools, swap search."""
