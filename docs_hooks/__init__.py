"""What the build of the docs calls."""
