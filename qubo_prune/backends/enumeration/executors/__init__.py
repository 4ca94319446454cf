"""Who runs the batches of an enumeration: threads, processes, a Dask cluster."""
