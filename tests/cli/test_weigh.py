"""`qubo-prune weigh`: times of blocks, for a budget of milliseconds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

from tests.tiny_models import BY_TYPE, build

QUICK = ("--prompt-tokens", 6, "--new-tokens", 2, "--repeats", 2)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "tiny"
    build(BY_TYPE["llama"], num_hidden_layers=4).save_pretrained(folder)
    return folder


@pytest.mark.parametrize("suffix", ["json", "csv"])
def test_what_it_writes_is_what_weights_takes(
    run: Any, model: Path, tmp_path: Path, suffix: str
) -> None:
    out, hessian = tmp_path / f"ms.{suffix}", tmp_path / "h.npy"
    ran = run("weigh", model, "--granularity", "branch", "--out", out, *QUICK, "--json")
    assert (ran.code, ran.err) == (0, f"qubo-prune: wrote {out}\n")
    found = json.loads(ran.out)
    assert [each["name"] for each in found["blocks"]][:2] == ["layers.0.attention", "layers.0.mlp"]
    assert (found["phase"], found["by"], found["repeats"]) == ("decode", "block", 2)
    assert found["weights"] == pytest.approx([b["decode"] for b in found["blocks"]], rel=1e-3)
    np.save(hessian, np.diag(np.arange(1.0, 9.0)))
    names = ["--budget", "30%", "--weights", out]
    named = tmp_path / "h.json"
    named.write_text(json.dumps({"names": [each["name"] for each in found["blocks"]]}))
    solved = json.loads(run("solve", hessian, *names, "--states", 1, "--json").out)
    assert solved["weights"] == found["weights"]
    assert solved["weight_share"][0] >= 0.3
    again = run("weigh", model, "--granularity", "branch", "--out", out, *QUICK, "-q")
    assert (again.code, again.out, again.err) == (0, "", "")  # weights replace weights


def test_a_table_by_kind(run: Any, model: Path, tmp_path: Path) -> None:
    out = tmp_path / "ms.json"
    ran = run(
        "weigh", model, "--granularity", "branch", "--by", "kind", "--phase", "prefill",
        "--out", out, *QUICK,
    )  # fmt: skip
    assert ran.code == 0
    text = " ".join(ran.out.split())
    assert "each attention attention" in text
    assert "Medians of 2 repetitions and their standard errors: a prompt of 6 tokens" in text
    assert len(set(json.loads(out.read_text()).values())) == 2


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--phase", "training"], "--phase takes prefill or decode, not 'training'"),
        (["--by", "layer"], "--by takes block or kind, not 'layer'"),
        (["--granularity", "head"], "--granularity must be 'block' or 'branch'"),
        (["--new-tokens", "1"], "--new-tokens must be at least 2, not 1"),
        (["--out", "ms.txt"], ".json"),
        (["--out", "config.json"], "holds something else than weights"),
    ],
)
def test_mistakes_are_one_line(
    run: Any,
    model: Path,
    more: list[object],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    content = '{"layers": "four"}'
    (tmp_path / "config.json").write_text(content)
    out = [] if "--out" in more else ["--out", "ms.json"]
    ran = run("weigh", model, *out, *more)
    assert (ran.code, ran.err.count("\n"), ran.out) == (2, 1, ""), ran.err
    assert message in ran.err
    assert (tmp_path / "config.json").read_text() == content


def test_a_time_limit_keeps_what_was_timed(run: Any, model: Path, tmp_path: Path) -> None:
    out = tmp_path / "ms.json"
    ran = run(
        "weigh", model, "--out", out, "--prompt-tokens", 4, "--new-tokens", 2,
        "--repeats", 100_000, "--time-limit", 1.5, "--json",
    )  # fmt: skip
    assert ran.code == 3
    assert 1 <= json.loads(ran.out)["repeats"] < 100_000
    assert len(json.loads(out.read_text())) == 4
