"""How kernels are compiled, and the one that computes an energy."""
