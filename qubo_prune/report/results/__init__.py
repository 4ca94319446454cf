"""The page of what was found: one file for any mixture of our files."""
