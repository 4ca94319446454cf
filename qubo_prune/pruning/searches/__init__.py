"""Searches of others, on any `Objective`: what a selection is compared with.

Each is a frozen class with options; ``Sleb().run(objective, problem)`` measures removals until it
is done or its budget is spent, and returns all that it measured.
"""

from __future__ import annotations

from qubo_prune.pruning.searches.base import Search, SearchResult
from qubo_prune.pruning.searches.evopress import EvoPress, Sampled
from qubo_prune.pruning.searches.sleb import Sleb
from qubo_prune.pruning.searches.sliding_window import SlidingWindow

SEARCHES: tuple[type[Search], ...] = (Sleb, EvoPress, SlidingWindow)
"""All of them; a new one is a module and a line here."""

__all__ = ["SEARCHES", "EvoPress", "Sampled", "Search", "SearchResult", "Sleb", "SlidingWindow"]
