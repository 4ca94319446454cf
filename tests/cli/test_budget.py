"""--budget and --weights: what is said of them, what is refused, and what is kept."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qubo_prune import Problem, Spectrum
from qubo_prune.hessians import save_hessian
from qubo_prune.pruning import Selection
from tests.exhaustive import lowest_of_all_counts

SIZES = [30, 10, 40, 10, 50, 20]
EXHAUSTIVE = f"{Path(__file__).parent.parent / 'exhaustive.py'}:Exhaustive"


@pytest.fixture
def hessian(tmp_path: Path) -> Path:
    factor = np.random.default_rng(0).normal(size=(12, len(SIZES)))
    path = tmp_path / "h.npy"
    save_hessian(path, factor.T @ factor / 12, names=list("abcdef"), parameter_counts=SIZES)
    return path


def test_the_lowest_of_any_number_of_blocks(run: Any, hessian: Path, tmp_path: Path) -> None:
    out = tmp_path / "s.json"
    ran = run(
        "solve", hessian, "--budget", "40%", "--states", 4, "--backend", EXHAUSTIVE, "--out", out
    )
    assert ran.code == 0, ran.err
    assert "any number of 6 blocks, at least 40% of their parameters" in " ".join(ran.out.split())
    problem = Problem.load(hessian, at_least="40%")
    truth = lowest_of_all_counts(problem, 64, SIZES)
    spectrum = Spectrum.load(out)
    spectrum.check(problem)
    assert [state.removed for state in spectrum] == [removed for _, removed in truth[:4]]
    shown = run("show", out)
    assert "40% of their parameters" in " ".join(shown.out.split())
    found = json.loads(run("show", out, "--json").out)
    assert (found["at_least"], found["weights"], found["remove"]) == ("40%", SIZES, None)
    assert found["weight_removed"][0] == sum(SIZES[block] for block in truth[0][1])


def test_a_count_and_a_budget(run: Any, hessian: Path, tmp_path: Path) -> None:
    (tmp_path / "w.csv").write_text("name,bytes\nb,1\na,2.5\nc,1\nd,1\ne,1\nf,1\n")
    ran = run(
        *("solve", hessian, "--remove", 2, "--budget", 3.5, "--weights", tmp_path / "w.csv"),
        *("--backend", EXHAUSTIVE, "--json"),
    )
    found = json.loads(ran.out)
    assert (found["remove"], found["at_least"], found["num_proven"]) == (2, 3.5, 5)
    assert all(0 in removed for removed in found["removed"])
    assert found["weight_removed"] == [3.5] * 5


def test_a_sweep_says_which_counts_are_left_out(run: Any, hessian: Path, tmp_path: Path) -> None:
    folder, proofs = tmp_path / "sweep", tmp_path / "proofs"
    ran = run(
        *("sweep", hessian, "--budget", "75%", "--to", 5, "--backend", EXHAUSTIVE),
        *("--out", folder, "--certificate", proofs),
    )
    assert ran.code == 0, ran.err
    assert "--budget 75% takes 3 blocks at least: smaller M are left out." in ran.err
    assert sorted(each.name for each in folder.iterdir()) == [f"remove-{m}.json" for m in (3, 4, 5)]
    assert run("show", folder).out.count("\n") >= 4
    verified = run("verify", proofs, "--hessian", hessian)
    assert verified.code == 0, verified.out + verified.err


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"a": 1, "b": 2}', "c and 3 more are missing"),
        ('{"a": 1, "b": 2, "c": 1, "d": 1, "e": 1, "f": 1, "g": 1}', "g is none of the 6 blocks"),
        ('{"a": 1, "a": 2}', "the key 'a' is there twice"),
        ("[1, 2, 3]", "it has 3 numbers, but there are 6 blocks"),
        ("[1, 2, 3, 4, 5, -6]", "f weighs -6, which is less than 0"),
        ('[1, 2, 3, 4, 5, "x"]', "entry 5 weighs 'x', which is no number"),
        ("7", "it holds 7"),
        ("a,1\na,2\n", "a is there 2 times"),
        ("name,weight\na,one\n", "a weighs 'one', which is no number"),
        ("a,1\nb\n", "its lines have 1, 2 cells, not 1 or 2"),
        ("", "is empty (0 bytes)"),
    ],
)
def test_weights_that_mean_nothing_are_refused(
    run: Any, hessian: Path, tmp_path: Path, content: str, message: str
) -> None:
    path = tmp_path / ("w.json" if content[:1] in "[{7" and content else "w.csv")
    path.write_text(content)
    ran = run("solve", hessian, "--budget", "20%", "--weights", path)
    assert (ran.code, ran.err.count("\n"), ran.out) == (2, 1, "")
    assert message in ran.err
    assert path.name in ran.err


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (["solve", "--budget", "a lot"], "--budget takes a share or a number of at least 0"),
        (["solve", "--budget=-3"], "--budget takes a share or a number of at least 0, not '-3'"),
        (["solve", "--budget", "120%"], "up to '100%', not '120%'"),
        (["solve", "--budget", "nan"], "--budget takes a share or a number"),
        (["solve", "--weights", "w.json"], "there is no --budget"),
        (["solve", "--budget", "20%", "--weights", "none.json"], "there is no file none.json"),
        (["solve", "--budget", "20%", "--certificate", "c.json"], "say which by --remove M"),
        (["solve", "--budget", "20%", "--checkpoint", "c.bin"], "say which by --remove M"),
        (["solve", "--budget", "99%", "--remove", "2"], "heaviest 2 blocks"),
        (["sweep", "--budget", "99%", "--remove", "1,2"], "takes 6 blocks at least"),
        (["plan", "--budget", "20%"], "but no count"),
        (["bound", "--budget", "20%"], "but no count"),
        (["export", "--budget", "20%", "--remove", "3"], "which the format cqm cannot hold"),
    ],
)
def test_budgets_that_mean_nothing_are_refused(
    run: Any, hessian: Path, tmp_path: Path, command: list[str], message: str
) -> None:
    more = [tmp_path / "x.cqm"] if command[0] == "export" else []
    out = ["--out", *more] if more else []
    ran = run(command[0], hessian, *command[1:], *out)
    assert (ran.code, ran.err.count("\n"), ran.out) == (2, 1, ""), ran.err
    assert message in ran.err


def test_a_hessian_that_tells_no_sizes(run: Any) -> None:
    ran = run("solve", "bytelm-40-block", "--budget", "20%")
    assert ran.code == 2
    assert "bytelm-40-block tells no parameters; give a .json or .csv file" in ran.err


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model whose attention and MLP branches are of different sizes."""
    transformers = pytest.importorskip("transformers")
    folder = tmp_path_factory.mktemp("model")
    config = transformers.LlamaConfig(
        vocab_size=64,
        hidden_size=32,
        intermediate_size=96,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=2,
        initializer_range=0.2,
    )
    transformers.LlamaForCausalLM(config).save_pretrained(folder)
    rng = np.random.default_rng(0)
    np.save(folder / "tokens.npy", rng.integers(0, 64, (12, 10)))
    return folder


def test_select_by_a_budget_alone_and_again_after_a_stop(
    run: Any, model: Path, tmp_path: Path
) -> None:
    out = tmp_path / "s.json"
    command = (
        *("select", model, "--data", model / "tokens.npy", "--samples", 8, "--evaluations", 16),
        *("--granularity", "branch", "--budget", "35%", "--out", out),
    )
    ran = run(*command)
    assert ran.code == 0, ran.err
    assert "All remove at least 35% of parameters" in ran.out or "parameters" in ran.out
    selection = Selection.load(out)
    assert (selection.remove, selection.at_least, selection.weights_of) == (
        *(None, "35%", "parameters"),
    )
    assert selection.weights == selection.parameter_counts
    assert len(set(selection.weights)) == 2
    for index in range(len(selection)):
        weight = selection.weight_removed(index)
        assert weight is not None
        assert weight[1] >= 0.35
    assert len(selection) >= 2
    written = json.loads(out.read_text())
    assert written["removals"][0]["weight_share"] == selection.weight_removed(0)[1]
    measurements = (tmp_path / "s.measurements.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "s.measurements.jsonl").write_text("".join(measurements[:6]) + measurements[6][:9])
    out.unlink()
    assert run(*command).code == 0
    again = Selection.load(out)
    assert again.removals == selection.removals
    shown = run("show", out)
    assert shown.code == 0


def test_the_cache_is_what_attention_frees(model: Path) -> None:
    from qubo_prune.hessians import find_gates, load_model
    from qubo_prune.pruning.block_weights import block_weights

    gates = find_gates(load_model(str(model), dtype="float32"), "branch")
    sizes = block_weights(gates, "parameters")
    assert block_weights(gates, "bytes") == tuple(4 * size for size in sizes)
    # Keys and values of 2 heads of 8 numbers, 4 bytes each; of an MLP nothing.
    assert block_weights(gates, "kv-cache") == (2 * 2 * 8 * 4, 0) * 4
    layers = find_gates(gates.model, "block")
    assert block_weights(layers, "kv-cache") == (2 * 2 * 8 * 4,) * 4


def test_criteria_go_on_until_the_budget_is_reached(run: Any, model: Path) -> None:
    ran = run(
        *("criteria", model, "--data", model / "tokens.npy", "--samples", 4, "--criteria", "last"),
        *("--granularity", "branch", "--budget", "50%", "--json"),
    )
    assert ran.code == 0, ran.err
    found = json.loads(ran.out)
    assert (found["at_least"], found["criteria"][0]["removed"]) == ("50%", [4, 5, 6, 7])
