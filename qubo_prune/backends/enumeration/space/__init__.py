"""The space of states, laid out and cut into tasks."""
