"""The problem: a Hessian and what to remove."""
