"""Folders that are pruned without loading a weight: equal to those of the way through memory,
whatever the architecture; quantised weights byte by byte; damage, kills and full disks.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tracemalloc
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from safetensors.torch import load_file, save_file  # noqa: E402

from qubo_prune.core.errors import InputError, OutputError  # noqa: E402
from qubo_prune.hessians import load_model  # noqa: E402
from qubo_prune.pruning import saving  # noqa: E402
from qubo_prune.pruning.pruner import prune  # noqa: E402
from qubo_prune.pruning.rewriting import weight_writing  # noqa: E402
from qubo_prune.pruning.rewriting.rewriter import prune_folder  # noqa: E402
from qubo_prune.pruning.rewriting.weight_files import StoredTensor, read_weight_files  # noqa: E402
from qubo_prune.pruning.rewriting.weight_writing import (  # noqa: E402
    CHUNK,
    cut_into_shards,
    write_shards,
)
from tests.pruning.test_prune import contents, deep, load, logits  # noqa: E402
from tests.tiny_models import CASES  # noqa: E402

WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"


def raw(folder: Path) -> dict[str, tuple[str, tuple[int, ...], bytes]]:
    """Every stored tensor: its type, its shape and its bytes."""
    return {
        name: (
            each.dtype,
            each.shape,
            each.path.read_bytes()[each.start : each.start + each.size],
        )
        for name, each in read_weight_files(folder).tensors.items()
    }


def config_of(folder: Path) -> dict[str, Any]:
    settings: dict[str, Any] = json.loads((folder / "config.json").read_text())
    return settings


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of four layers in three files."""
    path = tmp_path_factory.mktemp("original") / "model"
    deep("llama").save_pretrained(path, max_shard_size="40KB")
    assert (path / INDEX).exists()
    return path


@pytest.mark.parametrize("name", [case.type for case in CASES])
def test_equal_to_the_way_through_memory(name: str, tmp_path: Path) -> None:
    source, out = tmp_path / "model", tmp_path / "out"
    # One file, as the way through memory writes, or several.
    size = "1GB" if name in ("llama", "gpt2") else "20KB"
    deep(name).save_pretrained(source, max_shard_size=size)
    prune(load(source), [0, 2], tmp_path / "wanted")
    wanted = raw(tmp_path / "wanted")
    pruned = prune_folder(source, [0, 2], out)
    assert raw(out) == wanted
    assert config_of(out) == config_of(tmp_path / "wanted")
    assert pruned.verification.num_tensors == len(wanted)
    assert pruned.verification.max_difference is None
    assert (out / INDEX).exists() == (source / INDEX).exists() == (size == "20KB")
    assert torch.equal(logits(load(out)), logits(load(tmp_path / "wanted")))


def test_small_files_come_along(tmp_path: Path) -> None:
    source, out = tmp_path / "model", tmp_path / "out"
    deep("llama").save_pretrained(source)
    for name in ("chat_template.jinja", "tokenizer.model", "LICENSE"):
        (source / name).write_text(name)
    (source / "additional_chat_templates").mkdir()
    (source / "additional_chat_templates" / "tools.jinja").write_text("tools")
    (source / "modeling_own.py").write_text("raise SystemExit")
    (source / "notes.md").write_text("not ours")
    prune_folder(source, [1], out)
    assert (out / "additional_chat_templates" / "tools.jinja").read_text() == "tools"
    names = {path.name for path in out.iterdir()}
    assert {"chat_template.jinja", "tokenizer.model", "LICENSE"} <= names
    assert not names & {"modeling_own.py", "notes.md"}


def test_tied_embeddings_and_bfloat16(tmp_path: Path) -> None:
    model = deep("llama", tie_word_embeddings=True).to(torch.bfloat16)
    model.save_pretrained(tmp_path / "model")
    prune_folder(tmp_path / "model", [2], tmp_path / "out")
    stored = raw(tmp_path / "out")
    assert "lm_head.weight" not in stored
    assert {dtype for dtype, _, _ in stored.values()} == {"BF16"}
    loaded = load(tmp_path / "out")
    assert loaded.lm_head.weight is loaded.model.embed_tokens.weight


def test_full_verification_compares_what_both_compute(folder: Path, tmp_path: Path) -> None:
    pruned = prune_folder(folder, ["layers.1"], tmp_path / "out", verify="full")
    assert pruned.verification.max_difference == 0
    card = (tmp_path / "out" / "README.md").read_text()
    assert "every byte of its 30 tensors is that of the original" in card
    assert "the logits differ from those of the original with these layers skipped" in card


def test_the_card_says_that_nothing_was_run(folder: Path, tmp_path: Path) -> None:
    prune_folder(folder, [1], tmp_path / "out")
    assert "Nothing was run." in (tmp_path / "out" / "README.md").read_text()


def test_shards_have_the_size_that_is_asked_for(folder: Path, tmp_path: Path) -> None:
    prune_folder(folder, [1], tmp_path / "out", shard_size=30_000)
    files = sorted((tmp_path / "out").glob("*.safetensors"))
    assert len(files) > 2
    assert all(path.stat().st_size < 40_000 for path in files)
    index = json.loads((tmp_path / "out" / INDEX).read_text())
    assert set(index["weight_map"].values()) == {path.name for path in files}
    assert index["metadata"]["total_size"] == sum(
        len(b) for _, _, b in raw(tmp_path / "out").values()
    )


# --- quantised weights ---------------------------------------------------------------------------


def quantised(source: Path, settings: Mapping[str, Any], replace: Any) -> dict[str, Any]:
    """Turn the matrices of a folder's layers into what a method stores in their place."""
    tensors = load_file(source / WEIGHTS)
    stored: dict[str, Any] = {}
    for name, tensor in tensors.items():
        if ".layers." in name and name.endswith("_proj.weight"):
            stored |= replace(name.removesuffix(".weight"), tensor)
        else:
            stored[name] = tensor
    save_file(stored, source / WEIGHTS, {"format": "pt"})
    path = source / "config.json"
    path.write_text(json.dumps(config_of(source) | {"quantization_config": dict(settings)}))
    return stored


def random_bytes(*shape: int, dtype: Any = torch.uint8) -> Any:
    return torch.randint(0, 100, shape, generator=torch.Generator().manual_seed(1)).to(dtype)


def fp8(module: str, tensor: Any) -> dict[str, Any]:
    return {
        f"{module}.weight": tensor.to(torch.float8_e4m3fn),
        f"{module}.weight_scale_inv": torch.ones(1, 1),
    }


def gptq(module: str, tensor: Any) -> dict[str, Any]:
    rows, columns = tensor.shape
    return {
        f"{module}.qweight": random_bytes(columns // 8, rows, dtype=torch.int32),
        f"{module}.qzeros": random_bytes(1, rows // 8, dtype=torch.int32),
        f"{module}.scales": torch.ones(1, rows, dtype=torch.float16),
        f"{module}.g_idx": torch.zeros(columns, dtype=torch.int32),
    }


def awq(module: str, tensor: Any) -> dict[str, Any]:
    rows, columns = tensor.shape
    return {
        f"{module}.qweight": random_bytes(columns, rows // 8, dtype=torch.int32),
        f"{module}.qzeros": random_bytes(1, rows // 8, dtype=torch.int32),
        f"{module}.scales": torch.ones(1, rows, dtype=torch.float16),
    }


def bnb(module: str, tensor: Any) -> dict[str, Any]:
    return {
        f"{module}.weight": random_bytes(tensor.numel() // 2, 1),
        f"{module}.weight.absmax": random_bytes(tensor.numel() // 64),
        f"{module}.weight.quant_map": torch.linspace(-1, 1, 16),
        f"{module}.weight.nested_absmax": torch.ones(1),
        f"{module}.weight.nested_quant_map": torch.linspace(-1, 1, 256),
        f"{module}.weight.quant_state.bitsandbytes__nf4": random_bytes(90),
    }


def packed(module: str, tensor: Any) -> dict[str, Any]:
    rows, columns = tensor.shape
    return {
        f"{module}.weight_packed": random_bytes(rows, columns // 8, dtype=torch.int32),
        f"{module}.weight_scale": torch.ones(rows, 1),
        f"{module}.weight_shape": torch.tensor([rows, columns]),
    }


LISTS: dict[str, tuple[Any, dict[str, Any], dict[str, Any]]] = {
    "fp8": (
        fp8,
        {
            "quant_method": "fp8",
            "weight_block_size": [128, 128],
            "modules_to_not_convert": ["lm_head", "model.layers.1.mlp", "model.layers.3.mlp"],
        },
        {"modules_to_not_convert": ["lm_head", "model.layers.2.mlp"]},
    ),
    "gptq": (
        gptq,
        {
            "quant_method": "gptq",
            "bits": 4,
            "dynamic": {r"-:model\.layers\.1\..*": {}, r"+:model\.layers\.3\.mlp.*": {"bits": 8}},
        },
        {"dynamic": {r"+:model\.layers\.2\.mlp.*": {"bits": 8}}},
    ),
    "awq": (
        awq,
        {"quant_method": "awq", "bits": 4, "modules_to_not_convert": ["layers.2."]},
        {"modules_to_not_convert": ["layers.1."]},
    ),
    "bnb": (
        bnb,
        {
            "quant_method": "bitsandbytes",
            "load_in_4bit": True,
            "llm_int8_skip_modules": ["lm_head"],
        },
        {"llm_int8_skip_modules": ["lm_head"]},
    ),
    "compressed-tensors": (
        packed,
        {
            "quant_method": "compressed-tensors",
            "config_groups": {
                "group_0": {"targets": [r"re:.*layers\.1\..*"], "weights": {"num_bits": 8}},
                "group_1": {"targets": ["Linear"], "weights": {"num_bits": 4}},
            },
            "ignore": ["lm_head", r"re:.*layers\.(0|3)\.self_attn.*"],
        },
        {
            "config_groups": {"group_1": {"targets": ["Linear"], "weights": {"num_bits": 4}}},
            "ignore": ["lm_head", r"re:.*layers\.(?:0|2)\.self_attn.*"],
        },
    ),
}


@pytest.mark.parametrize("method", LISTS)
def test_quantised_weights_keep_every_byte(method: str, tmp_path: Path) -> None:
    replace, settings, wanted = LISTS[method]
    source, out = tmp_path / "model", tmp_path / "out"
    deep("llama", hidden_size=64, intermediate_size=64).save_pretrained(source)
    quantised(source, settings, replace)
    (source / "quantize_config.json").write_text(json.dumps({"ignore": ["model.layers.3.mlp"]}))
    before = raw(source)
    prune_folder(source, [1], out)
    new = {0: 0, 2: 1, 3: 2}
    expected = {}
    for name, entry in before.items():
        head, found, rest = name.partition("model.layers.")
        if found:
            number, _, rest = rest.partition(".")
            if int(number) in new:
                expected[f"{head}{found}{new[int(number)]}.{rest}"] = entry
        else:
            expected[name] = entry
    assert raw(out) == expected
    written = config_of(out)["quantization_config"]
    assert {key: written[key] for key in wanted} == wanted
    assert json.loads((out / "quantize_config.json").read_text()) == {
        "ignore": ["model.layers.2.mlp"]
    }


def test_experts_in_blocks_of_four_bits_keep_every_byte(tmp_path: Path) -> None:
    """As gpt-oss stores them, under names without ``weight``."""
    source, out = tmp_path / "model", tmp_path / "out"
    deep("gpt_oss").save_pretrained(source)
    stored: dict[str, Any] = {}
    for name, tensor in load_file(source / WEIGHTS).items():
        if name.endswith(("experts.gate_up_proj", "experts.down_proj")):
            experts, rows, columns = tensor.shape
            groups = -(-rows // 32)
            stored[f"{name}_blocks"] = random_bytes(experts, columns, groups, 16)
            stored[f"{name}_scales"] = random_bytes(experts, columns, groups)
        else:
            stored[name] = tensor
    save_file(stored, source / WEIGHTS, {"format": "pt"})
    skipped = ["model.layers.*.self_attn", "lm_head", "model.layers.3.mlp.router"]
    settings = {"quant_method": "mxfp4", "modules_to_not_convert": skipped}
    path = source / "config.json"
    path.write_text(json.dumps(config_of(source) | {"quantization_config": settings}))
    before = raw(source)
    prune_folder(source, [1], out)
    expected = {
        name.replace("layers.2.", "layers.1.").replace("layers.3.", "layers.2."): entry
        for name, entry in before.items()
        if "layers.1." not in name
    }
    assert raw(out) == expected
    assert sum(name.endswith("_blocks") for name in expected) == 6
    lists = config_of(out)["quantization_config"]["modules_to_not_convert"]
    assert lists == [*skipped[:2], "model.layers.2.mlp.router"]


def test_what_bitsandbytes_wrote_computes_the_same_without_a_layer(tmp_path: Path) -> None:
    """Whole blocks of 64 weights, in 4 bits, as the library itself stores them."""
    pytest.importorskip("bitsandbytes")
    plain, source, out = (tmp_path / each for each in ("plain", "source", "out"))
    deep("llama", hidden_size=64, intermediate_size=128).save_pretrained(plain)
    load_model(str(plain), device_map="cpu", in_4bit=True).save_pretrained(source)
    assert any(name.endswith("bitsandbytes__nf4") for name in raw(source))
    prune_folder(source, [1], out)
    original, smaller = (load_model(str(each), device_map="cpu") for each in (source, out))
    assert original.hf_quantizer is not None
    original.model.layers[1].register_forward_hook(
        lambda _, inputs, output: inputs[0] if torch.is_tensor(output) else (inputs[0], *output[1:])
    )
    tokens = torch.arange(12).view(1, 12)
    with torch.inference_mode():
        ours, theirs = (each(tokens, use_cache=False).logits for each in (smaller, original))
    assert len(smaller.model.layers) == len(original.model.layers) - 1
    assert torch.equal(ours, theirs)


def test_weights_that_are_quantised_point_here(tmp_path: Path) -> None:
    model = deep("llama")
    model.hf_quantizer = object()
    with pytest.raises(InputError, match="--without-loading"):
        prune(model, [1], tmp_path / "out")


# --- what is refused -----------------------------------------------------------------------------


def damaged(folder: Path, copy: Path) -> Path:
    copy.mkdir()
    for path in folder.iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    return copy


def test_damaged_folders_are_refused(folder: Path, tmp_path: Path) -> None:
    def refused(source: Path, message: str) -> None:
        with pytest.raises(InputError, match=message) as error:
            prune_folder(source, [1], tmp_path / "out")
        assert "\n" not in str(error.value)
        assert not (tmp_path / "out").exists()

    shards = sorted(path.name for path in folder.glob("*.safetensors"))
    source = damaged(folder, tmp_path / "missing")
    (source / shards[1]).unlink()
    refused(source, rf"{shards[1]} is missing, in which {INDEX} has \d+ tensors")
    source = damaged(folder, tmp_path / "truncated")
    data = (source / shards[1]).read_bytes()
    (source / shards[1]).write_bytes(data[:-10])
    refused(source, "is truncated: its header speaks of")
    (source / shards[1]).write_bytes(data + b"more")
    refused(source, "is damaged: its header speaks of")
    (source / shards[1]).write_bytes(b"version https://git-lfs")
    refused(source, "is a pointer of Git LFS")
    source = damaged(folder, tmp_path / "index")
    index = json.loads((source / INDEX).read_text())
    name = next(key for key, file in index["weight_map"].items() if file == shards[0])
    index["weight_map"][name] = shards[-1]
    (source / INDEX).write_text(json.dumps(index))
    refused(source, f"{INDEX} disagrees with")
    index["weight_map"][name] = "../elsewhere.safetensors"
    (source / INDEX).write_text(json.dumps(index))
    refused(source, "no file beside it")
    source = damaged(folder, tmp_path / "pickled")
    for path in [*source.glob("*.safetensors"), source / INDEX]:
        path.unlink()
    refused(source, "holds neither")
    (source / "pytorch_model.bin").write_bytes(b"")
    refused(source, "would have to be unpickled")


def test_weights_that_are_not_the_models_are_refused(tmp_path: Path) -> None:
    source = tmp_path / "model"
    deep("llama").save_pretrained(source)
    tensors = load_file(source / WEIGHTS)
    del tensors["model.layers.2.mlp.up_proj.weight"]
    save_file(tensors, source / WEIGHTS, {"format": "pt"})
    with pytest.raises(InputError, match=r"lacks model\.layers\.2 \(1 tensor\)"):
        prune_folder(source, [1], tmp_path / "out")


def test_places_and_options_that_are_refused(folder: Path, tmp_path: Path) -> None:
    for out, message in (
        (folder, "which prune did not write"),
        (folder.parent, "which prune did not write"),
        (folder / "out", "the folder of the original; name one outside it"),
    ):
        with pytest.raises(InputError, match=message):
            prune_folder(folder, [1], out)
    smaller = tmp_path / "smaller"
    prune_folder(folder, [1], smaller)
    with pytest.raises(InputError, match="which would be replaced"):
        prune_folder(smaller, [1], smaller)
    with pytest.raises(InputError, match="verify must be one of files, full, not 'all'"):
        prune_folder(folder, [1], tmp_path / "out", verify="all")
    with pytest.raises(InputError, match="shard_size must be at least 1 byte, not 0"):
        prune_folder(folder, [1], tmp_path / "out", shard_size=0)
    with pytest.raises(InputError, match=r"the model has no block 'layers.1.mlp'"):
        prune_folder(folder, ["layers.1.mlp"], tmp_path / "out")
    with pytest.raises(InputError, match="blocks go from 0 to 3, but 4 is to be removed"):
        prune_folder(folder, [4], tmp_path / "out")
    assert not (tmp_path / "out").exists()


# --- memory, kills, full disks -------------------------------------------------------------------


def test_memory_does_not_grow_with_the_tensors(tmp_path: Path) -> None:
    source = tmp_path / WEIGHTS
    size = 8 * CHUNK
    save_file({"a": torch.zeros(size, dtype=torch.uint8)}, source)
    shards = cut_into_shards(read_weight_files(tmp_path).tensors, size)
    (tmp_path / "out").mkdir()
    tracemalloc.start()
    try:
        write_shards(tmp_path / "out", shards, {})
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 1.5 * CHUNK
    assert (tmp_path / "out" / WEIGHTS).stat().st_size > size


def test_shards_hold_at_most_what_they_may() -> None:
    generator = np.random.default_rng(0)
    tensors = {
        f"t{i}": StoredTensor(f"t{i}", "U8", (int(n),), Path("x"), 0, int(n))
        for i, n in enumerate(generator.integers(1, 60, 200))
    }
    shards = cut_into_shards(tensors, 100)
    assert all(shard.size <= 100 for shard in shards)
    assert sorted(name for shard in shards for name in shard.tensors) == sorted(tensors)
    assert len(cut_into_shards(tensors, 1)) == 200  # a tensor each, none is cut


KILLED = """
import os, signal, sys, time
from qubo_prune.pruning.rewriting import rewriter, weight_writing
weight_writing.CHUNK = 512
write = weight_writing._write
def slowly(target, data):
    time.sleep(0.002)
    write(target, data)
weight_writing._write = slowly
source, out, other = sys.argv[1:]
rewriter.prune_folder(source, [1, 2], other)
started = time.monotonic()
rewriter.prune_folder(source, [1, 2], other)
lasts = time.monotonic() - started
print("ready", flush=True)
for fraction in sys.stdin:
    child = os.fork()
    if not child:
        rewriter.prune_folder(source, [1, 2], out)
        os._exit(0)
    time.sleep(float(fraction) * lasts)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    print("killed", flush=True)
"""
"""Runs are forked from a process that has everything imported, so that they are killed at work."""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
def test_killed_at_random_moments(folder: Path, tmp_path: Path) -> None:
    out, old_place = tmp_path / "out", tmp_path / ".out.old"
    prune_folder(folder, [1], out)
    old = contents(out)
    fractions = (np.arange(20) + np.random.default_rng(0).random(20)) / 20
    num_unfinished = 0
    with subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", KILLED, *map(str, (folder, out, tmp_path / "b"))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        for fraction in fractions:
            process.stdin.write(f"{fraction}\n")
            process.stdin.flush()
            assert process.stdout.readline() == "killed\n"
            num_unfinished += (tmp_path / ".out.new").exists()
            found = contents(out if out.exists() else old_place)  # between two renames
            if found != old:
                assert len(json.loads(found["prune.json"])["removed"]) == 2
                load(out if out.exists() else old_place)
        process.stdin.close()
    assert num_unfinished > 2
    prune_folder(folder, [0, 1], out)
    assert load(out).config.num_hidden_layers == 2
    assert not [path for path in tmp_path.iterdir() if path.name in (".out.new", ".out.old")]


def test_a_full_disk_is_one_line(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prune_folder(folder, [1], tmp_path / "out")
    old = contents(tmp_path / "out")

    def full(target: Any, data: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(weight_writing, "_write", full)
    with pytest.raises(OutputError, match=r"cannot be written \(No space left on device\)"):
        prune_folder(folder, [2], tmp_path / "out")
    assert contents(tmp_path / "out") == old
    usage = type("Usage", (), {"free": 1000})()
    monkeypatch.setattr(saving.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(OutputError, match="has 1 kB of free space, but the model takes"):
        prune_folder(folder, [2], tmp_path / "out")


def test_bytes_that_change_on_the_way_are_noticed(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = weight_writing._write

    def flipped(target: Any, data: Any) -> None:
        write(target, memoryview(bytes(data)[:-1] + bytes([data[-1] ^ 1])))

    monkeypatch.setattr(weight_writing, "_write", flipped)
    with pytest.raises(InputError, match="does not hold the bytes that were written"):
        prune_folder(folder, [1], tmp_path / "out")
    assert not (tmp_path / "out").exists()
