"""The page of any mixture of files: its numbers are the files', its words follow from them, and
hostile names are only text.
"""

from __future__ import annotations

import dataclasses
import math
import re
from pathlib import Path

import numpy as np
import pytest

from qubo_prune import Problem, Spectrum, solve, sweep
from qubo_prune.backends.branch_and_bound.checkpoint import ProofCheckpointFacts
from qubo_prune.core.errors import InputError
from qubo_prune.core.spectrum.status import Status
from qubo_prune.core.stopping import StopReason
from qubo_prune.hessians.diagnostics import diagnose
from qubo_prune.report import find_knee, read_saved, results_page
from qubo_prune.report.benchmark.page import LARGEST_PAGE, SECTIONS
from qubo_prune.report.results.page import answers_of
from qubo_prune.report.saved import Saved
from tests import saved_files
from tests.report.parsed import Parsed

HOSTILE = "\"'><script>alert(1)</script><img src=x onerror=alert(1)>&amp;</style>{{7*7}}"


def page_of(*paths: Path | str, title: str | None = None) -> str:
    return results_page([read_saved(each) for each in paths], title).to_html()


def answer_of(content: object, what: str = "spectrum", source: str = "s.json") -> dict[str, str]:
    [(_, answer)] = answers_of([Saved(source, what, content)])  # type: ignore[arg-type]
    return answer.told()


def cut_rows(text: str, figure: str) -> list[set[int]]:
    """Which blocks the map of a page shows as removed, read back from where its rectangles are."""
    drawn = text[text.index(f'<figure id="{figure}"') :].partition("</figure>")[0]
    [width] = {
        float(each)
        for each in re.findall(r'class="kept" x="46" y="[\d.]+" width="([\d.]+)"', drawn)
    }
    rows = []
    for path in re.findall(r'<path class="cut" d="([^"]*)"', drawn):
        blocks: set[int] = set()
        for x, length in re.findall(r"M([\d.]+),[\d.]+h([\d.]+)v", path):
            cell = width / 6
            first = round((float(x) - 46) / cell)
            blocks |= set(range(first, first + round(float(length) / cell)))
        rows.append(blocks)
    return rows


# numbers


def test_a_spectrum_is_drawn_and_told_as_it_is_in_the_file(tmp_path: Path) -> None:
    path = saved_files.write_spectrum(tmp_path / "low.json")
    spectrum = Spectrum.load(path)
    text = page_of(path)
    parsed = Parsed(text)
    states = [spectrum.removed(k) for k in range(len(spectrum))]
    assert cut_rows(text, "low-removal-map") == [set(state) for state in states]
    head, *rows = parsed.files["low-removal-map"]
    assert head == ["state", *(f"block {k}" for k in range(6))]
    assert [[int(c) for c in row[1:]] for row in rows] == spectrum.states.astype(int).tolist()
    head, *rows = parsed.files["low-states"]
    assert head == ["state", "energy", "above lowest", "proven", "removed blocks", "names"]
    assert [float(row[1]) for row in rows] == spectrum.energies.tolist()
    assert [row[3] for row in rows] == ["yes"] * 9
    shown = parsed.cells["low-states"][1:]
    assert [row[1] for row in shown] == [f"{energy:.9g}" for energy in spectrum.energies]
    assert [row[5] for row in shown] == [", ".join(spectrum.removed_names(k)) for k in range(9)]
    assert [float(row[1]) for row in parsed.files["low-energies"][1:]] == spectrum.energies.tolist()
    assert f"state 1: energy {spectrum.energies[1]:.9g}" in text


def test_a_hessian_on_the_page_knows_the_parameters_and_kinds_of_a_spectrum(tmp_path: Path) -> None:
    spectrum = saved_files.write_spectrum(tmp_path / "low.json")
    hessian = saved_files.write_hessian(tmp_path / "h.npy")
    parsed = Parsed(page_of(spectrum, hessian))
    assert parsed.files["low-states"][0][-2:] == ["parameters", "share %"]
    assert parsed.files["low-states"][1][-2:] == ["600", "50.0"]
    assert "600 parameters, 50.0% of those of all blocks" in page_of(hessian, spectrum)
    solve(Problem(saved_files.MATRIX + 1, 2, names=saved_files.NAMES)).save(tmp_path / "other.json")
    other = Parsed(page_of(tmp_path / "other.json", hessian)).files["other-states"][0]
    assert "share %" not in other, "its names are those of the Hessian, but it is of another one"


def test_files_of_one_name_are_told_apart(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in "ab"]
    for folder in folders:
        folder.mkdir()
    made = [saved_files.write_compressed(folder / "made") for folder in folders]
    page = results_page([read_saved(each) for each in made])
    titles = [each.title for each in page.sections]
    assert len(titles) == len(set(titles)) == 11
    assert f"Hessian {made[1] / '01-hessian.npy'}" in titles
    assert page.sections[5].title == f"Hessian {made[0] / '01-hessian.npy'}"
    assert f"<h3>{made[0]}</h3>" in page.sections[0].body


def test_a_hessian_is_shown_with_its_correlations_and_warnings(tmp_path: Path) -> None:
    path = saved_files.write_hessian(tmp_path / "h.npy")
    diagnosis = diagnose(path)
    text = page_of(path)
    parsed = Parsed(text)
    head, *rows = parsed.files["h-correlations"]
    assert (
        head[1:] == [row[0] for row in rows] == [f"{k} {n}" for k, n in enumerate(diagnosis.names)]
    )
    for i, row in enumerate(rows):
        for j, cell in enumerate(row[1:]):
            expected = "" if i == j else f"{diagnosis.correlations[i, j]:.4g}"
            assert cell == expected
    assert [
        float(row[1]) for row in parsed.files["h-diagonal"][1:]
    ] == saved_files.MATRIX.diagonal().tolist()
    assert [float(row[1]) for row in parsed.files["h-eigenvalues"][1:]] == diagnosis.eigenvalues[
        ::-1
    ].tolist()
    assert parsed.cells["h-blocks"][1][:4] == ["0", "in.attention", "attention", "100"]
    assert diagnosis.warnings
    for warning in diagnosis.warnings:
        assert warning in text


def test_what_is_left_out_of_a_large_hessian_is_told(tmp_path: Path) -> None:
    np.save(tmp_path / "h.npy", np.eye(201) * np.arange(1, 202))
    text = page_of(tmp_path / "h.npy")
    assert "The correlations of 201 blocks are not drawn, to keep the page small." in text
    assert "h-correlations" not in Parsed(text).files


def test_a_sweep_says_what_each_block_costs(tmp_path: Path) -> None:
    folder = saved_files.write_sweep(tmp_path / "swept")
    spectra = [Spectrum.load(folder / f"remove-{count}.json") for count in range(1, 5)]
    text = page_of(folder)
    parsed = Parsed(text)
    energies = [float(each.energies[0]) for each in spectra]
    assert [float(row[1]) for row in parsed.files["swept-lowest-energy"][1:]] == energies
    assert [float(row[1]) for row in parsed.files["swept-step"][1:]] == np.diff(energies).tolist()
    assert [row[0] for row in parsed.files["swept-table"][1:]] == ["1", "2", "3", "4"]
    assert cut_rows(text, "swept-lowest-removals") == [set(each.removed(0)) for each in spectra]
    told = answer_of(read_saved(folder).content, "sweep")
    assert (
        told["answer"] == "The lowest energy goes from 1.5 without 1 to 18 without 4 of 6 blocks."
    )
    assert told["gap"].startswith("No number of blocks stands out"), "of four numbers none can"
    assert "3 of 3 times the larger removal contains the smaller one" in text


def test_a_sweep_says_where_removal_starts_to_hurt() -> None:
    problem = Problem(np.diag([1.0, 1.0, 1.0, 1.0, 5.0, 5.0]), 1)
    swept = sweep(problem, range(1, 7), num_states=1)
    knee = find_knee(range(1, 7), [float(each.energies[0]) for each in swept.values()])
    assert knee is not None
    told = answer_of(swept, "sweep")["gap"]
    assert told == (
        "Removal starts to hurt at M = 4: up to there a block costs 1 on average, from there on 5."
    )
    text = results_page([Saved("s", "sweep", swept)]).to_html()
    figure = text[text.index('id="s-lowest-energy"') :].partition("</figure>")[0]
    assert figure.count('class="guide"') == 1
    assert "The line at M = 4 says where removal starts to hurt" in figure


def test_a_selection_keeps_errors_ties_and_who_proposed(tmp_path: Path) -> None:
    selection = saved_files.selection()
    selection.save(tmp_path / "s.json")
    text = page_of(tmp_path / "s.json")
    parsed = Parsed(text)
    head, *rows = parsed.files["s-removals"]
    for k, row in enumerate(rows):
        cells = dict(zip(head, row, strict=True))
        each = selection[k]
        assert cells["loss"] == ("diverged" if math.isinf(each.objective) else repr(each.objective))
        assert cells["proposed by"] == each.proposed_by
        assert cells["tied"] == ("yes" if each.tied_with_best else "no")
    assert len(parsed.files["s-against-predicted"]) == 3, (
        "what diverged or was not predicted is not drawn"
    )
    assert "2 removals without both numbers not drawn" in text
    assert [row[2] for row in parsed.files["s-singles"][1:]] == ["0.9", "0.2", "diverged", "0.3"]
    assert "never" not in str(parsed.cells), "that is a word for times"
    assert cut_rows(text, "s-removal-map") == [{1, 3}, {1, 5}, {0, 2}, {2, 4}]
    bars = text[text.index('id="s-best"') :].partition("</figure>")[0]
    assert bars.count('class="level') == 2


def test_an_evaluation_is_a_row_a_measure_and_a_column_a_model(tmp_path: Path) -> None:
    evaluation = saved_files.evaluation()
    evaluation.save(tmp_path / "e.json")
    text = page_of(tmp_path / "e.json")
    parsed = Parsed(text)
    assert parsed.files["e-measures"][0] == ["measure", "original", "04-model", "05-healed-linear"]
    [loss] = [row for row in parsed.cells["e-measures"] if row[0] == "loss"]
    assert loss[1] == "3.03 ± 0.58"
    head, *rows = parsed.files["e-comparisons"]
    told = {(row[0], row[1]): dict(zip(head, row, strict=True)) for row in rows}
    compared = evaluation.compare("04-model", "loss")
    assert compared is not None
    assert float(told["04-model", "loss"]["change"]) == compared.change
    assert float(told["original", "weights"]["value"]) == 269e6
    assert "class=best" in text[text.index('id="e-measures"') :].partition("</figure>")[0]


def test_a_folder_of_compress_is_shown_with_all_that_is_in_it(tmp_path: Path) -> None:
    folder = saved_files.write_compressed(tmp_path / "made")
    text = page_of(folder)
    parsed = Parsed(text)
    steps = parsed.files["made-steps"][1:]
    assert [row[0] for row in steps] == [
        "extract",
        "solve",
        "select",
        "prune",
        "heal-linear",
        "evaluate",
    ]
    assert [float(row[2]) for row in steps] == [12.5, 0.25, 30.0, 4.0, 8.0, 7.25]
    assert [row[2] for row in parsed.files["made-stack"][1:]] == [
        "no",
        "yes",
        "no",
        "yes",
        "no",
        "no",
    ]
    assert [row[3] for row in parsed.files["made-stack"][1:]] == [
        str(n) for n in saved_files.COUNTS
    ]
    stack = text[text.index('id="made-stack"') :].partition("</figure>")[0]
    assert stack.count('class="cut"') == 2
    assert parsed.files["made-models"][2][-1] == "linear: maps for layers 1, 3"
    assert "qubo-prune compress models/original --remove 2 --out folder" in text
    for name in (
        "05-evaluation-measures",
        "03-selection-removals",
        "02-spectrum-states",
        "01-hessian-blocks",
    ):
        assert name in parsed.files
    [(_, answer)] = answers_of([read_saved(folder)])
    assert (
        "removed 2 of 6 layers (1, 3): 600 parameters are left of 1,200, 50.0 % fewer"
        in answer.answer
    )
    assert answer.advice == f"Take {folder / '05-healed-linear'}, the best by loss."


def test_an_unfinished_folder_of_compress_says_what_is_missing(tmp_path: Path) -> None:
    folder = tmp_path / "made"
    folder.mkdir()
    (folder / "steps.json").write_text(
        '{"format_version": 1, "steps": {"extract": {"request": {}, "status": "started",'
        ' "output": null, "seconds": 0.0}}}'
    )
    [(_, answer)] = answers_of([read_saved(folder)])
    assert "There is none yet; 1 step of it, extract begun and not finished." in answer.answer
    assert "steps.json" not in page_of(folder)


@pytest.mark.parametrize("name", ["04-model/prune.json", "05-healed-linear/heal.json"])
def test_a_damaged_record_of_a_model_is_named(tmp_path: Path, name: str) -> None:
    folder = saved_files.write_compressed(tmp_path / "made")
    (folder / name).write_text('{"model": 1, "verification": {}, "earlier": {}}')
    with pytest.raises(InputError, match=re.escape(str(folder / name))):
        read_saved(folder)


def test_everything_is_one_page_without_a_network(tmp_path: Path) -> None:
    paths = saved_files.write_everything(tmp_path)
    page = results_page([read_saved(each) for each in paths])
    text = page.to_html()
    parsed = Parsed(text)
    identifiers = [at["id"] for _, at in parsed.tags if at.get("id")]
    assert len(identifiers) == len(set(identifiers)), "an address leads to one place"
    assert {"summary", "compressed", "swept", "spectrum-2", "benchmark", "leaders", "runs"} <= set(
        identifiers
    )
    assert text.count('<dl class="answers">') == len(paths), "each file is answered"
    assert page.series == ("branch-and-bound", "tabu", "annealing", "naive", "gurobi", "cheat")
    assert len(text.encode()) < LARGEST_PAGE
    addresses = [at.get("href") or at.get("src") or "" for _, at in parsed.tags]
    assert all(each == "" or each.startswith(("#", "data:")) for each in addresses)
    outside = re.sub(r"<script>.*</script>|data:text/csv[^\"]*", "", text, flags=re.DOTALL)
    assert "//" not in outside
    assert [tag for tag, _ in parsed.tags].count("script") == 1
    for figure in parsed.files:
        assert len(parsed.files[figure]) > 1, figure


@pytest.mark.parametrize("name", ["summary", "theme", "legend", "tip", *SECTIONS])
def test_no_file_takes_the_address_of_a_part_of_the_page(name: str, tmp_path: Path) -> None:
    path = saved_files.write_spectrum(tmp_path / f"{name}.json")
    page = results_page([read_saved(path)])
    assert page.sections[1].identifier == f"{name}-2"


def test_results_of_benchmarks_alone_are_the_page_of_a_benchmark(tmp_path: Path) -> None:
    path = saved_files.write_results(tmp_path / "results.jsonl")
    page = results_page([read_saved(path), read_saved(path)], "B")
    assert page.title == "B"
    assert page.sections[0].identifier == "lies"
    assert {each.identifier for each in page.sections} <= set(SECTIONS)
    assert "110 lines are left out" in page.to_html(), "those of the second file are the same runs"


# words


def spectrum_with(**changes: object) -> Spectrum:
    found = solve(saved_files.PROBLEM, num_states=4)
    return dataclasses.replace(found, **changes)


def test_the_answer_says_what_is_proven_and_what_is_not() -> None:
    proven = answer_of(spectrum_with())
    assert (
        proven["asked"]
        == "Which 2 of 6 blocks to remove: the 4 states of lowest energy, out of 15."
    )
    assert proven["answer"].startswith("Remove 1, 3 (in.mlp, mid.mlp): energy 5, the lowest found.")
    assert proven["proven"].startswith("Yes, by branch-and-bound: all 4 states are the lowest")
    assert proven["gap"] == "The next energy is 1 (20 %) above it."
    assert "--remove 2 --spectrum s.json" in proven["next"]
    partial = answer_of(
        spectrum_with(
            status=Status.PARTIAL, num_proven=2, stop_reason=StopReason.TIME_LIMIT, lower_bound=6.5
        )
    )
    assert partial["proven"].startswith("In part, by branch-and-bound: the first 2 of 4")
    assert "stopped before its end" in partial["proven"]
    guess = answer_of(
        spectrum_with(status=Status.HEURISTIC, num_proven=0, backend="tabu", lower_bound=4.0)
    )
    assert guess["proven"].startswith("No: these are the best that tabu found")
    assert "No state lies below 4, so at most 1 (20 %) could still be won." in guess["gap"]
    assert "branch-and-bound for a proof" in guess["next"]
    unknown = answer_of(spectrum_with(status=Status.HEURISTIC, num_proven=0, lower_bound=-math.inf))
    assert "How much lower one could get is not known." in unknown["gap"]


def test_ties_an_empty_list_and_one_state_are_told() -> None:
    ties = solve(Problem(np.eye(4), 2), num_states=6)
    assert "as 5 others do" in answer_of(ties)["answer"]
    assert answer_of(ties)["gap"] == "All states of the list have the same energy."
    alone = solve(Problem(np.eye(3), 3), num_states=6)
    assert answer_of(alone)["answer"].startswith("Remove 0-2: energy 3")
    for each in (
        ties,
        alone,
        spectrum_with(states=np.zeros((0, 6), bool), energies=[], num_proven=0),
    ):
        text = results_page([Saved("s.json", "spectrum", each)]).to_html()
        assert "<h2>Spectrum s.json</h2>" in text
    assert (
        answer_of(spectrum_with(states=np.zeros((0, 6), bool), energies=[], num_proven=0))["answer"]
        == "No state was found."
    )


def test_a_line_divides_what_is_proven_from_what_is_not() -> None:
    half = spectrum_with(status=Status.PARTIAL, num_proven=2, lower_bound=6.5)
    text = results_page([Saved("s.json", "spectrum", half)]).to_html()
    assert ">proven</text>" in text
    assert '<i class="colour-1"></i>not proven' in text
    assert (
        ">proven</text>"
        not in results_page([Saved("s.json", "spectrum", spectrum_with())]).to_html()
    )


def test_a_certificate_is_a_claim_and_a_checkpoint_not_done(tmp_path: Path) -> None:
    certificate = read_saved(saved_files.write_certificate(tmp_path / "c.json"))
    checkpoint = read_saved(saved_files.write_checkpoint(tmp_path / "k.json"))
    (_, claim), (_, begun) = answers_of([certificate, checkpoint])
    assert claim.proof.startswith("That is what the certificate claims: yes, by branch-and-bound")
    assert claim.advice == f"Check it: `qubo-prune verify {tmp_path / 'c.json'}`."
    assert "The Hessian is h.npy." in claim.asked
    assert begun.answer == "The best so far removes 1, 3."
    assert begun.proof.startswith("Nothing yet. An enumeration that has finished ")
    facts = ProofCheckpointFacts({}, 3, 4.5, 7, [[1, 3], [0, 1]])
    saved = Saved("p.checkpoint", "checkpoint", facts)
    [(_, proof)] = answers_of([saved])
    assert proof.proof == (
        "Nothing yet. A proof by branch and bound that has visited 7 nodes: 3 nodes open, the"
        " lowest bound 4.5."
    )
    parsed = Parsed(results_page([saved]).to_html())
    assert parsed.files["p-states"][1:] == [["0", "1, 3"], ["1", "0, 1"]]


def test_a_selection_and_an_evaluation_say_that_a_measurement_is_no_proof() -> None:
    told = answer_of(saved_files.selection(), "selection")
    assert told["asked"] == (
        "Which 2 of 6 blocks the model misses least: 10 measurements of the increase of the loss"
        " on 3 samples."
    )
    assert told["answer"].startswith("Remove in.mlp, mid.mlp: loss 0.6 ± 0.05 on held-out samples")
    assert "A measurement is no proof: 1 other cannot be told apart" in told["proven"]
    assert "above the best, sample by sample, on the held-out samples" in told["gap"]
    told = answer_of(saved_files.evaluation(), "evaluation")
    assert told["gap"].startswith("The best is 05-healed-linear: loss +0.117")


# size and names


def test_a_page_of_very_many_states_stays_small_and_says_so() -> None:
    problem = Problem.load("llama-80-branch", remove=8)
    spectrum = solve(problem, num_states=3000)
    page = results_page([Saved(f"{k}.json", "spectrum", spectrum) for k in range(4)]).to_html()
    assert len(page.encode()) < LARGEST_PAGE
    assert re.search(r"The first \d+ of 3000 states; `qubo-prune show --csv` prints all\.", page)


@pytest.mark.parametrize("where", ["title", "source", "names", "proposer", "measure", "record"])
def test_hostile_names_are_only_text(where: str, tmp_path: Path) -> None:
    names = (HOSTILE, *saved_files.NAMES[1:]) if where == "names" else saved_files.NAMES
    source = f"{HOSTILE}.json" if where == "source" else "s.json"
    proposer = HOSTILE if where == "proposer" else "surrogate"
    evaluation = saved_files.evaluation()
    if where == "measure":
        metrics = {
            name: tuple(dataclasses.replace(each, name=f"{each.name}{HOSTILE}") for each in found)
            for name, found in evaluation.metrics.items()
        }
        evaluation = dataclasses.replace(evaluation, metrics=metrics)
    folder = saved_files.write_compressed(tmp_path / "made")
    if where == "record":
        record = folder / "04-model" / "prune.json"
        record.write_text(
            record.read_text().replace("models/original", HOSTILE.replace('"', '\\"'))
        )
    saved = [
        Saved(source, "selection", saved_files.selection(names, proposer)),
        Saved(source, "evaluation", evaluation),
        Saved(source, "spectrum", solve(Problem(saved_files.MATRIX, 2, names=names), num_states=5)),
        read_saved(folder),
    ]
    text = results_page(saved, HOSTILE if where == "title" else None).to_html()
    parsed = Parsed(text)
    assert not {tag for tag, _ in parsed.tags} & {"img", "iframe", "object"}
    assert [tag for tag, _ in parsed.tags].count("script") == 1
    assert not any(name.startswith("on") for _, attributes in parsed.tags for name in attributes)
    assert "alert(1)" in text, "what was hostile is there, as text"


def test_what_has_no_page_is_refused_by_name(tmp_path: Path) -> None:
    np.save(tmp_path / "g.grads.npy", np.ones((5, 3), np.float32))
    with pytest.raises(InputError, match=r"g\.grads\.npy is a table of per-sample gradients"):
        results_page([read_saved(tmp_path / "g.grads.npy")])
    with pytest.raises(InputError, match="at least one file"):
        results_page([])


def test_a_hessian_of_one_block_of_zeros_and_an_indefinite_one_have_pages(tmp_path: Path) -> None:
    for name, matrix in {
        "one": np.ones((1, 1)),
        "zero": np.zeros((3, 3)),
        "indefinite": np.array([[1.0, 2.0], [2.0, -1.0]]),
    }.items():
        np.save(tmp_path / f"{name}.npy", matrix)
        assert f"<h2>Hessian {name}.npy</h2>" in page_of(tmp_path / f"{name}.npy")
