"""The compiled part of branch and bound."""
