"""The problem as a convex one: what certified bounds, and relaxed entries of proofs, come from."""
