"""`qubo-prune report`: words, the page, files and exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests import saved_files
from tests.cli.conftest import Run


def test_words_and_a_page(run: Run, tmp_path: Path) -> None:
    spectrum = saved_files.write_spectrum(tmp_path / "low.json")
    hessian = saved_files.write_hessian(tmp_path / "h.npy")
    page = tmp_path / "page.html"
    code, out, err = run("report", spectrum, hessian, "--html", page)
    assert (code, err) == (0, f"qubo-prune: wrote {page}\n")
    told = " ".join(out.split())
    assert f"{spectrum} (spectrum) asked: Which 2 of 6 blocks to remove" in told
    assert (
        "answer: Remove 1, 3 (in.mlp, mid.mlp): energy 5, the lowest found; that saves 50.0%"
        in told
    )
    assert f"{hessian} (Hessian) asked: Whether a Hessian of 6 blocks, from 3 samples" in told
    assert "<h1>low.json, h.npy</h1>" in page.read_text()
    assert run("report", spectrum, "--html", page, "--title", "T", "-q") == (0, "", "")
    assert "<h1>T</h1>" in page.read_text()


def test_json_has_the_words_of_every_kind(run: Run, tmp_path: Path) -> None:
    paths = saved_files.write_everything(tmp_path)
    ran = run("report", *paths, "--json")
    found = json.loads(ran.out)["files"]
    assert (ran.code, ran.err) == (0, "")
    assert [each["file"] for each in found] == list(map(str, paths))
    assert [each["kind"] for each in found] == [
        *("compression", "sweep", "selection", "evaluation", "spectrum"),
        *("certificate", "checkpoint", "Hessian", "benchmark"),
    ]
    assert all(each["asked"] and each["answer"] and each["next"] for each in found)
    assert "branch-and-bound" in found[-1]["answer"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["low.json", "--html", "low.json"], "a page must end in .html or .htm, not 'low.json'"),
        (["low.json", "--html", "mine.html"], "--html: mine.html is something else"),
        (["low.json", "--html", "no/page.html"], "--html cannot write into 'no'"),
        (["low.json", "nothing.json"], "there is no file 'nothing.json' and no bundled Hessian"),
        (
            ["low.json", "mine.html"],
            "mine.html holds something else, which cannot be shown; name a",
        ),
        (["empty"], "empty is a folder without spectra of `sweep`"),
        (["g.grads.npy"], "g.grads.npy is a table of per-sample gradients, which has no page"),
        (["low.json", "--title", "T"], "--title is of the page, which --html writes; give both."),
        ([], "Missing argument 'FILE"),
    ],
)
def test_bad_input_is_one_line_and_writes_nothing(
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    arguments: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    saved_files.write_spectrum(Path("low.json"))
    np.save("g.grads.npy", np.ones((5, 3), np.float32))
    Path("mine.html").write_text("<p>mine\n")
    Path("empty").mkdir()
    before = {path: path.read_bytes() for path in Path().iterdir() if path.is_file()}
    ran = run("report", *arguments)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith(f"qubo-prune: error: {message}"), ran.err
    assert ran.err.count("\n") == 1
    assert {path: path.read_bytes() for path in Path().iterdir() if path.is_file()} == before


def test_a_folder_of_compress_and_results_of_a_benchmark_are_shown(
    run: Run, tmp_path: Path
) -> None:
    folder = saved_files.write_compressed(tmp_path / "made")
    out = " ".join(run("show", folder).out.split())
    assert "heal-linear finished 8.00 s" in out
    assert "04-model: removed 2 of 6 layers (1, 3)" in out
    assert run("show", folder, "--csv").out.splitlines()[1] == "extract,finished,12.5"
    shown = json.loads(run("show", folder, "--json").out)
    assert (shown["kind"], shown["seconds"], len(shown["models"])) == ("compression", 62.0, 2)
    results = saved_files.write_results(tmp_path / "results.jsonl")
    assert "branch-and-bound" in run("show", results).out
    shown = json.loads(run("show", results, "--json").out)
    assert (shown["kind"], shown["runs"]) == ("benchmark", 110)
    assert len(run("show", results, "--csv").out.splitlines()) == 111
