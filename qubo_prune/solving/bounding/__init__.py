"""A certified lower bound of all energies: one relaxation, made as tight as time allows."""
