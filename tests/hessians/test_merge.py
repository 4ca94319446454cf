"""Merging shards: the whole again, whatever the order; and everything that is not one
extraction.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from qubo_prune.core.errors import InputError
from qubo_prune.core.files.gradients import gradients_path, load_gradients, save_gradients
from qubo_prune.hessians import load_hessian, save_hessian
from qubo_prune.hessians.merge import merge_hessians

COMMON = {
    "model": "toy",
    "names": ["a", "b", "c"],
    "kinds": ["attention", "mlp", "mlp"],
    "parameter_counts": [1, 2, 3],
    "granularity": "branch",
    "sequence_length": 8,
    "calibration": {"source": "toy", "seed": 3, "tokens_sha256": "abc"},
    "dtype": "float32",
    "description": "A toy.",
}


def write_shard(
    folder: Path,
    index: int,
    of: int,
    gradients: NDArray[np.float32],
    indices: list[int],
    *,
    rows: Any = True,
    **changes: Any,
) -> Path:
    path = folder / f"part-{index}-of-{of}.npy"
    entries = {
        **COMMON,
        "gates": {"method": "branch", "largest_deviation": 1e-7 * index},
        "samples": len(gradients),
        "sample_indices": list(indices),
        "mean_gradient": gradients.mean(axis=0),
        "loss": float(gradients[:, 0].mean()),
        "shard": {"index": index, "of": of},
        "seconds": 10.0 * index,
        **changes,
    }
    save_hessian(
        path,
        gradients.T @ gradients / len(gradients),
        **{key: value for key, value in entries.items() if value is not None},
    )
    if rows:
        save_gradients(gradients_path(path), gradients)
    return path


@pytest.fixture
def gradients() -> NDArray[np.float32]:
    return np.random.default_rng(5).standard_normal((12, 3)).astype(np.float32).astype(np.float64)


def write_shards(
    folder: Path, gradients: NDArray[np.float32], of: int = 3, **changes: Any
) -> list[Path]:
    folder.mkdir(exist_ok=True)
    parts = np.array_split(np.arange(len(gradients)), of)
    return [
        write_shard(folder, k, of, gradients[part], (100 + part).tolist(), **changes)
        for k, part in enumerate(parts, 1)
    ]


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), m=st.integers(1, 30), seed=st.integers(0, 2**32))
def test_the_merged_hessian_is_the_unsharded_one_in_any_order(
    tmp_path: Path, data: Any, m: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    scale = 10.0 ** rng.integers(-6, 3, 3)
    rows = (rng.standard_normal((m, 3)) * scale).astype(np.float32).astype(np.float64)
    shards = write_shards(tmp_path / "in", rows, data.draw(st.integers(1, m)))
    out = tmp_path / "merged.npy"
    file = merge_hessians(shards, out)
    whole = rows.T @ rows / m
    np.testing.assert_allclose(file.hessian, whole, rtol=1e-12, atol=1e-12 * np.abs(whole).max())
    np.testing.assert_allclose(file.mean_gradient, rows.mean(axis=0), atol=1e-12 * scale.max())
    assert file.metadata["loss"] == pytest.approx(rows[:, 0].mean(), abs=1e-12 * scale.max())
    assert load_gradients(gradients_path(out), 3).tolist() == rows.tolist()
    assert file.metadata["sample_indices"] == list(range(100, 100 + m))
    first = [path.read_bytes() for path in (out, out.with_suffix(".json"), gradients_path(out))]
    merge_hessians(data.draw(st.permutations(shards)), out)
    assert first == [
        path.read_bytes() for path in (out, out.with_suffix(".json"), gradients_path(out))
    ]


def test_the_sidecar_says_what_was_merged(tmp_path: Path, gradients: NDArray[np.float32]) -> None:
    shards = write_shards(tmp_path / "in", gradients)
    file = merge_hessians([load_hessian(shards[2]), *shards[:2]], tmp_path / "all.npy")
    said = file.metadata
    assert {key: said[key] for key in COMMON} == COMMON
    assert said["gates"]["method"] == "branch"
    assert said["samples"] == 12
    assert "shard" not in said
    assert "missing_shards" not in said
    assert [each["index"] for each in said["merged_from"]] == [1, 2, 3]
    assert [each["seconds"] for each in said["merged_from"]] == [10.0, 20.0, 30.0]
    assert said["merged_from"][0]["sha256"] == load_hessian(shards[0]).sha256


def test_folders_and_longest_samples_may_differ_between_machines(
    tmp_path: Path, gradients: NDArray[np.float32]
) -> None:
    own = [{"model": f"/disk{k}/toy", "sequence_length": 6 + k} for k in (1, 2)]
    shards = [
        write_shard(
            tmp_path, k, 2, gradients[:4], range(4 * k, 4 * k + 4), model_fingerprint="f", **each
        )
        for k, each in enumerate(own, 1)
    ]
    said = merge_hessians(shards, tmp_path / "all.npy").metadata
    assert (said["model"], said["model_fingerprint"], said["sequence_length"]) == (
        "/disk1/toy",
        "f",
        8,
    )


def test_missing_shards_have_to_be_allowed(tmp_path: Path, gradients: NDArray[np.float32]) -> None:
    shards = write_shards(tmp_path / "in", gradients)
    with pytest.raises(InputError, match=r"of 3 shards 2 are missing, number 1, 3; give them too"):
        merge_hessians(shards[1:2], tmp_path / "all.npy")
    assert not (tmp_path / "all.npy").exists()
    file = merge_hessians(shards[:2], tmp_path / "all.npy", allow_partial=True)
    assert file.metadata["missing_shards"] == [3]
    assert file.metadata["samples"] == 8
    np.testing.assert_allclose(file.hessian, gradients[:8].T @ gradients[:8] / 8)


def test_gradients_of_samples_are_merged_if_all_shards_have_them(
    tmp_path: Path, gradients: NDArray[np.float32]
) -> None:
    shards = write_shards(tmp_path / "in", gradients)
    out = tmp_path / "all.npy"
    merge_hessians(shards, out)
    assert gradients_path(out).exists()
    gradients_path(shards[1]).unlink()
    merge_hessians(shards, out)
    assert not gradients_path(out).exists(), "those of the Hessian that was replaced"
    save_gradients(gradients_path(shards[1]), gradients[:2])
    with pytest.raises(InputError, match=r"has 2 rows, but the sidecar of .* counts 4 samples"):
        merge_hessians(shards, out)


def test_losses_and_gradients_are_left_out_where_a_shard_has_none(
    tmp_path: Path, gradients: NDArray[np.float32]
) -> None:
    shards = write_shards(tmp_path, gradients[:8], of=2)
    write_shard(tmp_path, 2, 2, gradients[4:8], range(4), mean_gradient=None, loss=None)
    file = merge_hessians(shards, tmp_path / "all.npy")
    assert file.mean_gradient is None
    assert "loss" not in file.metadata


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": "other"}, r"model is 'toy' in one and 'other' in the other"),
        ({"kinds": ["mlp"] * 3}, "kinds is"),
        ({"granularity": None}, "granularity is 'branch' in one and None"),
        ({"gates": {"method": "block"}}, "gates is 'branch' in one and 'block'"),
        ({"dtype": "bfloat16"}, "dtype is 'float32' in one"),
        ({"model_fingerprint": "b"}, "model_fingerprint is None in one and 'b'"),
        ({"sequence_length": 8.5}, "sequence_length must be an integer"),
        ({"calibration": {**COMMON["calibration"], "seed": 4}}, "calibration.seed is 3 in one and 4"),
        ({"sample_indices": [100, 1, 2, 3]}, "sample 100 is in the shards more than once"),
        ({"sample_indices": [1, 2, 3]}, "one sample index for each of its 4 samples"),
        ({"sample_indices": None}, "its sidecar has no 'sample_indices'; extract it with --shard"),
        ({"samples": None}, "its sidecar has no 'samples'"),
        ({"shard": None}, "its sidecar has no 'shard'"),
        ({"shard": 2}, "must say index and of, not 2"),
        ({"shard": {"index": 1, "of": 2}}, "are both shard 1 of 2"),
        ({"shard": {"index": 3, "of": 2}}, "says that it is shard 3 of 2"),
        ({"shard": {"index": 2, "of": 3}}, "one of 2 shards and .* one of 3"),
        ({"loss": "nats"}, "loss of .* must be a finite number"),
    ],
)  # fmt: skip
def test_shards_that_do_not_belong_together(
    tmp_path: Path, gradients: NDArray[np.float32], change: Any, message: str
) -> None:
    first = write_shard(tmp_path, 1, 2, gradients[:4], range(100, 104))
    second = write_shard(tmp_path, 2, 2, gradients[4:8], range(4), **change)
    with pytest.raises(InputError, match=message) as caught:
        merge_hessians([first, second], tmp_path / "all.npy")
    assert "\n" not in str(caught.value)
    with pytest.raises(InputError):
        merge_hessians([second, first], tmp_path / "all.npy")
    assert not (tmp_path / "all.npy").exists()


def test_what_is_no_shard_at_all(tmp_path: Path, gradients: NDArray[np.float32]) -> None:
    np.save(tmp_path / "plain.npy", np.eye(2))
    with pytest.raises(InputError, match="its sidecar has no 'samples'"):
        merge_hessians([tmp_path / "plain.npy"], tmp_path / "all.npy")
    with pytest.raises(InputError, match="no shards are given"):
        merge_hessians([], tmp_path / "all.npy")
    sizes = {"names": None, "kinds": None, "parameter_counts": None, "mean_gradient": None}
    shards = [
        write_shard(tmp_path, 1, 2, gradients[:4], range(4), **sizes),
        write_shard(tmp_path, 2, 2, gradients[4:8, :2], range(4, 8), **sizes),
    ]
    with pytest.raises(InputError, match=r"has 3 blocks and .* 2; merge shards of the same model"):
        merge_hessians(shards, tmp_path / "all.npy")


def test_gradients_of_samples_that_are_refused(tmp_path: Path) -> None:
    for rows, message in (
        (np.zeros((2, 4)), r"one row of 3 numbers for each sample, not shape \(2, 4\)"),
        (np.zeros(3), "one row of 3 numbers"),
        (np.zeros((0, 3)), "one row of 3 numbers"),
        (np.array([[0, 0, 0], [1, np.nan, 0]]), "NaN or infinity, first in sample 1"),
    ):
        save_gradients(tmp_path / "g.npy", rows)
        with pytest.raises(InputError, match=message):
            load_gradients(tmp_path / "g.npy", 3)
    with pytest.raises(InputError, match=r"no.npy cannot be read"):
        load_gradients(tmp_path / "no.npy", 3)


def test_the_command_merges(
    tmp_path: Path, gradients: NDArray[np.float32], capsys: pytest.CaptureFixture[str]
) -> None:
    from qubo_prune.cli.main import main

    shards = [str(path) for path in write_shards(tmp_path / "in", gradients)]
    out = tmp_path / "all.npy"
    assert main(["merge", *shards, "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    assert (
        printed == f"{out}: 3 blocks, 12 samples of 3 shards; per-sample gradients in"
        f" {gradients_path(out)}\n"
    )
    assert main(["merge", *shards[:2], "--out", str(out)]) == 2
    assert (
        "number 3; give them too, or allow a partial merge (--allow-partial)"
        in capsys.readouterr().err
    )
    assert main(["merge", *shards[:2], "--out", str(out), "--allow-partial", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["missing_shards"], facts["samples"]) == ([3], 8)
    by_pattern = sorted(str(path) for path in (tmp_path / "in").glob("*.npy"))
    assert len(by_pattern) == 6
    assert main(["merge", *by_pattern, "--out", str(out), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["samples"] == 12
    assert main(["merge", *shards, "--out", shards[0]]) == 2
    assert "--out names the shard" in capsys.readouterr().err
