"""Tensors of torch, read without it: equal to what torch reads, and nothing is ever run."""

from __future__ import annotations

import io
import json
import os
import pickle
import subprocess
import sys
import warnings
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from qubo_prune.core.errors import InputError  # noqa: E402
from qubo_prune.core.files.hessian import load_hessian  # noqa: E402
from qubo_prune.core.files.torch_file import read_tensor  # noqa: E402
from qubo_prune.core.problem.problem import Problem  # noqa: E402
from qubo_prune.hessians import diagnose  # noqa: E402

LAYOUTS: dict[str, dict[str, Any]] = {
    "zip": {},
    "zip, protocol 4": {"pickle_protocol": 4},
    "stream": {"_use_new_zipfile_serialization": False},
    "stream, protocol 4": {"_use_new_zipfile_serialization": False, "pickle_protocol": 4},
}


def saved(path: Path, value: Any, **options: Any) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.save(value, path, **options)
    return path


def read(path: Path) -> Any:
    return read_tensor(path, path.read_bytes())


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32", "float64", "int64", "uint8"])
def test_it_reads_what_torch_reads(layout: str, dtype: str, tmp_path: Path) -> None:
    rows = torch.randn(7, 5, generator=torch.Generator().manual_seed(1)) * 50
    tensor = rows.abs().to(getattr(torch, dtype))
    found = read(saved(tmp_path / "A.pt", tensor, **LAYOUTS[layout]))
    exact = tensor.float() if dtype == "bfloat16" else tensor
    assert found.dtype == exact.numpy().dtype
    assert found.tobytes() == exact.numpy().tobytes()


def test_special_values_of_bfloat16(tmp_path: Path) -> None:
    every = torch.arange(1 << 16, dtype=torch.int32).to(torch.uint16).view(torch.bfloat16)
    found = read(saved(tmp_path / "A.pt", every.reshape(256, 256)))
    assert found.tobytes() == every.float().numpy().reshape(256, 256).tobytes()


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_parts_of_larger_tensors(data: st.DataObject) -> None:
    whole = torch.arange(120, dtype=torch.bfloat16).reshape(2, 3, 4, 5)
    view = whole.permute(*data.draw(st.permutations(range(4))))
    for axis in range(4):
        start = data.draw(st.integers(0, view.shape[axis]))
        stop = data.draw(st.integers(start, view.shape[axis]))
        view = view[(slice(None),) * axis + (slice(start, stop, data.draw(st.integers(1, 3))),)]
    if data.draw(st.booleans()):
        view = view.unsqueeze(0).expand(3, *view.shape)
    buffer = io.BytesIO()
    torch.save(view, buffer)
    found = read_tensor(Path("A.pt"), buffer.getvalue())
    assert found.shape == tuple(view.shape)
    assert np.array_equal(found, view.float().numpy())


class Harmful:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


def archive(path: Path, members: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as file:
        for name, data in members.items():
            file.writestr(f"A/{name}", data)
    return path


def members_of(tensor: Any) -> dict[str, bytes]:
    buffer = io.BytesIO()
    torch.save(tensor, buffer)
    with zipfile.ZipFile(buffer) as file:
        return {each.partition("/")[2]: file.read(each) for each in file.namelist()}


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("wrap", ["bare", "list", "dict", "stream"])
def test_nothing_is_run(protocol: int, wrap: str, tmp_path: Path) -> None:
    trace = tmp_path / "it-ran"
    harmful: Any = Harmful(trace)
    value = {"list": [harmful], "dict": {"A": harmful}}.get(wrap, harmful)
    harm = pickle.dumps(value, protocol=protocol)
    path = tmp_path / "A.pt"
    if wrap == "stream":
        start = io.BytesIO()
        torch.save(torch.zeros(2, 2), start, _use_new_zipfile_serialization=False)
        path.write_bytes(start.getvalue()[:137] + harm)
    else:
        archive(path, members_of(torch.zeros(2, 2)) | {"data.pkl": harm})
    with pytest.raises(InputError, match=r"A\.pt is not a valid file of one tensor: ") as refused:
        load_hessian(path)
    assert "\n" not in str(refused.value)
    assert not trace.exists()
    pickle.loads(harm)  # and it would have run  # noqa: S301
    assert trace.exists()


def reduced(function: bytes, arguments: bytes) -> bytes:
    return b"\x80\x02c" + function + b"\n" + arguments + b"R."


TENSOR = members_of(torch.arange(12.0).reshape(4, 3))
PICKLE = TENSOR["data.pkl"]
REFUSED: dict[str, tuple[Callable[[Path], Any], str]] = {
    "a dict": (lambda p: saved(p, {"energies": torch.zeros(2)}), "a dict of 'energies', not one"),
    "a list": (lambda p: saved(p, [torch.zeros(2, 2)]), "a list, not one tensor"),
    "a parameter": (
        lambda p: saved(p, torch.nn.Parameter(torch.zeros(2, 2))),
        "'torch._utils._rebuild_parameter', which is never run",
    ),
    "sparse": (lambda p: saved(p, torch.eye(3).to_sparse()), "which is never run"),
    "complex": (lambda p: saved(p, torch.zeros(2, 2, dtype=torch.complex64)), "never run"),
    "a module": (lambda p: saved(p, torch.nn.Linear(2, 2)), "which is never run"),
    "no description": (lambda p: archive(p, {"x": b""}), "has no data.pkl"),
    "no numbers": (lambda p: archive(p, {"data.pkl": PICKLE}), "has no 'data/0'"),
    "fewer numbers": (
        lambda p: archive(p, TENSOR | {"data/0": TENSOR["data/0"][:-1]}),
        "truncated: 12 numbers of 4 bytes are described, but 47 bytes are there",
    ),
    "compressed": (lambda p: archive(p, TENSOR, zipfile.ZIP_DEFLATED), "is compressed"),
    "beyond its numbers": (
        lambda p: archive(p, TENSOR | {"data.pkl": PICKLE.replace(b"K\x04K\x03", b"K\x04K\x04")}),
        "is outside the 12 that are there",
    ),
    "negative stride": (
        lambda p: archive(
            p,
            TENSOR | {"data.pkl": PICKLE.replace(b"K\x03K\x01\x86", b"J\xfd\xff\xff\xffK\x01\x86")},
        ),
        "something other than a tensor",
    ),
    "empty pickle": (lambda p: archive(p, {"data.pkl": b""}), "not a valid"),
    "no end": (lambda p: archive(p, {"data.pkl": PICKLE[:-1]}), "not a valid"),
    "endless": (lambda p: archive(p, {"data.pkl": b"(" * (1 << 21)}), "longer than"),
    "empty stack": (lambda p: archive(p, {"data.pkl": b"\x80\x02R."}), "that it does not have"),
    "no memory of it": (lambda p: archive(p, {"data.pkl": b"h\x05."}), "never had"),
    "itself": (lambda p: archive(p, {"data.pkl": b"]q\x00h\x00a."}), "a list, not one"),
    "code": (
        lambda p: archive(p, {"data.pkl": reduced(b"os\nsystem", b"X\x02\x00\x00\x00id\x85")}),
        "asks for 'os.system', which is never run",
    ),
    "a global of text": (
        lambda p: archive(p, {"data.pkl": b"\x80\x02cbuiltins\neval\n."}),
        "asks for 'builtins.eval'",
    ),
    "text": (lambda p: p.write_text("hello"), "not a valid"),
    "another pickle": (
        lambda p: p.write_bytes(pickle.dumps(OrderedDict(a=1), 2)),
        "torch.save did not write it",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_everything_else_is_one_line(case: str, tmp_path: Path) -> None:
    write, message = REFUSED[case]
    path = tmp_path / "A.pt"
    write(path)
    with pytest.raises(InputError) as refused:
        load_hessian(path)
    assert message in str(refused.value)
    assert str(path) in str(refused.value)
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 500


@pytest.mark.parametrize("layout", LAYOUTS)
def test_no_part_of_a_file_is_taken_for_the_whole(layout: str, tmp_path: Path) -> None:
    whole = saved(tmp_path / "A.pt", torch.ones(4, 3), **LAYOUTS[layout]).read_bytes()
    for length in range(1, len(whole)):
        with pytest.raises(InputError):
            read_tensor(Path("A.pt"), whole[:length])


@pytest.mark.parametrize("layout", LAYOUTS)
def test_damaged_bytes_are_no_crash(layout: str, tmp_path: Path) -> None:
    whole = saved(tmp_path / "A.pt", torch.ones(4, 3), **LAYOUTS[layout]).read_bytes()
    rng = np.random.default_rng(0)
    for _ in range(600):
        damaged = bytearray(whole)
        for _ in range(rng.integers(1, 4)):
            damaged[rng.integers(len(damaged))] = rng.integers(256)
        try:
            read_tensor(Path("A.pt"), bytes(damaged))
        except InputError as error:
            assert "\n" not in str(error)  # noqa: PT017 - some damage is none


def test_a_bomb_takes_no_memory(tmp_path: Path) -> None:
    expanded = torch.zeros(1, 1).expand(1 << 30, 1 << 20)
    with pytest.raises(InputError, match="memory"):
        load_hessian(saved(tmp_path / "A.pt", expanded))


@pytest.fixture
def gradients() -> Any:
    return torch.randn(50, 6, generator=torch.Generator().manual_seed(3)).bfloat16()


def test_gradients_become_the_hessian_of_the_paper(gradients: Any, tmp_path: Path) -> None:
    path = saved(tmp_path / "A.pt", gradients)
    with pytest.warns(UserWarning, match=r"50 rows of 6 numbers.*A of 50 samples: H = A'A/m"):
        file = load_hessian(path)
    exact = gradients.double().numpy()
    assert np.allclose(file.hessian, exact.T @ exact / 50, rtol=1e-14)
    assert np.array_equal(file.hessian, file.hessian.T)
    assert file.mean_gradient is not None
    assert np.allclose(file.mean_gradient, exact.mean(axis=0), atol=1e-15)
    assert file.gradients is not None
    assert file.gradients.shape == (50, 6)
    np.save(tmp_path / "B.npy", exact)
    with pytest.warns(UserWarning, match="H = A'A/m"):
        assert np.array_equal(load_hessian(tmp_path / "B.npy").hessian, file.hessian)


def test_a_square_table_is_a_hessian_unless_said_otherwise(tmp_path: Path) -> None:
    symmetric = np.array([[2.0, 1.0], [1.0, 3.0]])
    path = saved(tmp_path / "H.pt", torch.tensor(symmetric))
    assert np.array_equal(load_hessian(path).hessian, symmetric)
    file = load_hessian(path, gradients=True)
    assert np.array_equal(file.hessian, symmetric @ symmetric / 2)
    problem = Problem.load(path, 1, gradients=True)
    assert np.array_equal(problem.hessian, file.hessian)
    wide = saved(tmp_path / "W.pt", torch.ones(2, 3))
    with pytest.raises(InputError, match=r"must be square, not of shape \(2, 3\)"):
        load_hessian(wide)
    assert np.array_equal(load_hessian(wide, gradients=True).hessian, np.ones((3, 3)))


def test_a_sidecar_names_the_blocks(gradients: Any, tmp_path: Path) -> None:
    path = saved(tmp_path / "A.pt", gradients)
    (tmp_path / "A.pt.json").write_text(json.dumps({"names": list("abcdef")}))
    with pytest.warns(UserWarning, match="gradients"):
        assert load_hessian(path).names == tuple("abcdef")
    (tmp_path / "A.pt.json").write_text(json.dumps({"names": list("abc")}))
    with (
        pytest.warns(UserWarning, match="gradients"),
        pytest.raises(InputError, match="contradicts the matrix"),
    ):
        load_hessian(path)


def test_samples_that_are_not_finite_are_refused(gradients: Any, tmp_path: Path) -> None:
    gradients[7, 2] = float("nan")
    path = saved(tmp_path / "A.pt", gradients)
    with pytest.raises(InputError, match="NaN or infinity, first in sample 7"):
        load_hessian(path)


@pytest.mark.filterwarnings("ignore:.*taken for the gradients")
def test_their_error_bars_need_no_other_file(gradients: Any, tmp_path: Path) -> None:
    diagnosis = diagnose(saved(tmp_path / "A.pt", gradients), remove=2, resamples=20)
    assert diagnosis.samples == 50
    assert diagnosis.stability is not None


def test_no_torch_is_loaded(gradients: Any, tmp_path: Path) -> None:
    path = saved(tmp_path / "A.pt", gradients)
    script = (
        "import sys, qubo_prune, warnings; warnings.simplefilter('ignore');"
        f"print(qubo_prune.load_hessian({str(path)!r}).num_blocks,"
        " 'torch' in sys.modules)"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path.cwd())}
    ran = subprocess.run(
        [sys.executable, "-c", script], check=True, capture_output=True, text=True, env=environment
    )
    assert ran.stdout == "6 False\n"


@pytest.mark.filterwarnings("always:.*taken for the gradients")
@pytest.mark.parametrize("command", ["solve", "sweep", "export"])
def test_wherever_a_hessian_is_read(
    command: str, gradients: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    from qubo_prune.cli.main import main

    path = saved(tmp_path / "A.pt", gradients)
    out = tmp_path / ("out.lp" if command == "export" else "out.json")
    arguments = [command, str(path), "--remove", "2"]
    if command != "sweep":
        arguments += ["--out", str(out)]
    assert main(arguments) == 0
    assert "50 rows of 6 numbers" in capfd.readouterr().err


@pytest.mark.filterwarnings("ignore:.*taken for the gradients")
def test_from_gradients_to_a_matrix_and_its_proof(gradients: Any, tmp_path: Path) -> None:
    from qubo_prune.cli.main import main

    path, npy = saved(tmp_path / "A.pt", gradients), tmp_path / "H.npy"
    assert main(["import", str(path), "--out", str(npy), "-q"]) == 0
    sidecar = json.loads(npy.with_suffix(".json").read_text())
    assert (sidecar["samples"], len(sidecar["mean_gradient"])) == (50, 6)
    certificate = tmp_path / "c.json"
    arguments = ["solve", str(path), "--remove", "2", "-q", "--certificate", str(certificate)]
    assert main(arguments) == 0
    for hessian in (path, npy):
        assert main(["verify", str(certificate), "--hessian", str(hessian), "-q"]) == 0
