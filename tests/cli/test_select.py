"""`qubo-prune select`: a selection of a tiny model, its files, resuming, bad input, exit codes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qubo_prune import Problem, load_hessian, solve
from qubo_prune.core.files.hessian import save_hessian
from qubo_prune.pruning.selection import Selection

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

BLOCKS = 6


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny model, samples and a Hessian that fits it."""
    folder = tmp_path_factory.mktemp("model")
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=64,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=BLOCKS,
        num_attention_heads=4,
        num_key_value_heads=2,
        initializer_range=0.2,
    )
    transformers.LlamaForCausalLM(config).save_pretrained(folder)
    rng = np.random.default_rng(0)
    np.save(folder / "tokens.npy", rng.integers(0, 64, (20, 10)))
    factor = rng.standard_normal((20, BLOCKS))
    names = [f"layers.{i}" for i in range(BLOCKS)]
    save_hessian(folder / "h.npy", factor.T @ factor / 20, names=names)
    return folder


def arguments(model: Path, out: Path, *more: object, remove: int = 2) -> list[object]:
    data = ["--data", model / "tokens.npy", "--samples", 12, "--evaluations", 14]
    return ["select", model, *data, "--remove", remove, "--out", out, *more]


def test_a_selection_with_everything(run: Any, model: Path, tmp_path: Path) -> None:
    out, learned, plot = tmp_path / "s.json", tmp_path / "q.npy", tmp_path / "s.svg"
    (tmp_path / "list.txt").write_text("1,4\n")
    spectrum = tmp_path / "spectrum.json"
    solve(Problem.load(model / "h.npy", 2), num_states=9).save(spectrum)
    ran = run(
        *arguments(model, out, "--hessian", model / "h.npy", "--spectrum", spectrum),
        *("--propose", tmp_path / "list.txt", "--criteria", "last,block-influence"),
        *("--hessian-out", learned, "--plot", plot),
    )
    assert (ran.code, ran.err) == (0, f"qubo-prune: wrote {out} and {plot}\n")
    assert "held-out samples" in ran.out
    selection = Selection.load(out)
    by = {name for each in selection for name in each.proposed_by.split(", ")}
    assert {"list.txt", "last", "block-influence", "energy"} <= by
    assert selection.num_evaluations <= 14
    assert selection.samples["choosing"] == selection.samples["held_out"] == 6
    assert selection.names == tuple(f"layers.{i}" for i in range(BLOCKS))
    assert selection.baseline is not None
    assert selection.model_fingerprint
    assert plot.read_bytes().startswith(b"<?xml")
    file = load_hessian(learned)
    assert file.metadata["source"]["measurements"] == selection.num_evaluations
    assert file.names == selection.names
    solved = run("solve", learned, "--states", 1, "--json")
    assert json.loads(solved.out)["remove"] == 2


def test_the_json_is_the_file_and_the_same_command_measures_nothing_again(
    run: Any, model: Path, tmp_path: Path
) -> None:
    out = tmp_path / "s.json"
    first = run(*arguments(model, out, "--json", "-q"))
    assert (first.code, first.err) == (0, "")
    document = json.loads(first.out)
    assert document == json.loads(out.read_text())
    best = document["removals"][0]
    counts = document["parameter_counts"]
    assert best["parameters_removed"] == sum(counts[block] for block in best["removed"])
    assert best["share_removed"] == best["parameters_removed"] / sum(counts)
    shown = run("show", out, "--names").out
    assert f"-{best['share_removed']:.1%}" in shown
    named = [f"layers.{block}" for block in best["removed"]]
    assert ", ".join(named) in shown.split("━┛")[0].split("━┩")[-1]
    state = tmp_path / "s.measurements.jsonl"
    before = state.read_bytes()
    again = json.loads(run(*arguments(model, out, "--json")).out)
    assert state.read_bytes() == before
    assert {**again, "seconds": 0} == {**document, "seconds": 0}


def test_measured_values_are_those_of_the_objective(run: Any, model: Path, tmp_path: Path) -> None:
    from qubo_prune.hessians.calibration import load_calibration
    from qubo_prune.hessians.gates.gates import find_gates
    from qubo_prune.hessians.language_model import load_model
    from qubo_prune.pruning.measurement import ModelObjective

    out = tmp_path / "s.json"
    run(*arguments(model, out, "--objective", "kl", "--held-out", 0, "-q"))
    selection = Selection.load(out)
    assert (selection.objective, selection.num_held_out) == ("kl", 0)
    loaded = load_model(str(model), device_map="cpu")
    samples = load_calibration(model / "tokens.npy", num_samples=12, sequence_length=512)
    objective = ModelObjective(loaded, find_gates(loaded), samples, objective="kl")
    [measured] = objective.measure([selection.best.removed])
    assert selection.best.objective == pytest.approx(measured.value, rel=1e-6)
    assert selection.best.standard_error == pytest.approx(measured.standard_error, rel=1e-6)


def test_branches_with_counts_keep_and_force(run: Any, model: Path, tmp_path: Path) -> None:
    out = tmp_path / "s.json"
    ran = run(
        *arguments(model, out, "--remove", "mlp=2", remove="attention=1"),  # type: ignore[arg-type]
        *("--granularity", "branch", "--keep", "layers.0.mlp", "--force", "layers.5.attention"),
    )
    assert (ran.code, ran.err) == (0, f"qubo-prune: wrote {out}\n")
    for index in range(len(selection := Selection.load(out))):
        names = selection.removed_names(index)
        assert "layers.5.attention" in names
        assert "layers.0.mlp" not in names
        assert sum(name.endswith("mlp") for name in names) == 2


def test_a_time_limit_keeps_what_was_found(run: Any, model: Path, tmp_path: Path) -> None:
    out = tmp_path / "s.json"
    ran = run(*arguments(model, out, "--time-limit", 1e-9))
    assert ran.code == 3
    assert Selection.load(out).stop_reason.value == "time limit"
    assert run(*arguments(model, out)).code == 0
    assert len(Selection.load(out))


def bad(model: Path, tmp_path: Path) -> dict[str, tuple[list[object], str]]:
    out, h = tmp_path / "s.json", load_hessian(model / "h.npy").hessian
    save_hessian(tmp_path / "small.npy", h[:4, :4])
    save_hessian(tmp_path / "named.npy", h, names=[f"blocks.{i}" for i in range(BLOCKS)])
    print_of_another = {"model_fingerprint": "0" * 64, "dtype": "float32"}
    save_hessian(tmp_path / "other.npy", h, **print_of_another)
    solve(Problem(np.eye(BLOCKS), 2), num_states=2).save(tmp_path / "spectrum.json")
    (tmp_path / "list.txt").write_text("1,2,3\n")
    (tmp_path / "empty.jsonl").write_text("")
    return {
        "too many": (arguments(model, out, remove=9), "remove"),
        "none said": (
            ["select", model, "--data", model / "tokens.npy", "--out", out],
            "say how many blocks to remove: --remove M.",
        ),
        "count": (
            arguments(model, out, "--hessian", tmp_path / "small.npy"),
            "Hessian of 4 blocks",
        ),
        "names": (arguments(model, out, "--hessian", tmp_path / "named.npy"), "called 'blocks.0'"),
        "fingerprint": (
            arguments(model, out, "--hessian", tmp_path / "other.npy"),
            "its model_fingerprint is",
        ),
        "spectrum": (
            arguments(
                model, out, "--hessian", model / "h.npy", "--spectrum", tmp_path / "spectrum.json"
            ),
            "the spectrum is of another Hessian",
        ),
        "proposal": (
            arguments(model, out, "--propose", tmp_path / "list.txt"),
            "list.txt proposes to remove the 3 blocks 1-3",
        ),
        "no proposal": (arguments(model, out, "--propose", tmp_path / "no.txt"), "no file"),
        "no samples": (
            ["select", model, "--data", tmp_path / "empty.jsonl", "--remove", 2, "--out", out],
            "empty",
        ),
        "suffix": (arguments(model, tmp_path / "s.txt"), "must end in .json"),
        "quadratic": (
            arguments(model, out, "--hessian-out", tmp_path / "q.txt"),
            "must end in .npy",
        ),
        "both": (
            arguments(model, out, "--hessian-out", tmp_path / "s.npy"),
            "--hessian-out and --out both name",
        ),
        "criterion": (arguments(model, out, "--criteria", "single-loss"), "the loop does itself"),
        "objective": (arguments(model, out, "--objective", "score"), "takes loss or kl"),
        "share": (arguments(model, out, "--held-out", 1.5), "--held-out must be at least 0"),
        "evaluations": (
            arguments(model, out, "--evaluations", 0),
            "evaluations must be at least 1",
        ),
    }


CASES = (
    "too many", "none said", "count", "names", "fingerprint", "spectrum", "proposal",
    "no proposal", "no samples", "suffix", "quadratic", "both", "criterion", "objective", "share",
    "evaluations",
)  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_bad_input_is_one_line(run: Any, model: Path, tmp_path: Path, name: str) -> None:
    command, words = bad(model, tmp_path)[name]
    ran = run(*command)
    assert ran.code == 2
    [line] = ran.err.splitlines()
    assert line.startswith("qubo-prune: error: ")
    assert words in line
    assert not (tmp_path / "s.json").exists()


def test_the_measurements_of_other_samples_are_refused(
    run: Any, model: Path, tmp_path: Path
) -> None:
    out = tmp_path / "s.json"
    assert run(*arguments(model, out, "-q")).code == 0
    ran = run(*arguments(model, out, "--seed", 1))
    assert ran.code == 2
    assert "is of another run, with sample_indices" in ran.err
