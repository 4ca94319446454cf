"""How removals are measured on a model: layers skipped, first layers shared, losses in chunks."""
