"""One run of an enumeration: its course, its progress and its checkpoint."""
