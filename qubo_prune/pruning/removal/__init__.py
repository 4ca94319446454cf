"""Taking layers and branches out of a model: what goes, its configuration, what is checked."""
