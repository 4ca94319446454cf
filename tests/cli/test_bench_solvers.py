"""Which solvers `qubo-prune bench run` asks: one backend may be asked with several options."""

from __future__ import annotations

from pathlib import Path

import pytest

from qubo_prune import InputError
from qubo_prune.bench.suites import Solver, load_suite
from qubo_prune.cli.commands.bench_run import _solvers

SUITE = """
backends = [
  "tabu",
  { name = "ocean-annealing", options = { num_reads = 7 } },
  { name = "ocean-annealing", options = { num_reads = 7, repair = false } },
]

[[tasks]]
instance = "wishart-16"
remove = 4
"""
REPAIRED = Solver("ocean-annealing", {"num_reads": 7})
BARE = Solver("ocean-annealing", {"num_reads": 7, "repair": False})


def test_a_backend_with_several_options_is_several_solvers(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(SUITE)
    suite = load_suite(str(tmp_path / "mine.toml"))
    assert _solvers(suite, [], []) == (Solver("tabu"), REPAIRED, BARE)
    assert _solvers(suite, ["greedy,ocean-annealing"], []) == (Solver("greedy"), REPAIRED, BARE)
    fewer = _solvers(suite, ["ocean-annealing"], ["ocean-annealing:num_reads=3"])
    assert [each.options for each in fewer] == [{"num_reads": 3}, {"num_reads": 3, "repair": False}]
    with pytest.raises(InputError, match="names no backend of this benchmark"):
        _solvers(suite, ["greedy"], ["tabu:walks=3"])
    with pytest.raises(InputError, match="no option 'heat'"):
        _solvers(suite, [], ["ocean-annealing:heat=3"])
