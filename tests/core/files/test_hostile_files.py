"""Files that nobody vouches for: keys that are there twice, at once and at any size."""

from __future__ import annotations

import json
import time
from pathlib import Path

import dimod
import numpy as np
import pytest

from qubo_prune import InputError, Problem, Spectrum, load_hessian, save_hessian, solve
from qubo_prune.cli.main import main
from qubo_prune.core.files.strict_json import Reader

READER = Reader(Path("file.json"), "file", "write it again")


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ('{"a": 1, "a": 1}', "'a'"),
        ('{"a": 1, "b": {"c": 1, "d": 2, "c": 3}}', "'c'"),
        ('{"a": [{}, {"": 0, "": 1}]}', "''"),
        ('{"a": 1, "\\u0061": 2}', "'a'"),
    ],
)
def test_repeated_keys_are_refused_at_any_depth(text: str, key: str) -> None:
    with pytest.raises(InputError, match=f"the key {key} is there twice"):
        READER.parse(text.encode())


@pytest.mark.parametrize("last", ["k0", "k99999", "new"])
def test_the_search_for_repeated_keys_takes_no_longer_than_reading(last: str) -> None:
    """A search that counts each key in all others takes minutes here, not a tenth of a second."""
    text = "{" + "".join(f'"k{i}": 0, ' for i in range(100_000)) + f'"{last}": 0}}'
    begin = time.process_time()
    if last == "new":
        assert len(READER.parse(text.encode())) == 100_001
    else:
        with pytest.raises(InputError, match=f"'{last}' is there twice"):
            READER.parse(text.encode())
    assert time.process_time() - begin < 5


@pytest.mark.parametrize(
    "repeated",
    [
        '"remove": 1, "remove": 2',
        '"loss": 1, "names": ["a", "b"], "loss": 2',
        '"x": {"y": 1, "y": 2}',
    ],
)
@pytest.mark.parametrize("suffix", [".npy", ".coo"])
def test_a_sidecar_with_a_repeated_key_is_refused(
    repeated: str, suffix: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / f"h{suffix}"
    if suffix == ".npy":
        np.save(path, np.eye(2))
        beside = tmp_path / "h.json"
    else:
        path.write_text("# vartype=BINARY\n0 0 1\n1 1 1\n")
        beside = tmp_path / "h.coo.json"
    beside.write_text(f'{{"format_version": 1, {repeated}}}')
    with pytest.raises(InputError, match=r"is there twice"):
        load_hessian(path)
    assert main(["solve", str(path), "--remove", "1"]) == 2
    assert "is there twice" in " ".join(capsys.readouterr().err.split())


def test_spectra_and_headers_with_repeated_keys_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "spectrum.json"
    solve(Problem(np.eye(3), 1)).save(path)
    path.write_text(path.read_text().replace('"seed":', '"seed": 1, "seed":'))
    with pytest.raises(InputError, match="'seed' is there twice"):
        Spectrum.load(path)
    bqm = dimod.BinaryQuadraticModel({0: 1.0}, {}, 0.0, "BINARY")
    with bqm.to_file() as file:
        data = file.read()
    old = b'"vartype": "BINARY"'
    assert old in data
    (tmp_path / "a.bqm").write_bytes(
        data.replace(b'"type": "BinaryQuadraticModel"', b'"vartype": "SPIN"             ')
    )
    with pytest.raises(InputError, match="'vartype' is there twice"):
        load_hessian(tmp_path / "a.bqm")


def test_a_sidecar_without_repetition_is_read(tmp_path: Path) -> None:
    save_hessian(
        tmp_path / "h.npy", np.eye(2), remove=1, calibration={"a": {"b": 1}, "c": {"b": 1}}
    )
    assert load_hessian(tmp_path / "h.npy").remove == 1
    assert json.loads((tmp_path / "h.json").read_text())["calibration"]["c"] == {"b": 1}
