"""What a smaller model can still do, beside the original: measured, compared and told."""
