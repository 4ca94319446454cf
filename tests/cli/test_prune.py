"""`qubo-prune prune`: what it writes, says and refuses."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from safetensors.torch import load_file, save_file  # noqa: E402

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
    command = f"qubo-prune prune {model} --out {out} --blocks 1,2"
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


def test_a_branch_in_a_list_of_another_program(run: Any, model: Path, tmp_path: Path) -> None:
    file, out = tmp_path / "layer_drop_config.txt", tmp_path / "out"
    file.write_text("none\nattn\nattn+mlp\nnone\n")
    ran = run("prune", model, "--removal", file, "--out", out)
    assert (ran.code, ran.out, ran.err.count("\n")) == (2, "", 1)
    assert "layers.1.attention goes while its layer stays" in ran.err
    assert not out.exists()
    ran = run("prune", model, "--removal", file, "--out", out, "--branches", "module", "--lists")
    assert ran.code == 0
    assert ran.err.splitlines() == [
        f"qubo-prune: wrote {out}",
        "qubo-prune: loading it takes --trust-remote-code: code in it leaves the branches out",
    ]
    assert "removed 3 of 8 branches (layers.1.attention, " in " ".join(ran.out.split())
    assert (out / "removal" / "layer_drop_config.txt").read_text() == file.read_text()
    assert json.loads((out / "removal" / "llm_drop.json").read_text()) == {
        "drop_mlp_list": [2], "drop_attn_list": [1, 2],
    }  # fmt: skip
    assert not (out / "removal" / "mergekit.yml").exists()  # which knows whole layers only
    text = ["--branches", "module", "--lists"]
    command = f"qubo-prune prune {model} --out {out} --removal {file} {' '.join(text)}"
    assert command in (out / "README.md").read_text()
    ran = run("prune", model, "--blocks", "layers.1.attention", "--out", out, "--branches", "zero")
    assert (ran.code, ran.err) == (0, f"qubo-prune: wrote {out}\n")
    assert not (out / "removal").exists()


def test_lists_for_other_programs_make_the_same_model(
    run: Any, model: Path, tmp_path: Path
) -> None:
    first = tmp_path / "first"
    assert run("prune", model, "--blocks", "0,2", "--out", first, "--lists", "-q").code == 0
    files = sorted(path.name for path in (first / "removal").iterdir())
    assert files == ["layer_drop_config.txt", "llm_drop.json", "mergekit.yml"]
    slices = (first / "removal" / "mergekit.yml").read_text()
    assert f'model: "{model}"' in slices
    assert slices in (first / "README.md").read_text()
    record = json.loads((first / "prune.json").read_text())
    for file in files:
        out = tmp_path / file.partition(".")[0]
        ran = run("prune", model, "--removal", first / "removal" / file, "--out", out, "--json")
        assert ran.code == 0
        again = json.loads(ran.out)["sha256"]
        assert again["model.safetensors"] == record["sha256"]["model.safetensors"]


def test_merging(run: Any, model: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    ran = run("prune", model, "--blocks", "1", "--out", out, "--merge", "official")
    assert ran.code == 0
    assert "merged into those beside them" in " ".join(ran.out.split())
    card = (out / "README.md").read_text()
    assert "layers 1 to 2 in the place of layer 2" in card
    assert "mergekit" not in card


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "by exactly one of --blocks, --selection, --spectrum and --removal"),
        (["--blocks", "1", "--spectrum", "x.json"], "by exactly one of"),
        (["--blocks", "layers.1.mlp"], "choose --branches zero (loads everywhere"),
        (["--blocks", "layers.1.x"], "the model has no block 'layers.1.x'"),
        (["--blocks", "1", "--branches", "no"], "--branches must be one of zero, module, not 'no'"),
        (["--blocks", "1", "--merge", "no"], "--merge must be one of official, sum, not 'no'"),
        (["--blocks", "1", "--merge", "sum", "--lists"], "--lists writes which layers are deleted"),
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


def test_without_loading(run: Any, model: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    ran = run("prune", model, "--blocks", "1,2", "--out", out, "--without-loading")
    assert (ran.code, ran.err) == (0, f"qubo-prune: wrote {out}\n")
    assert "every byte of 21 tensors is that of the original" in " ".join(ran.out.split())
    assert "logits" not in ran.out
    record = json.loads((out / "prune.json").read_text())
    assert record["command"].endswith("--blocks 1,2 --without-loading")
    again = ["prune", model, "--blocks", "1,2", "--out", out, "--without-loading"]
    ran = run(*again, "--verify", "full")
    assert ran.code == 0
    assert "logits differ from those with the layers skipped by 0" in " ".join(ran.out.split())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--verify", "full"], "--verify full is for --without-loading"),
        (["--without-loading", "--dtype", "float16"], "so --dtype cannot be float16"),
        (["--without-loading", "--merge", "sum"], "removes whole layers only, and --merge needs"),
        (["--without-loading", "--verify", "all"], "verify must be one of files, full, not 'all'"),
    ],
)
def test_options_about_loading(
    run: Any, model: Path, tmp_path: Path, options: list[str], message: str
) -> None:
    ran = run("prune", model, "--blocks", "1", "--out", tmp_path / "out", *options)
    assert (ran.code, ran.out) == (2, "")
    assert message in ran.err
    assert not (tmp_path / "out").exists()


def test_quantised_weights_that_cannot_be_loaded_can_be_copied(
    run: Any, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from qubo_prune.hessians import language_model

    quantised = tmp_path / "model"
    shutil.copytree(model, quantised)
    config = json.loads((quantised / "config.json").read_text())
    config["quantization_config"] = {"quant_method": "gptq", "bits": 4}
    (quantised / "config.json").write_text(json.dumps(config))
    # Whether the library is installed or not.
    automatic = type("Automatic", (), {"from_pretrained": staticmethod(lacking)})
    monkeypatch.setattr(language_model._transformers(), "AutoModelForCausalLM", automatic)
    for folder, is_told in ((quantised, True), (model, False)):
        ran = run("prune", folder, "--blocks", "1", "--out", tmp_path / "out")
        assert (ran.code, ran.out) == (2, "")
        assert "requires optimum" in ran.err
        assert ("or copy its quantised weights with --without-loading." in ran.err) == is_told
        assert ran.err.count("\n") == 1


def test_quantised_weights_that_are_read_into_plain_ones(
    run: Any, model: Path, tmp_path: Path
) -> None:
    """As transformers reads fp8 where there is no GPU for it."""
    quantised = tmp_path / "model"
    shutil.copytree(model, quantised)
    weights = load_file(model / "model.safetensors")
    names = [name for name in weights if name.endswith("_proj.weight")]
    for name in names:
        weights[name] = weights[name].to(torch.float8_e4m3fn)
        weights[f"{name}_scale_inv"] = torch.ones(1, 1)
    save_file(weights, quantised / "model.safetensors", {"format": "pt"})
    config = json.loads((quantised / "config.json").read_text())
    config["quantization_config"] = {"quant_method": "fp8", "weight_block_size": [128, 128]}
    (quantised / "config.json").write_text(json.dumps(config))
    said = "the quantised weights were read into float32, which is what will be saved"
    plain, kept = tmp_path / "plain", tmp_path / "kept"
    ran = run("prune", quantised, "--blocks", "1", "--out", plain)
    assert (ran.code, said in " ".join(ran.err.split())) == (0, True)
    saved = load_file(plain / "model.safetensors")
    assert all(torch.equal(saved[n], weights[n].to(torch.float32)) for n in names if ".0." in n)
    ran = run("prune", quantised, "--blocks", "1", "--out", kept, "--without-loading")
    assert (ran.code, said in " ".join(ran.err.split())) == (0, False)
    ran = run("prune", model, "--blocks", "1", "--out", plain)
    assert (ran.code, said in " ".join(ran.err.split())) == (0, False)


def lacking(*_: Any, **__: Any) -> None:
    raise ImportError("Loading a GPTQ quantized model requires optimum")
