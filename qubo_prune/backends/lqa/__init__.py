"""Local quantum annealing: product states on an annealing schedule, aimed at excited levels."""
