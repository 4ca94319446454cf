"""Extraction: H is A'A/m whatever interrupts the way there, and the sidecar says what it is."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qubo_prune import InputError, Problem, StopReason, load_hessian
from qubo_prune.cli.main import main
from qubo_prune.core.errors import OutputError
from qubo_prune.core.files.gradients import load_gradients
from qubo_prune.hessians.calibration import Calibration
from qubo_prune.hessians.extraction import extract, gauss_newton

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from qubo_prune.hessians import gradients as gradients_module  # noqa: E402
from qubo_prune.hessians.gates.gates import find_gates  # noqa: E402
from qubo_prune.hessians.gradients import sample_gradients  # noqa: E402
from qubo_prune.hessians.language_model import fingerprint, load_model, load_tokenizer  # noqa: E402

VOCABULARY = 60


def make_model(dtype: Any = torch.float32, seed: int = 0) -> Any:
    torch.manual_seed(seed)
    config = transformers.LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=3,
        num_attention_heads=2,
        num_key_value_heads=2,
        initializer_range=0.3,
        attention_dropout=0.5,
    )
    return transformers.LlamaForCausalLM(config).to(dtype).eval()


def make_calibration(count: int = 11, seed: int = 0) -> Calibration:
    random = np.random.default_rng(seed)
    tokens = [random.integers(0, VOCABULARY, random.integers(2, 9)) for _ in range(count)]
    return Calibration(
        tokens=tuple(tokens),
        targets=tuple(np.arange(len(each)) > 0 for each in tokens),
        indices=np.arange(count) * 3,
        description={"source": "random tokens", "seed": seed},
    )


def rows_one_by_one(model: Any, calibration: Calibration) -> tuple[Any, Any]:
    gates = find_gates(model)
    pairs = [
        sample_gradients(gates, [tokens], [targets])
        for tokens, targets in zip(calibration.tokens, calibration.targets, strict=True)
    ]
    return np.concatenate([loss for loss, _ in pairs]), np.concatenate([row for _, row in pairs])


def test_the_hessian_and_its_sidecar_are_those_of_single_samples(tmp_path: Path) -> None:
    model, calibration = make_model(), make_calibration()
    losses, rows = rows_one_by_one(model, calibration)
    out = tmp_path / "h.npy"
    extraction = extract(model, calibration, out, batch_size=4, with_gradients=True)
    assert extraction.complete
    assert extraction.stop_reason is StopReason.COMPLETED
    file = load_hessian(out)
    np.testing.assert_allclose(file.hessian, rows.T @ rows / len(rows), rtol=1e-4)
    np.testing.assert_allclose(
        load_gradients(tmp_path / "h.grads.npy", 3), rows, rtol=1e-3, atol=1e-6
    )
    np.testing.assert_allclose(file.mean_gradient, rows.mean(axis=0), rtol=1e-3, atol=1e-6)
    said = file.metadata
    assert said["loss"] == pytest.approx(losses.mean(), rel=1e-5)
    assert said["samples"] == len(calibration)
    assert said["sample_indices"] == calibration.indices.tolist()
    assert said["calibration"] == calibration.description
    assert said["sequence_length"] == max(map(len, calibration.tokens))
    assert said["granularity"] == "block"
    assert said["gates"] == {"method": "branch", "layers": "model.layers", "whole_layers": {}}
    assert file.names == ("layers.0", "layers.1", "layers.2")
    assert file.kinds == ("layer", "layer", "layer")
    inner = sum(p.numel() for p in model.model.layers.parameters())
    assert sum(said["parameter_counts"]) == inner
    assert sorted(path.name for path in tmp_path.iterdir()) == ["h.grads.npy", "h.json", "h.npy"]
    assert Problem.load(out, remove=1).num_states == 3


def test_gauss_newton_is_symmetric_and_the_mean_of_outer_products() -> None:
    rows = np.random.default_rng(0).normal(size=(50, 7))
    h = gauss_newton(rows)
    assert (h == h.T).all()
    np.testing.assert_allclose(h, np.mean([np.outer(row, row) for row in rows], axis=0))


class BrokenOff(Exception):  # noqa: N818 - nothing is wrong
    """Raised in the middle of an extraction."""


def stopped(model: Any, calibration: Calibration, out: Path, monkeypatch: Any) -> Path:
    """Extract until an exception comes out of the third batch."""
    compute = gradients_module.sample_gradients
    calls = []

    def failing(*arguments: Any) -> Any:
        calls.append(1)
        if len(calls) == 3:
            raise BrokenOff
        return compute(*arguments)

    with monkeypatch.context() as patched:
        patched.setattr("qubo_prune.hessians.unfinished_rows.INTERVAL_SECONDS", 0.0)
        patched.setattr(gradients_module, "sample_gradients", failing)
        with pytest.raises(BrokenOff):
            extract(model, calibration, out, batch_size=2)
    return out.with_suffix(".partial.npz")


def test_an_extraction_that_broke_off_goes_on_to_the_same_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, calibration = make_model(), make_calibration()
    extract(model, calibration, tmp_path / "whole.npy", batch_size=2)
    partial = stopped(model, calibration, tmp_path / "parts.npy", monkeypatch)
    seen = []
    compute = gradients_module.sample_gradients

    def counting(gates: Any, tokens: Any, targets: Any) -> Any:
        seen.append(len(tokens))
        return compute(gates, tokens, targets)

    monkeypatch.setattr(gradients_module, "sample_gradients", counting)
    # The batches stay as they were, whatever is asked for now.
    assert extract(model, calibration, tmp_path / "parts.npy", batch_size=7).batch_size == 2
    assert sum(seen) == len(calibration) - 4
    assert not partial.exists()
    whole, parts = load_hessian(tmp_path / "whole.npy"), load_hessian(tmp_path / "parts.npy")
    assert whole.sha256 == parts.sha256
    assert whole.metadata == parts.metadata


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"model": make_model(seed=1)}, "model_fingerprint="),
        ({"calibration": make_calibration(seed=1)}, "samples_sha256="),
        ({"granularity": "branch"}, "gates="),
        ({"shard": (1, 2)}, "samples_sha256="),
    ],
    ids=["model", "samples", "granularity", "shard"],
)
def test_another_extraction_does_not_go_on(
    change: dict[str, Any], told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: dict[str, Any] = {"model": make_model(), "calibration": make_calibration()}
    out = tmp_path / "h.npy"
    stopped(given["model"], given["calibration"], out, monkeypatch)
    with pytest.raises(InputError, match=f"is of another extraction, with {told}"):
        extract(out=out, **(given | change))


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda data: data[:100], "not a valid file of an unfinished extraction"),
        (lambda data: b"", "is empty"),
    ],
    ids=["truncated", "empty"],
)
def test_a_damaged_file_of_an_unfinished_extraction_is_refused(
    damage: Any, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, calibration, out = make_model(), make_calibration(), tmp_path / "h.npy"
    partial = stopped(model, calibration, out, monkeypatch)
    partial.write_bytes(damage(partial.read_bytes()))
    with pytest.raises(InputError, match=told):
        extract(model, calibration, out)


def test_a_time_limit_keeps_what_is_done(tmp_path: Path) -> None:
    model, calibration, out = make_model(), make_calibration(), tmp_path / "h.npy"
    first = extract(model, calibration, out, batch_size=1, time_limit=1e-6)
    assert first.stop_reason is StopReason.TIME_LIMIT
    assert not first.complete
    assert not out.exists()
    assert extract(model, calibration, out).complete


def test_memory_that_runs_out_halves_the_batches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compute = gradients_module.sample_gradients

    def limited(gates: Any, tokens: Any, targets: Any) -> Any:
        if len(tokens) > 3:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return compute(gates, tokens, targets)

    model, calibration = make_model(), make_calibration()
    extract(model, calibration, tmp_path / "whole.npy")
    monkeypatch.setattr(gradients_module, "sample_gradients", limited)
    extraction = extract(model, calibration, tmp_path / "small.npy", batch_size=10)
    assert extraction.batch_size == 2
    np.testing.assert_allclose(
        np.load(tmp_path / "small.npy"), np.load(tmp_path / "whole.npy"), rtol=1e-4
    )


def test_a_sample_too_large_for_the_memory_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(gradients_module, "sample_gradients", full)
    with pytest.raises(InputError, match="single sample of 8 tokens; use gradient checkpointing"):
        extract(make_model(), make_calibration(), tmp_path / "h.npy")


def test_errors_of_the_model_are_passed_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> Any:
        raise RuntimeError("shapes do not fit")

    monkeypatch.setattr(gradients_module, "sample_gradients", broken)
    with pytest.raises(RuntimeError, match="shapes do not fit"):
        extract(make_model(), make_calibration(), tmp_path / "h.npy")


def test_shards_take_the_samples_apart(tmp_path: Path) -> None:
    model, calibration = make_model(), make_calibration()
    extract(model, calibration, tmp_path / "whole.npy")
    total, indices = np.zeros((3, 3)), []
    for i in (1, 2, 3):
        extract(model, calibration, tmp_path / f"{i}.npy", shard=(i, 3))
        file = load_hessian(tmp_path / f"{i}.npy")
        assert file.metadata["shard"] == {"index": i, "of": 3}
        total += file.hessian * file.metadata["samples"]
        indices += file.metadata["sample_indices"]
    assert indices == calibration.indices.tolist()
    np.testing.assert_allclose(total / 11, np.load(tmp_path / "whole.npy"), rtol=1e-4)


def test_gradient_checkpointing_changes_no_gradient_and_leaves_no_trace(tmp_path: Path) -> None:
    model, calibration = make_model(), make_calibration()
    extract(model, calibration, tmp_path / "a.npy")
    extract(model, calibration, tmp_path / "b.npy", gradient_checkpointing=True)
    np.testing.assert_allclose(np.load(tmp_path / "b.npy"), np.load(tmp_path / "a.npy"), rtol=1e-5)
    assert not any(layer.gradient_checkpointing for layer in model.model.layers)
    assert not any(module.training for module in model.modules())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_a_narrow_dtype_is_compared_with_float32(dtype: Any, tmp_path: Path) -> None:
    model, calibration = make_model(dtype), make_calibration()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    extract(model, calibration, tmp_path / "h.npy", check_dtype=4)
    check = load_hessian(tmp_path / "h.npy").metadata["dtype_check"]
    assert check["samples"] == 4
    assert 0.0 < check["median_relative_error"] <= check["largest_relative_error"] < 0.3
    after = model.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert model.dtype == dtype


def test_the_fingerprint_tells_weights_apart() -> None:
    model = make_model()
    assert fingerprint(model) == fingerprint(make_model())
    assert fingerprint(model) != fingerprint(make_model(seed=1))
    assert fingerprint(model) != fingerprint(make_model(torch.bfloat16))


def test_a_file_that_is_there_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "h.npy").touch()
    with pytest.raises(InputError, match="exists, and extraction replaces nothing"):
        extract(make_model(), make_calibration(), tmp_path / "h.npy")


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model and two files of tokens."""
    folder = tmp_path_factory.mktemp("saved")
    make_model().save_pretrained(folder / "model")
    random = np.random.default_rng(0)
    np.save(folder / "tokens.npy", random.integers(0, VOCABULARY, (24, 16)))
    return folder


def arguments(saved: Path, out: Path, *more: str) -> list[str]:
    data = ["--data", str(saved / "tokens.npy"), "--samples", "16"]
    return ["extract", str(saved / "model"), *data, "--out", str(out), *more]


def test_the_command_writes_a_hessian(saved: Path, tmp_path: Path, capsys: Any) -> None:
    out = tmp_path / "h.npy"
    assert main(arguments(saved, out, "--save-gradients", "--granularity", "branch")) == 0
    assert "16 samples" in capsys.readouterr().out
    file = load_hessian(out)
    assert file.kinds == ("attention", "mlp") * 3
    assert file.metadata["model"] == str(saved / "model")
    rows = load_gradients(tmp_path / "h.grads.npy", 6)
    np.testing.assert_allclose(gauss_newton(rows), file.hessian, rtol=1e-5, atol=1e-12)
    assert main(["solve", str(out), "--remove", "2", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["status"] == "proven"


def test_the_command_tells_what_it_did_as_json(saved: Path, tmp_path: Path, capsys: Any) -> None:
    out = tmp_path / "h.npy"
    assert main(arguments(saved, out, "--json", "--time-limit", "0.000001")) == 3
    facts = json.loads(capsys.readouterr().out)
    assert (facts["complete"], facts["num_samples"], facts["stop_reason"]) == (
        False,
        16,
        "time limit",
    )


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (["--shard", "3/2"], "--shard takes I/N"),
        (["--dtype", "int8"], "--dtype must be one of auto, float32"),
        (["--granularity", "head"], "--granularity must be 'block' or 'branch'"),
        (["--batch-size", "0"], "--batch-size must be at least 1"),
        (["--layers", "model.nowhere"], "model.nowhere"),
    ],
    ids=str,
)
def test_mistakes_are_told_in_one_line(
    change: list[str], told: str, saved: Path, tmp_path: Path, capsys: Any
) -> None:
    assert main(arguments(saved, tmp_path / "h.npy", *change)) == 2
    error = capsys.readouterr().err
    assert told in error
    assert error.count("\n") == 1


def test_a_model_that_is_not_there_is_told() -> None:
    with pytest.raises(InputError, match="the model '/nowhere/at-all' cannot be loaded"):
        load_model("/nowhere/at-all")


def test_a_model_without_a_tokenizer_takes_tokens_only(
    saved: Path, tmp_path: Path, capsys: Any
) -> None:
    assert load_tokenizer(str(saved / "model")) is None
    (tmp_path / "text.jsonl").write_text('{"text": "words"}\n')
    command = arguments(saved, tmp_path / "h.npy", "--data", str(tmp_path / "text.jsonl"))
    assert main(command) == 2
    assert "tokenizer" in capsys.readouterr().err


def test_a_killed_command_goes_on_to_the_same_bits(saved: Path, tmp_path: Path) -> None:
    """SIGKILL once the first samples are kept."""
    out, whole = tmp_path / "killed.npy", tmp_path / "whole.npy"
    assert main(arguments(saved, whole, "--batch-size", "1", "--quiet")) == 0
    slow = (
        "import sys, time, qubo_prune.hessians.unfinished_rows as rows\n"
        "from qubo_prune.cli.main import main\n"
        "rows.INTERVAL_SECONDS, add = 0.0, rows.GradientRows.add\n"
        "rows.GradientRows.add = lambda *given: (add(*given), time.sleep(0.2))\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    command = [sys.executable, "-c", slow, *arguments(saved, out, "--batch-size", "1", "--quiet")]
    process = subprocess.Popen(command, env=os.environ | {"HF_HUB_OFFLINE": "1"})
    partial = out.with_suffix(".partial.npz")
    while not partial.exists() and process.poll() is None:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert not out.exists()
    assert main(arguments(saved, out, "--batch-size", "1", "--quiet")) == 0
    assert load_hessian(out).sha256 == load_hessian(whole).sha256


@pytest.mark.parametrize("stopped_early", [False, True])
@pytest.mark.parametrize("with_gradients", [False, True])
def test_what_took_hours_is_kept_elsewhere_if_its_folder_is_gone(
    stopped_early: bool, with_gradients: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "spare").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "spare"))
    (tmp_path / "gone").mkdir()
    compute = gradients_module.sample_gradients

    def losing(*arguments: Any) -> Any:
        if (tmp_path / "gone").exists():
            shutil.rmtree(tmp_path / "gone")
        if stopped_early:
            signal.raise_signal(signal.SIGINT)
        return compute(*arguments)

    monkeypatch.setattr(gradients_module, "sample_gradients", losing)
    with pytest.raises(OutputError, match=r"cannot be written.*it is kept in (.*)\.$") as raised:
        extract(
            make_model(),
            make_calibration(),
            tmp_path / "gone" / "h.npy",
            batch_size=2,
            with_gradients=with_gradients,
        )
    kept = Path(str(raised.value).rpartition(" in ")[2].rstrip("."))
    assert kept.is_relative_to(tmp_path / "spare")
    assert kept.name == ("h.partial.npz" if stopped_early else "h.npy")
    if not stopped_early:
        assert load_hessian(kept).num_blocks == 3
        assert kept.with_name("h.grads.npy").exists() is with_gradients
