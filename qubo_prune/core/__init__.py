"""The nouns, and how they are read and written; knows no solver."""
