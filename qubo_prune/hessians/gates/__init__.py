"""One gate per removable block of a causal language model."""
