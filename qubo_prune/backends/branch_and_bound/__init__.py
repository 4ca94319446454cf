"""Branch and bound: proves the K lowest states without visiting all."""
