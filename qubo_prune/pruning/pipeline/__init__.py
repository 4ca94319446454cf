"""From a model and data to a smaller model in one call, step by step, each step in a file."""
