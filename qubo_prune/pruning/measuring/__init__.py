"""How removals are measured on a loaded model: layers skipped, first layers shared, losses in chunks."""
