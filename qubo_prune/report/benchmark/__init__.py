"""Pages of benchmarks; one plot or table a file."""
