"""Taking whole layers out of a model: its configuration, what is checked, and which ones."""
