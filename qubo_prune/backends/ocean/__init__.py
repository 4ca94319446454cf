"""Any dimod sampler as a backend."""
