"""`qubo-prune prune`: what it writes, says and refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from tests.tiny_models import BY_TYPE, build  # noqa: E402


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "tiny"
    build(BY_TYPE["llama"], num_hidden_layers=4).save_pretrained(folder)
    return folder


def test_a_list_of_blocks(run: Any, model: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    ran = run("prune", model, "--blocks", "1,2", "--out", out, "--json")
    assert (ran.code, ran.err) == (0, f"qubo-prune: wrote {out}\n")
    record = json.loads(ran.out)
    assert record == json.loads((out / "prune.json").read_text())
    assert record["removed_names"] == ["layers.1", "layers.2"]
    assert record["verification"]["max_difference"] == 0
    command = f"qubo-prune prune {model} --blocks 1,2 --out {out}"
    assert record["command"] == command
    assert command in (out / "README.md").read_text()
    ran = run("prune", model, "--blocks", "layers.0", "--out", out)  # is replaced
    assert ran.code == 0
    assert "removed 1 of 4 layers (0)" in " ".join(ran.out.split())
    loaded = transformers.AutoModelForCausalLM.from_pretrained(out)
    assert loaded.config.num_hidden_layers == 3


def test_a_spectrum(run: Any, model: Path, tmp_path: Path) -> None:
    spectrum, hessian = tmp_path / "s.json", tmp_path / "h.npy"
    import numpy as np

    np.save(hessian, np.diag([3.0, 1.0, 4.0, 1.5]))
    assert run("solve", hessian, "--remove", 2, "--states", 3, "--out", spectrum, "-q").code == 0
    out = tmp_path / "out"
    assert run("prune", model, "--spectrum", spectrum, "--out", out, "-q").code == 0
    record = json.loads((out / "prune.json").read_text())
    assert (record["removed"], record["choice"]["energy"]) == ([1, 3], 2.5)
    inside = out / "s.json"
    inside.write_bytes(spectrum.read_bytes())
    ran = run("prune", model, "--spectrum", inside, "--out", out)
    assert (ran.code, ran.out) == (2, "")


@pytest.mark.parametrize(
    ("name", "text", "state", "removed"),
    [
        ("layer_drop_config.txt", "none\nattn+mlp\nnone\nattn+mlp\n", 0, [1, 3]),
        (
            "config.json",
            '{"drop_attn_list": [0, 2], "drop_mlp_list": [0, 2]}',
            0,
            [0, 2],
        ),
        ("m.yml", "slices: [{sources: [{model: M, layer_range: [1, 3]}]}]", 0, [0, 3]),
        ("list.txt", "0,1\n2,3\n", 1, [2, 3]),
    ],
)
def test_a_removal_of_another_program(
    name: str, text: str, state: int, removed: list[int], run: Any, model: Path, tmp_path: Path
) -> None:
    file, out = tmp_path / name, tmp_path / "out"
    file.write_text(text)
    ran = run("prune", model, "--removal", file, "--state", state, "--out", out, "-q")
    assert (ran.code, ran.err) == (0, "")
    record = json.loads((out / "prune.json").read_text())
    assert record["removed"] == removed
    assert record["choice"] == {"source": f"file, {name}", "state": state}
    assert f"--removal {file}" in record["command"]
    ran = run("prune", model, "--removal", file, "--state", 2, "--out", out)
    assert ran.code == 2
    assert f"removals of {file}, not 2" in ran.err or f"removal of {file}, not 2" in ran.err
    assert json.loads((out / "prune.json").read_text()) == record


def test_a_branch_in_a_list_of_another_program_is_refused(
    run: Any, model: Path, tmp_path: Path
) -> None:
    file = tmp_path / "layer_drop_config.txt"
    file.write_text("none\nattn\nnone\nnone\n")
    ran = run("prune", model, "--removal", file, "--out", tmp_path / "out")
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "by exactly one of --blocks, --selection, --spectrum and --removal"),
        (["--blocks", "1", "--spectrum", "x.json"], "by exactly one of"),
        (["--blocks", "layers.1.mlp"], "only whole layers can be removed"),
        (["--blocks", "0-3"], "from 1 to 3 of the 4 blocks"),
        (["--spectrum", "none.json"], "there is no file none.json"),
        (["--removal", "none.txt"], "there is no file none.txt"),
        (["--removal", "none.txt", "--blocks", "1"], "by exactly one of"),
        (["--blocks", "1", "--state", "2"], "--state must be 0 for a list of blocks"),
    ],
)
def test_bad_input_is_one_line(
    arguments: list[str], message: str, run: Any, model: Path, tmp_path: Path
) -> None:
    ran = run("prune", model, *arguments, "--out", tmp_path / "out")
    assert (ran.code, ran.out) == (2, "")
    assert message in ran.err
    assert ran.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_folder_of_somebody_else_is_not_replaced(run: Any, model: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    ran = run("prune", model, "--blocks", "1", "--out", tmp_path)
    assert ran.code == 2
    assert "--out: the folder" in ran.err
    assert "notes.txt, which prune did not write" in ran.err
    ran = run("prune", model, "--blocks", "1", "--out", model)
    assert ran.code == 2
