"""Loading a model: one line about whatever is wrong with it, and never a random weight."""

from __future__ import annotations

import json
import shutil
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from qubo_prune import InputError  # noqa: E402
from qubo_prune.cli.main import main  # noqa: E402
from qubo_prune.hessians import load_hessian, load_model  # noqa: E402
from qubo_prune.hessians.language_model import check_length, describe  # noqa: E402

SIZES = {
    "vocab_size": 40,
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    config = transformers.LlamaConfig(**SIZES, num_hidden_layers=3)
    transformers.LlamaForCausalLM(config).save_pretrained(tmp_path / "tiny")
    return tmp_path / "tiny"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "tokens.jsonl"
    path.write_text("".join(f"{[i, i + 1, i + 2, i + 3]}\n" for i in range(6)))
    return path


def reconfigure(folder: Path, **changes: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def weights(folder: Path) -> dict[str, Any]:
    from safetensors.torch import load_file

    loaded: dict[str, Any] = load_file(folder / "model.safetensors")
    return loaded


def keep_weights(folder: Path, **kept: Any) -> None:
    from safetensors.torch import save_file

    save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})


def more_layers(folder: Path) -> None:
    reconfigure(folder, num_hidden_layers=5)


def one_tensor_less(folder: Path) -> None:
    state = weights(folder)
    del state["model.layers.1.mlp.up_proj.weight"]
    keep_weights(folder, **state)


def no_layer_0(folder: Path) -> None:
    keep_weights(
        folder, **{k: v for k, v in weights(folder).items() if not k.startswith("model.layers.0.")}
    )


def no_embeddings(folder: Path) -> None:
    state = weights(folder)
    del state["model.embed_tokens.weight"]
    keep_weights(folder, **state)


def larger_vocabulary(folder: Path) -> None:
    reconfigure(folder, vocab_size=50)


def other_heads(folder: Path) -> None:
    reconfigure(folder, num_key_value_heads=1)


def pointer(folder: Path) -> None:
    text = "version https://git-lfs.github.com/spec/v1\noid sha256:abc\nsize 123\n"
    (folder / "model.safetensors").write_text(text)


def truncated(folder: Path) -> None:
    data = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(data[:1000])


def no_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()


def adapter(folder: Path) -> None:
    (folder / "config.json").unlink()
    (folder / "adapter_config.json").write_text("{}")


def no_config(folder: Path) -> None:
    (folder / "config.json").unlink()


def broken_config(folder: Path) -> None:
    (folder / "config.json").write_text("{")


def unknown_type(folder: Path) -> None:
    reconfigure(folder, model_type="none of them", architectures=["None"])


def hub_kernel(folder: Path) -> None:
    reconfigure(folder, _attn_implementation="somebody/kernel")


def hub_kernel_inside(folder: Path) -> None:
    reconfigure(folder, text_config={"attn_implementation": "somebody/kernel:fast"})


DAMAGE = {
    more_layers: r"lacks model\.layers\.3, model\.layers\.4 \(18 tensors\), which would be random",
    one_tensor_less: r"lacks model\.layers\.1 \(1 tensor\)",
    no_layer_0: r"lacks model\.layers\.0 \(9 tensors\)",
    no_embeddings: r"lacks model\.embed_tokens\.weight \(1 tensor\)",
    larger_vocabulary: r"_tokens\.weight of size \(40, 16\), .* asks for \(50, 16\) \(\d such|"
    r"lm_head\.weight of size \(40, 16\), .* asks for \(50, 16\) \(2 such in all\); correct",
    other_heads: r"k_proj\.weight of size \(16, 16\), .* asks for \(8, 16\) \(6 such in all\)",
    pointer: r"model\.safetensors is a pointer of Git LFS, .* git lfs pull",
    truncated: "cannot be loaded",
    no_weights: "cannot be loaded",
    adapter: "holds an adapter, not a model; merge it",
    no_config: r"has no config\.json",
    broken_config: "cannot be loaded",
    unknown_type: "cannot be loaded",
    hub_kernel: r"the attention kernel 'somebody/kernel' of the hub.*--trust-remote-code",
    hub_kernel_inside: r"the attention kernel 'somebody/kernel:fast'",
}


@pytest.mark.parametrize("damage", DAMAGE, ids=lambda damage: damage.__name__)
def test_what_is_wrong_is_said_in_a_line(
    damage: Any, folder: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    damage(folder)
    with pytest.raises(InputError, match=DAMAGE[damage]) as caught:
        load_model(str(folder), device_map="cpu")
    assert "\n" not in str(caught.value)
    assert "tiny" in str(caught.value)
    out = tmp_path / "h.npy"
    assert main(["extract", str(folder), "--data", str(data), "--out", str(out), "-q"]) == 2
    assert "tiny" in capsys.readouterr().err
    assert not out.exists()


@pytest.mark.parametrize("name", ["no/such-model", "nosuchmodel", "/no/such/folder"])
def test_a_name_that_is_none(
    name: str, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(InputError, match="cannot be loaded"):
        load_model(name, device_map="cpu")


@pytest.mark.parametrize("device", ["cuda:0", "cuda:7", "abacus"])
def test_a_device_that_is_not_there(folder: Path, device: str) -> None:
    if device.startswith("cuda") and torch.cuda.is_available():
        pytest.skip("there are GPUs here")
    with pytest.raises(InputError, match="cannot be loaded"):
        load_model(str(folder), device_map=device)


def test_surplus_layers_are_named(folder: Path, data: Path, tmp_path: Path) -> None:
    reconfigure(folder, num_hidden_layers=2)
    with pytest.warns(UserWarning, match=r"holds model\.layers\.2 \(9 tensors\), which the model"):
        model = load_model(str(folder), device_map="cpu")
    assert len(describe(model)["surplus_weights"]) == 9
    out = tmp_path / "h.npy"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        command = ["extract", str(folder), "--data", str(data), "--samples", "4", "-q"]
        assert main([*command, "--out", str(out)]) == 0
    assert len(load_hessian(out).metadata["surplus_weights"]) == 9


def test_a_whole_checkpoint_is_loaded_silently(folder: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = load_model(str(folder), device_map="cpu")
    assert "surplus_weights" not in describe(model)


def test_text_without_a_tokenizer(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "text.jsonl"
    path.write_text('{"text": "hello"}\n')
    command = ["extract", str(folder), "--data", str(path), "--out", str(tmp_path / "h.npy")]
    assert main(command) == 2
    said = capsys.readouterr().err
    assert "comes with no tokenizer that can be loaded, but line 1 of" in said
    shutil.rmtree(folder)
    assert main(command) == 2
    assert "cannot be loaded" in capsys.readouterr().err


TABLES = {
    "gpt2": lambda: transformers.GPT2LMHeadModel(
        transformers.GPT2Config(
            vocab_size=40, n_embd=16, n_layer=2, n_head=2, n_positions=16,
            bos_token_id=0, eos_token_id=1,
        )
    ),
    "opt": lambda: transformers.OPTForCausalLM(
        transformers.OPTConfig(
            vocab_size=40, hidden_size=16, ffn_dim=32, num_hidden_layers=2, num_attention_heads=2,
            max_position_embeddings=16, word_embed_proj_dim=16, pad_token_id=0,
        )
    ),
    "gpt_bigcode": lambda: transformers.GPTBigCodeForCausalLM(
        transformers.GPTBigCodeConfig(
            vocab_size=40, n_embd=16, n_layer=2, n_head=2, n_positions=16,
            bos_token_id=0, eos_token_id=1,
        )
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", TABLES)
def test_samples_beyond_a_table_of_positions(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = TABLES[name]()
    check_length(model, 16)
    with pytest.raises(InputError, match=r"has 17 tokens, but the positions of .* end at 16"):
        check_length(model, 17)
    model.save_pretrained(tmp_path / name)
    path = tmp_path / "tokens.npy"
    np.save(path, np.arange(2, 40).repeat(4))
    command = ["extract", str(tmp_path / name), "--data", str(path), "--samples", "3", "-q"]
    command += ["--out", str(tmp_path / "h.npy"), "--sequence-length"]
    assert main([*command, "20"]) == 2
    assert "use --sequence-length 16" in capsys.readouterr().err
    assert main([*command, "16"]) == 0


def test_computed_positions_have_no_limit(folder: Path) -> None:
    reconfigure(folder, max_position_embeddings=16)
    check_length(load_model(str(folder), device_map="cpu"), 1000)
