"""What a file says, in words: what was asked, the answer, how sure it is, and what to do next."""

from __future__ import annotations

import math
import shlex
from typing import TYPE_CHECKING, NamedTuple

from qubo_prune.core.spectrum.status import Status
from qubo_prune.core.spectrum.tables import removal
from qubo_prune.core.stopping import StopReason
from qubo_prune.core.text import format_blocks, format_count, plural
from qubo_prune.report.results.blocks import Blocks
from qubo_prune.report.results.sweep import knee_of
from qubo_prune.report.svg import short

if TYPE_CHECKING:
    from qubo_prune.backends.branch_and_bound.checkpoint import ProofCheckpointFacts
    from qubo_prune.backends.enumeration.run.checkpoint import CheckpointFacts
    from qubo_prune.bench.results import Results
    from qubo_prune.core.spectrum.spectrum import Spectrum
    from qubo_prune.hessians.diagnostics import Diagnosis
    from qubo_prune.pruning.evaluation.evaluation import Evaluation
    from qubo_prune.pruning.evaluation.tables import Row
    from qubo_prune.pruning.pipeline.folder import CompressedFolder
    from qubo_prune.pruning.selection import Selection
    from qubo_prune.solving.proof.certificate import Certificate
    from qubo_prune.solving.sweeps import Sweep

__all__ = [
    "Answer",
    "checkpoint_standing",
    "of_benchmark",
    "of_certificate",
    "of_checkpoint",
    "of_compression",
    "of_evaluation",
    "of_hessian",
    "of_selection",
    "of_spectrum",
    "of_sweep",
]


class Answer(NamedTuple):
    """What a file says, each in a sentence or two; empty where there is nothing to say.

    Attributes
    ----------
    asked : str
        What was to be found out.
    answer : str
        What was found.
    proof : str
        How sure that is.
    gap : str
        How far the next best, or the best that is possible, is from it.
    advice : str
        What to do next.
    """

    asked: str
    answer: str
    proof: str
    gap: str
    advice: str

    def told(self) -> dict[str, str]:
        """Return what there is to say, by what it is."""
        names = ("asked", "answer", "proven", "gap", "next")
        return {name: text for name, text in zip(names, self, strict=True) if text}


def of_spectrum(spectrum: Spectrum, blocks: Blocks, source: str) -> Answer:
    """Return what a spectrum says."""
    what = removal(spectrum)
    count = len(spectrum)
    lowest = "the state" if count == 1 else f"the {count:,} states"
    asked = (
        f"Which {what} of {plural(spectrum.num_blocks, 'block')} to remove: {lowest} of lowest"
        f" energy, out of {format_count(spectrum.num_states_total)}."
    )
    if not len(spectrum):
        return Answer(asked, "No state was found.", "", "", spectrum.advice)
    energies = spectrum.energies
    ties = int((energies == energies[0]).sum())
    verb = "do" if ties > 2 else "does"
    tied = f", as {plural(ties - 1, 'other')} {verb}" if ties > 1 else ""
    share = blocks.share(spectrum.removed(0))
    saves = "" if share is None else f"; that saves {share:.1%} of the parameters of all blocks"
    answer = (
        f"Remove {blocks.told(spectrum.removed(0))}: energy {energies[0]:.9g}, the lowest"
        f" found{tied}{saves}."
    )
    return Answer(
        asked, answer, _proof(spectrum), _gap(spectrum), _after_energies(spectrum, source)
    )


def _proof(spectrum: Spectrum) -> str:
    if spectrum.status is Status.PROVEN:
        text = f"Yes, by {spectrum.backend}: no state is lower."
        if len(spectrum) > 1:
            text = (
                f"Yes, by {spectrum.backend}: all {len(spectrum)} states are the lowest, and none"
                " between them is missing."
            )
    elif spectrum.num_proven:
        text = (
            f"In part, by {spectrum.backend}: the first {spectrum.num_proven} of {len(spectrum)}"
            " are the lowest; lower ones than the others may be missing."
        )
    else:
        text = f"No: these are the best that {spectrum.backend} found, and lower ones may exist."
    if spectrum.stop_reason is not StopReason.COMPLETED:
        text += " The run was stopped before its end."
    if spectrum.ties_truncated:
        text += " More states share the last energy than fit."
    rests = spectrum.proof.get("rests_on")
    return text if rests is None else f"{text} What is proven rests on {rests}."


def _gap(spectrum: Spectrum) -> str:
    energies = spectrum.energies
    above = energies[energies > energies[0]]
    told = []
    if len(above):
        step = float(above[0] - energies[0])
        told.append(f"The next energy is {step:.3g}{_percent(step, energies[0])} above it.")
    elif len(energies) > 1:
        told.append("All states of the list have the same energy.")
    bound = spectrum.lower_bound
    if not spectrum.num_proven:
        if math.isfinite(bound):
            room = max(0.0, float(energies[0] - bound))
            told.append(
                f"No state lies below {bound:.9g}, so at most {room:.3g}"
                f"{_percent(room, energies[0])} could still be won."
            )
        else:
            told.append("How much lower one could get is not known.")
    return " ".join(told)


def _percent(part: float, whole: float) -> str:
    return f" ({100 * part / abs(whole):.2g} %)" if whole else ""


def _after_energies(spectrum: Spectrum, source: str) -> str:
    if spectrum.status is not Status.PROVEN:
        return spectrum.advice
    removal = "" if not isinstance(spectrum.remove, int) else f" --remove {spectrum.remove}"
    return (
        "Energies estimate what a removal does, and can mislead: measure the first states on the"
        f" model with `qubo-prune select MODEL --data DATA{removal} --spectrum"
        f" {shlex.quote(source)} --out selection.json`."
    )


def of_certificate(certificate: Certificate, blocks: Blocks, source: str) -> Answer:
    """Return what a certificate says, as the claim that it is."""
    found = of_spectrum(certificate.spectrum, blocks, source)
    of = "" if certificate.hessian is None else f" The Hessian is {certificate.hessian}."
    return found._replace(
        asked=f"{found.asked}{of}",
        proof=f"That is what the certificate claims: {_lowered(found.proof)}",
        advice=f"Check it: `qubo-prune verify {shlex.quote(source)}`.",
    )


def checkpoint_standing(found: CheckpointFacts | ProofCheckpointFacts) -> str:
    """Return how far a run had come, in a sentence."""
    from qubo_prune.backends.branch_and_bound.checkpoint import ProofCheckpointFacts

    if isinstance(found, ProofCheckpointFacts):
        bound = "" if found.lower_bound is None else f", the lowest bound {found.lower_bound:.9g}"
        return (
            f"A proof by branch and bound that has visited {plural(found.num_nodes, 'node')}:"
            f" {plural(found.num_open, 'node')} open{bound}."
        )
    share = found.tasks_finished / found.num_tasks if found.num_tasks else 1.0
    return (
        f"An enumeration that has finished {format_count(found.tasks_finished)} of"
        f" {plural(found.num_tasks, 'task')} ({share:.1%}), and visited"
        f" {plural(found.states_visited, 'state')}."
    )


def of_checkpoint(found: CheckpointFacts | ProofCheckpointFacts) -> Answer:
    """Return what the checkpoint of a run says."""
    answer = "No state was found yet."
    if found.removed:
        answer = f"The best so far removes {format_blocks(found.removed[0]) or 'nothing'}."
    return Answer(
        "The lowest states of a problem, by a run that is not done.",
        answer,
        f"Nothing yet. {checkpoint_standing(found)}",
        "",
        "The same `solve` with --checkpoint goes on with it.",
    )


def of_sweep(sweep: Sweep) -> Answer:
    """Return what the spectra of a sweep say."""
    found = [each for each in sweep.values() if len(each)]
    asked = f"What it costs to remove more and more blocks, for {plural(len(sweep), 'number')} M."
    if not found:
        return Answer(asked, "No state was found.", "", "", "Give the sweep more time.")
    first, last = found[0], found[-1]
    answer = (
        f"The lowest energy goes from {first.energies[0]:.4g} without {removal(first)} to"
        f" {last.energies[0]:.4g} without {removal(last)} of {first.num_blocks} blocks."
    )
    proven = sum(each.status is Status.PROVEN for each in found)
    proof = (
        "Yes: every list is proven to be complete."
        if proven == len(sweep)
        else f"{proven} of {len(sweep)} lists are proven to be complete; the table says which."
    )
    gap = "No number of blocks stands out as the one from which on removal hurts."
    knee = knee_of(found)
    if knee is not None:
        gap = (
            f"Removal starts to hurt at M = {knee.remove}: up to there a block costs"
            f" {short(knee.before)} on average, from there on {short(knee.after)}."
        )
    return Answer(
        asked,
        answer,
        proof,
        gap,
        "Take the largest number whose energy you can bear, and measure its first states on the"
        " model with `qubo-prune select`.",
    )


def of_benchmark(results: Results) -> Answer:
    """Return what a benchmark says of the solvers."""
    from qubo_prune.report.benchmark.comparison import Study
    from qubo_prune.report.benchmark.leader_board import leader_table

    study = Study(results)
    boards = [leader_table(each) for each in study.comparisons if each.tasks and each.solvers]
    answer = "Nothing can be ranked."
    if boards and boards[0].rows:
        answer = f"The first of the leader board is {boards[0].rows[0][1]}."
    liars = ", ".join(study.liars)
    return Answer(
        f"Which solver is best: {plural(len(study.runs), 'run')} of"
        f" {plural(len(study.solvers), 'solver')} on {plural(len(study.task_names), 'task')}.",
        answer,
        f"Not to be believed: {liars}." if liars else "No solver claimed what is not true.",
        "",
        "Compare two of them with `qubo-prune bench compare`.",
    )


def of_hessian(diagnosis: Diagnosis, source: str) -> Answer:
    """Return what a Hessian says of itself."""
    size = len(diagnosis.names)
    samples = diagnosis.file.metadata.get("samples") or diagnosis.samples
    of = "" if samples is None else f", from {plural(int(samples), 'sample')},"
    warnings = diagnosis.warnings
    first = "Nothing speaks against it." if not warnings else " ".join(warnings)
    return Answer(
        f"Whether a Hessian of {plural(size, 'block')}{of} is worth solving.",
        f"Its rank is {diagnosis.rank} of {size}, its effective rank"
        f" {diagnosis.effective_rank:.4g};"
        f" {plural(len(warnings), 'warning') if warnings else 'no warnings'}.",
        "",
        "",
        f"{first} Solve it: `qubo-prune solve {shlex.quote(source)} --remove M --out lowest.json`.",
    )


def of_selection(selection: Selection, source: str) -> Answer:
    """Return what measurements of removals say."""
    choosing = selection.samples.get("choosing")
    on = f" on {plural(choosing, 'sample')}" if isinstance(choosing, int) else ""
    asked = (
        f"Which {removal(selection)} of {selection.num_blocks} blocks the model misses"
        f" least: {plural(selection.num_evaluations, 'measurement')} of the"
        f" {_OBJECTIVES.get(selection.objective, selection.objective)}{on}."
    )
    if not len(selection):
        return Answer(
            asked, "No removal was measured.", "", "", "The same `select` goes on from there."
        )
    ties = len(selection.ties)
    judged = (
        f"{plural(selection.num_held_out, 'removal')} measured again on samples that the choice"
        " did not look at"
        if selection.num_held_out
        else "the samples of the choice only, so the best looks a little too good"
    )
    told = (
        f"{plural(ties, 'other')} cannot be told apart from the best"
        if ties
        else "no other is as good within two standard errors"
    )
    gap = ""
    if len(selection) > 1:
        second = selection[1]
        if math.isfinite(second.above_best):
            side = "above" if second.above_best >= 0 else "below"
            held = "" if second.held_out is None else ", on the held-out samples"
            gap = (
                f"The second removal is {abs(second.above_best):.3g} ±"
                f" {second.above_best_error:.2g} {side} the best, sample by sample{held}."
            )
    stopped = (
        " It was stopped early, and the same command goes on."
        if selection.stop_reason is not StopReason.COMPLETED
        else ""
    )
    return Answer(
        asked,
        f"{_raised(selection.summary().partition(';')[0])}.",
        f"A measurement is no proof: {told}; {judged}.{stopped}",
        gap,
        f"Cut it: `qubo-prune prune MODEL --selection {shlex.quote(source)} --out smaller`.",
    )


_OBJECTIVES = {"loss": "increase of the loss", "kl": "KL divergence from the model"}


def of_evaluation(evaluation: Evaluation) -> Answer:
    """Return what was measured of some models."""
    others = [name for name in evaluation.names if name != evaluation.original]
    beside = "" if evaluation.original is None else f" beside {evaluation.original}"
    asked = f"How good {', '.join(others) or 'it'} {'are' if len(others) > 1 else 'is'}{beside}."
    row = _first_compared(evaluation)
    if row is None:
        return Answer(asked, f"{_raised(str(evaluation))}.", "", "", "")
    from qubo_prune.pruning.evaluation.tables import format_change, format_p_value, notes

    found = row.comparison
    best = f"The best is {row.model}: " if len(others) > 1 else f"{row.model}: "
    changed = f"{best}{row.metric.name} {format_change(row)} against {evaluation.original}"
    p_value = format_p_value(found)
    doubt = f", p {p_value}" if p_value else ""
    return Answer(
        asked,
        f"{_raised(str(evaluation))}.",
        " ".join(notes(evaluation.rows)) or "Nothing was compared sample by sample.",
        f"{changed}{doubt}; in brackets the 95 % interval.",
        "Heal it with `qubo-prune heal`, or take it as it is; the table says what is lost where."
        if evaluation.stop_reason is StopReason.COMPLETED
        else "It was stopped early; the same command goes on.",
    )


def _first_compared(evaluation: Evaluation) -> Row | None:
    """Return the comparison of the first measure that has one, for the model that is best by it."""
    from qubo_prune.pruning.evaluation.metrics import Kind

    rows = [row for row in evaluation.rows if row.comparison and row.metric.kind is not Kind.SIZE]
    if not rows:
        return None
    first = rows[0].metric.name
    sign = -1 if rows[0].metric.higher_is_better else 1
    return min(
        (row for row in rows if row.metric.name == first), key=lambda row: sign * row.metric.value
    )


def of_compression(folder: CompressedFolder) -> Answer:
    """Return what a folder of `compress` came to."""
    models = folder.models
    steps = plural(len(folder.steps), "step")
    if not models:
        begun = ", ".join(folder.unfinished) or "nothing"
        return Answer(
            "A smaller model, step by step.",
            f"There is none yet; {steps} of it, {begun} begun and not finished.",
            "",
            "",
            "The same `compress` goes on from there.",
        )
    first = models[0]
    asked = (
        f"{first.original} without {len(first.removed)} of its {first.num_blocks} layers, in"
        f" {steps}."
    )
    evaluation = folder.evaluation
    proof = []
    if folder.spectrum is not None and len(folder.spectrum):
        proof.append(f"The energies: {_lowered(_proof(folder.spectrum))}")
    if folder.selection is not None and len(folder.selection):
        proof.append("The choice is the best of what was measured, which is no proof.")
    gap, advice = "", f"Take {folder.path / first.name}."
    row = None if evaluation is None else _first_compared(evaluation)
    if row is not None and evaluation is not None:
        found = of_evaluation(evaluation)
        gap = found.gap
        advice = f"Take {folder.path / row.model}, the best by {row.metric.name}."
    if folder.unfinished:
        advice += f" Not finished: {', '.join(folder.unfinished)}; the same `compress` goes on."
    return Answer(asked, f"It {first.summary}.", " ".join(proof), gap, advice)


def _raised(text: str) -> str:
    return text[:1].upper() + text[1:]


def _lowered(text: str) -> str:
    return text[:1].lower() + text[1:]
