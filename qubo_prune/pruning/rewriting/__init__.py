"""A model's folder written again without some of its layers: no weight is loaded."""
