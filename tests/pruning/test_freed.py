"""What `prune` says that a removal frees, against the files and caches of what it wrote."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from safetensors.torch import load_file  # noqa: E402

from qubo_prune.core.problem.problem import Problem  # noqa: E402
from qubo_prune.hessians.gates.gates import find_gates  # noqa: E402
from qubo_prune.pruning.block_weights import block_weights  # noqa: E402
from qubo_prune.pruning.problem_of_model import problem_of  # noqa: E402
from qubo_prune.pruning.pruner import Pruned, prune  # noqa: E402
from qubo_prune.pruning.removal.choice import choose  # noqa: E402
from qubo_prune.pruning.removal.verification import Expectation  # noqa: E402
from qubo_prune.pruning.rewriting.rewriter import prune_folder  # noqa: E402
from qubo_prune.pruning.selection import Candidate, Selection  # noqa: E402
from qubo_prune.solving.solve import solve  # noqa: E402
from tests.pruning.test_prune import deep  # noqa: E402


@pytest.fixture(scope="module")
def llama() -> Any:
    return deep("llama")


def bytes_of(folder: Path) -> int:
    return sum(each.nbytes for each in load_file(folder / "model.safetensors").values())


def freed_of(pruned: Pruned) -> tuple[Any, ...]:
    return tuple(each and each["freed"] for each in pruned.freed.values())


def test_whole_layers(llama: Any, tmp_path: Path) -> None:
    gates = find_gates(llama)
    pruned = prune(llama, [1, 3], tmp_path / "out")
    removed = (
        sum(block_weights(gates, what)[i] for i in (1, 3)) for what in ("parameters", "bytes")
    )
    cached = block_weights(gates, "kv-cache")
    assert freed_of(pruned) == (*removed, cached[1] + cached[3])
    cache = pruned.freed["cache_per_token"]
    assert cache is not None
    assert (cache["before"], cache["share"]) == (sum(cached), 0.5)
    sizes = pruned.freed["bytes"]
    assert sizes is not None
    assert sizes["after"] == bytes_of(tmp_path / "out")
    card = (tmp_path / "out" / "README.md").read_text()
    assert f"| KV cache per token | {sum(cached)} B | {cached[1] * 2} B |" in card
    assert pruned.to_dict()["freed"] == pruned.freed


def test_branches_as_zeros_free_nothing_and_missing_ones_do(llama: Any, tmp_path: Path) -> None:
    gates = find_gates(llama, "branch")
    number = gates.gates[1].num_parameters
    zero = prune(llama, ["layers.0.mlp"], tmp_path / "a", branches="zero")
    assert freed_of(zero) == (0, 0, 0)
    assert "KV cache" not in (tmp_path / "a" / "README.md").read_text()
    missing = prune(llama, ["layers.0.mlp"], tmp_path / "b", branches="module")
    assert freed_of(missing) == (number, 4 * number, 0)
    attention = prune(llama, ["layers.0.attention"], tmp_path / "c", branches="module")
    gone, noted = block_weights(gates, "kv-cache")[0], 2 * 4  # a number for keys, and for values
    assert freed_of(attention)[2] == gone - noted


def test_without_loading_the_cache_is_not_known(llama: Any, tmp_path: Path) -> None:
    llama.save_pretrained(tmp_path / "in")
    loaded = prune(llama, [0], tmp_path / "a")
    files = prune_folder(tmp_path / "in", [0], tmp_path / "b")
    assert files.freed == {**loaded.freed, "cache_per_token": None}
    full = prune_folder(tmp_path / "in", [0], tmp_path / "c", verify="full")
    assert full.freed == loaded.freed


def test_a_model_whose_cache_cannot_be_read_is_pruned_all_the_same(
    llama: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: Any) -> None:
        raise RuntimeError

    monkeypatch.setattr("qubo_prune.pruning.removal.verification.cache_bytes", fail)
    assert Expectation(find_gates(llama), (0,), 1).cache_per_token is None
    assert prune(llama, [0], tmp_path / "out").freed["cache_per_token"] is None


def test_a_choice_by_budget_tells_what_it_weighs() -> None:
    names = ["layers.0", "layers.1", "layers.2"]
    weights = [0.1, 0.2, 0.3]
    problem = Problem([[3.0, 0, 0], [0, 1, 0], [0, 0, 2]], 1, weights=weights, at_least=0.2)
    budget = {"at_least": 0.2, "weight_removed": 0.3, "weight_share": pytest.approx(0.5)}
    facts = choose(solve(problem, num_states=2), names, 1).facts
    assert {key: facts[key] for key in budget} == budget
    candidate = Candidate(removed=(2,), objective=1.0, standard_error=0.1, proposed_by="single")
    selection = Selection(
        removals=(candidate,), objective="loss", num_evaluations=1, remove=1, names=names,
        at_least=0.2, weights=weights, weights_of="times/ms.json",
    )  # fmt: skip
    facts = choose(selection, names).facts
    assert {key: facts[key] for key in budget} == budget
    assert facts["weights_of"] == "times/ms.json"
    table = selection.to_table()
    assert "ms.json" in [column.header for column in table.columns]
    assert "All remove at least 0.2 of ms.json." in str(table.caption)
    assert "at_least" not in choose(solve(Problem(problem.hessian, 1), num_states=1), names).facts


HYBRIDS = {
    "nemotron_h": ("layers_block_type", ["mamba", "attention", "mlp", "attention", "attention"]),
    "lfm2": ("layer_types", ["conv", "full_attention"] * 3),
}


@pytest.mark.parametrize("name", HYBRIDS)
def test_a_budget_of_the_cache_of_a_hybrid_is_what_pruning_frees(name: str, tmp_path: Path) -> None:
    """Only attention has a cache that grows, so that others do not count for it."""
    key, kinds = HYBRIDS[name]
    model = deep(name, num_hidden_layers=len(kinds), **{key: kinds})
    gates = find_gates(model)
    cached = np.array(block_weights(gates, "kv-cache"))
    assert (cached > 0).tolist() == ["attention" in kind for kind in kinds]
    costs = np.where(cached > 0, 5.0, 1.0)
    problem = problem_of(gates, None, None, at_least="40%", weights="kv-cache").with_hessian(
        np.diag(costs)
    )
    spectrum = solve(problem, num_states=3)
    assert spectrum.num_proven == 3
    assert (spectrum.states @ cached >= 0.4 * cached.sum()).all()
    pruned = prune(model, spectrum, tmp_path / "out")
    cache = pruned.freed["cache_per_token"]
    assert cache is not None
    assert (cache["before"], cache["freed"]) == (cached.sum(), cached[list(pruned.removed)].sum())
    assert cache["share"] >= 0.4
