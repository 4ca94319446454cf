"""Removals in the files of others: what is read, what is written, what is refused."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qubo_prune import Problem, solve
from qubo_prune.core.errors import InputError
from qubo_prune.pruning.removal_lists import FORMATS, Blocks, read_removals, write_removals

LAYERS = [f"layers.{i}" for i in range(6)]
BRANCHES = [f"layers.{i}.{kind}" for i in range(4) for kind in ("attention", "mlp")]
HYBRID = ["layers.0.mamba", "layers.1.mamba", "layers.1.moe", "layers.2.attention", "layers.2.mlp"]


def read(tmp_path: Path, name: str, text: str, names: list[str], **options: str) -> list:
    path = tmp_path / name
    path.write_text(text)
    return read_removals(path, names, **options)


EVOPRESS = "none\nattn\nattn+mlp\nmlp\n"
LLM_DROP = '{"model_type": "mistral", "drop_attn_list": [2, 1], "drop_mlp_list": [3, 2]}'
MERGEKIT = """
slices:
  - sources:
      - model: some/model
        layer_range: [0, 2]
  - sources:
      - model: some/model
        layer_range: [3, 5]
merge_method: passthrough
dtype: bfloat16
"""


@pytest.mark.parametrize(
    ("name", "text", "names", "expected"),
    [
        ("layer_drop_config.txt", EVOPRESS, BRANCHES, [(2, 4, 5, 7)]),
        ("drops.txt", "attn+mlp\nnone\nattn+mlp\n", LAYERS[:3], [(0, 2)]),
        ("drops.txt", "attn\nmlp\nattn+mlp\n", HYBRID, [(0, 2, 3, 4)]),
        ("config.json", LLM_DROP, BRANCHES, [(2, 4, 5, 7)]),
        ("config.json", '{"drop_attn_list": [1], "drop_mlp_list": [1]}', LAYERS, [(1,)]),
        (
            "config.json",
            '{"drop_mlp_list": null, "drop_attn_list": [true, false, false, true]}',
            BRANCHES,
            [(0, 6)],
        ),
        ("merge.yaml", MERGEKIT, LAYERS, [(2, 5)]),
        ("merge.yml", MERGEKIT.replace("[3, 5]", "[2, 4]"), BRANCHES, [()]),
        ("merge.yaml", MERGEKIT.replace("[3, 5]", "[3, 4]"), BRANCHES, [(4, 5)]),
        ("list.json", "[3, 1]", LAYERS, [(1, 3)]),
        ("list.json", '[["layers.3", 1], [0]]', LAYERS, [(1, 3), (0,)]),
        ("list.json", "[]", LAYERS, []),
        ("selection.json", '{"removals": [{"removed": [4, 2], "loss": 1.5}]}', LAYERS, [(2, 4)]),
        ("object.json", '{"removed": [4, 2]}', LAYERS, [(2, 4)]),
        ("list", "[[1], [2]]", LAYERS, [(1,), (2,)]),
        (
            "list.txt",
            "# best first\n0, 2-4\n1 layers.5  # names too\n",
            LAYERS,
            [(0, 2, 3, 4), (1, 5)],
        ),
        ("list.txt", "3\n1\n\n5\n", LAYERS, [(1, 3, 5)]),
        ("list.txt", "layers.3.mlp", BRANCHES, [(7,)]),
        ("list.txt", "0", ["embed", "block"], [(0,)]),
    ],
)
def test_files_of_others_are_read(
    tmp_path: Path, name: str, text: str, names: list[str], expected: list
) -> None:
    assert read(tmp_path, name, text, names) == expected


@pytest.mark.parametrize("suffix", [".json", ".npz"])
def test_a_spectrum_is_read_state_by_state(tmp_path: Path, suffix: str) -> None:
    diagonal = np.diag(np.arange(6.0))
    spectrum = solve(Problem(diagonal, remove=2, names=LAYERS), num_states=3)
    path = tmp_path / f"spectrum{suffix}"
    spectrum.save(path)
    assert read_removals(path, LAYERS) == [(0, 1), (0, 2), (0, 3)]
    assert read_removals(path, LAYERS, format="spectrum") == [(0, 1), (0, 2), (0, 3)]
    with pytest.raises(InputError, match=r"other blocks than the 6 of this model"):
        read_removals(path, BRANCHES[:6])


def spelled(line: int, problem: str) -> str:
    return rf"line {line} of .*{problem}"


@pytest.mark.parametrize(
    ("name", "text", "names", "message"),
    [
        ("d.txt", "none\nattention\n", BRANCHES, spelled(2, "it says 'attention'")),
        ("d.txt", "none\nnone\nnone\n", BRANCHES, spelled(3, "after 3 of the model's 4 layers")),
        ("d.txt", "none\n" * 5, BRANCHES, spelled(5, "has 4 layers, and this is one more")),
        ("d.txt", "none\nattn\n" + "none\n" * 4, LAYERS, spelled(2, "only the attn goes")),
        ("d.txt", "mlp\nnone\nnone\n", HYBRID, spelled(1, "layer 0 of the model has no mlp")),
        ("c.json", '{"drop_attn_list": [9]}', BRANCHES, "holds layer 9, outside 0...3"),
        ("c.json", '{"drop_attn_list": [1, 1]}', BRANCHES, "holds layer 1 twice"),
        ("c.json", '{"drop_attn_list": [1.5]}', BRANCHES, "wrong value, 1.5"),
        ("c.json", '{"drop_attn_list": "all"}', BRANCHES, "wrong value, 'all'"),
        ("c.json", '{"drop_mlp_list": [true]}', BRANCHES, "says yes or no to 1 layers"),
        ("c.json", '{"drop_mlp_list": [1]}', LAYERS, "only the mlp goes"),
        ("c.json", '{"drop_mlp_list": [1]', LAYERS, "is not JSON"),
        ("m.yaml", "slices: [", LAYERS, spelled(1, "it is not YAML")),
        ("m.yaml", "a: b\n", LAYERS, "has no list of slices"),
        ("m.yaml", MERGEKIT.replace("passthrough", "slerp"), LAYERS, spelled(9, "is 'slerp'")),
        ("m.yaml", MERGEKIT.replace("[3, 5]", "[1, 5]"), LAYERS, spelled(6, "back to layer 1")),
        ("m.yaml", MERGEKIT.replace("[3, 5]", "[3, 9]"), LAYERS, spelled(6, "up to 8")),
        ("m.yaml", MERGEKIT.replace("[3, 5]", "[3, 3]"), LAYERS, spelled(6, "is empty")),
        ("m.yaml", MERGEKIT.replace("[3, 5]", "3"), LAYERS, spelled(6, "not two whole numbers")),
        ("m.yaml", "slices: [{sources: []}]", LAYERS, "exactly one source"),
        ("m.yaml", "!!python/object/apply:os.getcwd []", LAYERS, "it is not YAML"),
        ("l.json", "[6]", LAYERS, "block 6 is outside 0...5"),
        ("l.json", "[-1]", LAYERS, "block -1 is outside"),
        ("l.json", "[1, true]", LAYERS, "True is neither an index nor a name"),
        ("l.json", "[1, 1]", LAYERS, "block 1 is there twice"),
        ("l.json", '["layers.1", 1]', LAYERS, "block 1 is there twice"),
        ("l.json", '["layer.1"]', LAYERS, "there is no block 'layer.1'"),
        ("l.json", '{"names": ["a"], "removed": [0]}', LAYERS, "about other blocks"),
        ("l.json", '{"blocks": [0]}', LAYERS, "neither removals nor removed"),
        ("l.json", '[[0], {"loss": 1}]', LAYERS, "removal 1 is .* not a list of blocks"),
        ("l.json", '{"removed": [0], "removed": [1]}', LAYERS, "there twice"),
        ("t.txt", "0\n7\n", LAYERS, "block 7 is outside"),
        ("t.txt", "0, 1\n3, 9\n", LAYERS, spelled(2, "block 9 is outside")),
        ("t.txt", "4-2\n", LAYERS, spelled(1, "does not ascend")),
        ("t.txt", "0-999999999\n", LAYERS, spelled(1, "more than a million")),
        ("t.txt", "# nothing\n", LAYERS, "names no block"),
        ("t.txt", "0 layers\n", LAYERS, spelled(1, "no block 'layers'")),
    ],
)
def test_what_is_wrong_is_said_in_one_line(
    tmp_path: Path, name: str, text: str, names: list[str], message: str
) -> None:
    with pytest.raises(InputError, match=message) as caught:
        read(tmp_path, name, text, names)
    assert str(tmp_path / name) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_unknown_format_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no format 'gguf' of removals; choose one of: evopress"):
        read(tmp_path, "d.txt", "none\n", BRANCHES, format="gguf")


def test_aliases_do_not_multiply(tmp_path: Path) -> None:
    bomb = "a: &a [x, x, x, x, x, x, x, x, x]\n"
    for name, before in zip("bcdefghij", "abcdefghi", strict=True):
        bomb += f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]\n"
    with pytest.raises(InputError, match="merge_method is list"):
        read(tmp_path, "m.yaml", bomb + "slices: []\nmerge_method: *j\n", LAYERS)


@st.composite
def removals_of(draw: st.DrawFn, names: list[str], *, one: bool = False) -> list[tuple[int, ...]]:
    removal = st.sets(st.integers(0, len(names) - 1)).map(lambda blocks: tuple(sorted(blocks)))
    return draw(st.lists(removal, min_size=1, max_size=1 if one else 4))


@given(removals_of(BRANCHES))
def test_json_comes_back(tmp_path_factory: pytest.TempPathFactory, removals: list) -> None:
    path = tmp_path_factory.mktemp("json") / "removals.json"
    write_removals(path, removals, BRANCHES, format="json")
    assert read_removals(path, BRANCHES) == removals


@given(removals_of(BRANCHES))
def test_text_comes_back_or_is_refused(
    tmp_path_factory: pytest.TempPathFactory, removals: list
) -> None:
    path = tmp_path_factory.mktemp("text") / "removals.txt"
    if not all(removals) or (len(removals) > 1 and all(len(each) == 1 for each in removals)):
        with pytest.raises(InputError, match="write json"):
            write_removals(path, removals, BRANCHES, format="text")
    else:
        write_removals(path, removals, BRANCHES, format="text")
        assert read_removals(path, BRANCHES) == removals


@pytest.mark.parametrize("name", ["evopress", "llm-drop"])
@given(removals_of(BRANCHES, one=True))
def test_branches_come_back(
    tmp_path_factory: pytest.TempPathFactory, name: str, removals: list
) -> None:
    path = tmp_path_factory.mktemp(name) / ("config.json" if name == "llm-drop" else "drop.txt")
    write_removals(path, removals, BRANCHES, format=name)
    assert read_removals(path, BRANCHES) == removals


@pytest.mark.parametrize("name", ["evopress", "llm-drop", "mergekit"])
@given(removals_of(LAYERS, one=True))
def test_layers_come_back(
    tmp_path_factory: pytest.TempPathFactory, name: str, removals: list
) -> None:
    suffix = {"evopress": "txt", "llm-drop": "json", "mergekit": "yaml"}[name]
    path = tmp_path_factory.mktemp(name) / f"removal.{suffix}"
    if name == "mergekit" and len(removals[0]) == len(LAYERS):
        with pytest.raises(InputError, match="at least one layer that stays"):
            write_removals(path, removals, LAYERS, format=name)
    else:
        write_removals(path, removals, LAYERS, format=name)
        assert read_removals(path, LAYERS) == removals


def test_what_is_written_is_what_others_read(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_removals(path, [[2, 5, 4]], BRANCHES, format="evopress")
    assert path.read_text() == "none\nattn\nattn+mlp\nnone\n"
    write_removals(path, [[2, 5, 4]], BRANCHES, format="llm-drop")
    assert json.loads(path.read_text()) == {"drop_attn_list": [1, 2], "drop_mlp_list": [2]}
    write_removals(path, [[2, 3]], LAYERS, format="mergekit")
    ranges = re.findall(r"layer_range: (\[.*\])", path.read_text())
    assert ranges == ["[0, 2]", "[4, 6]"]


@pytest.mark.parametrize(
    ("removals", "names", "format_", "message"),
    [
        ([[0], [1]], LAYERS, "evopress", "holds one removal, not 2"),
        ([[0]], BRANCHES, "mergekit", "of layer 0 only layers.0.attention is removed"),
        ([[0]], ["layers.0.attention", "layers.0.mamba"], "evopress", "only some of the branches"),
        ([[6]], LAYERS, "json", "distinct blocks from 0 to 5"),
        ([[1, 1]], LAYERS, "json", "distinct blocks"),
        ([[1]], LAYERS, "spectrum", "cannot be written as spectrum"),
    ],
)
def test_what_a_format_cannot_say_is_refused(
    tmp_path: Path, removals: list, names: list[str], format_: str, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        write_removals(tmp_path / "file", removals, names, format=format_)
    assert list(tmp_path.iterdir()) == []


def test_a_missing_yaml_library_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "yaml", None)
    with pytest.raises(InputError, match=r"PyYAML.*pip install 'qubo-prune\[torch\]'"):
        read(tmp_path, "m.yaml", MERGEKIT, LAYERS)


def test_every_format_has_a_sentence() -> None:
    assert len({each.name for each in FORMATS}) == len(FORMATS)
    assert all(each.summary.endswith(".") for each in FORMATS)


def test_blocks_without_layer_names_are_layers() -> None:
    blocks = Blocks(["a", "layers.7", "c"])
    assert blocks.num_layers == 3
    assert blocks.of(1) == [1]
    assert blocks.is_whole(1)


PIECES = st.sampled_from(
    ["slices:", " - sources:", "layer_range", "[0, 2]", "merge_method", ": ", "\n", "&a", "*a", "<<",
     "- ", "{", "}", "[", "]", '"removed"', '"removals"', '"drop_attn_list"', ":", ",", "1", "-7",
     "1e999", "NaN", "null", "true", "none", "attn", "mlp", "attn+mlp", "0-3", "#", "layers.1",
     "\ufeff", "\x00", "\r\n", "\t", "é", "!!python/name:os.system", "2026-13-99", "0o9", "? "]
)  # fmt: skip


@pytest.mark.parametrize("suffix", [".txt", ".json", ".yaml", ""])
@given(
    st.binary(max_size=60) | st.lists(PIECES, max_size=25).map(lambda each: "".join(each).encode())
)
def test_whatever_is_in_a_file_it_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, suffix: str, data: bytes
) -> None:
    path = tmp_path_factory.mktemp("any") / f"file{suffix}"
    path.write_bytes(data)
    for names in (LAYERS, BRANCHES):
        removals: list[tuple[int, ...]] = []
        said = "one line"
        try:
            removals = read_removals(path, names)
        except InputError as error:
            said = str(error)
        assert len(said.splitlines()) == 1
        for removed in removals:
            assert removed == tuple(sorted(set(removed)))
            assert all(0 <= block < len(names) for block in removed)


@pytest.mark.parametrize(
    "text",
    [
        "slices:\n- sources:\n  - {layer_range: [0, 2]}\n",
        "slices:\n- sources:\n  - {layer_range: [0, 1], model: a}\n- sources: &s\n  - {layer_range: [1, 2]}\n",
        "base: &b {merge_method: passthrough}\n<<: *b\nslices:\n- sources: [{layer_range: [0, 2]}]\n",
    ],
)
def test_yaml_of_any_style_is_read(tmp_path: Path, text: str) -> None:
    assert read(tmp_path, "m.yaml", text, LAYERS) == [(2, 3, 4, 5)]


@pytest.mark.parametrize(
    "text",
    [
        "base: &b {merge_method: linear}\n<<: *b\nslices: [{sources: [{layer_range: [0, 2]}]}]\n",
        "slices: [{sources: [{layer_range: [0, 2]}, {layer_range: [0, 2]}]}]\n",
        "slices: [{sources: [{layer_range: [0, true]}]}]\n",
        "slices: [{sources: [{layer_range: [0, 1, 2]}]}]\n",
        "slices: [{sources: [{layer_range: [-1, 2]}]}]\n",
        "slices: [7]\n",
        "slices: {a: 1}\n",
        "- 1\n",
    ],
)
def test_yaml_that_is_no_removal_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(InputError, match=r"line \d+ of .*m.yaml cannot be read"):
        read(tmp_path, "m.yaml", text, LAYERS)
