"""Compiled building blocks of the swap searches."""
