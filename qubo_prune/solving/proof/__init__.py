"""Proofs written down, and checked."""
