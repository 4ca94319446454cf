"""The page of any mixture of our files: the answers first, then a part for each file."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from html import escape
from typing import TYPE_CHECKING, Any, cast

from qubo_prune.core.errors import InputError
from qubo_prune.core.problem.problem import Problem
from qubo_prune.core.text import format_blocks, plural, printable
from qubo_prune.pruning.pipeline.folder import EVALUATION, SELECTION, SPECTRUM
from qubo_prune.report.benchmark.page import LARGEST_PAGE, SECTIONS, benchmark_page
from qubo_prune.report.html import Figure, Page, Section, description_list
from qubo_prune.report.results import answers
from qubo_prune.report.results.answers import Answer
from qubo_prune.report.results.blocks import Blocks
from qubo_prune.report.results.compression import compression_body
from qubo_prune.report.results.detail import DETAILS, Detail, Place, slug
from qubo_prune.report.results.evaluation import evaluation_body
from qubo_prune.report.results.hessian import hessian_body
from qubo_prune.report.results.selection import selection_body
from qubo_prune.report.results.spectrum import spectrum_body
from qubo_prune.report.results.sweep import sweep_body
from qubo_prune.report.saved import Saved, read_saved
from qubo_prune.report.tables import Cell, Table

if TYPE_CHECKING:
    from qubo_prune.backends.branch_and_bound.checkpoint import ProofCheckpointFacts
    from qubo_prune.backends.enumeration.run.checkpoint import CheckpointFacts
    from qubo_prune.bench.results import Results
    from qubo_prune.core.spectrum.spectrum import Spectrum
    from qubo_prune.hessians.diagnostics import Diagnosis
    from qubo_prune.pruning.pipeline.folder import CompressedFolder
    from qubo_prune.pruning.selection import Selection
    from qubo_prune.solving.proof.certificate import Certificate

__all__ = ["answers_of", "results_page"]


@dataclass(frozen=True)
class _Part:
    """A file, or a file of a folder, and what the page calls it."""

    saved: Saved
    identifier: str


def results_page(saved: Sequence[Saved], title: str | None = None) -> Page:
    """Make the page of some files.

    Parameters
    ----------
    saved : sequence of Saved
        Of `qubo_prune.report.read_saved`; of a folder of `compress`, everything in it is shown.
        Results of benchmarks are one part together.
    title : str, optional
        Of the page; the names of the files without it.

    Raises
    ------
    InputError
        If there is nothing to show.

    Examples
    --------
    >>> page = results_page([read_saved("bytelm-40-block")])
    >>> page.title, [section.title for section in page.sections]
    ('bytelm-40-block', ['Summary', 'Hessian bytelm-40-block'])
    """
    _require_something(saved)
    title = printable(title or ", ".join(_short(each.source) for each in saved))
    results = _results(saved)
    if all(each.what == "benchmark" for each in saved) and results is not None:
        return benchmark_page(results, title)
    for detail in DETAILS:
        page = _page(saved, title, detail)
        if len(page.to_html().encode()) <= (LARGEST_PAGE if results is None else LARGEST_PAGE / 2):
            break
    if results is None:
        return page
    room = LARGEST_PAGE - len(page.to_html().encode())
    bench = benchmark_page(results, title, largest=room)
    return Page(
        title,
        page.summary,
        (
            *page.sections,
            Section("benchmark", "Benchmark", f"<p>{escape(bench.summary)}</p>"),
            *bench.sections,
        ),
        bench.series,
    )


def _require_something(saved: Sequence[Saved]) -> None:
    if not saved:
        raise InputError("a page needs at least one file; name a spectrum, selection or Hessian.")
    for each in saved:
        if each.what == "gradients":
            raise InputError(
                f"{each.source} is a table of per-sample gradients, which has no page; name the"
                " Hessian beside it, whose part says what they tell."
            )


def _results(saved: Sequence[Saved]) -> Results | None:
    """Return all results of benchmarks as one."""
    from qubo_prune.bench.results import Results

    found = [cast("Results", each.content) for each in saved if each.what == "benchmark"]
    if not found:
        return None
    by_key = {run.key: run for each in found for run in each.runs}
    runs = sum(len(each.runs) for each in found)
    return Results(
        tuple(by_key.values()),
        sum(each.repeated for each in found) + runs - len(by_key),
        tuple(name for each in found for name in each.truncated),
    )


def _page(saved: Sequence[Saved], title: str, detail: Detail) -> Page:
    others = [each for each in saved if each.what != "benchmark"]
    parts = _named([part for each in others for part in _parts(each)])
    hessians = _by_hash([part.saved for part in parts])
    labels = _labels([part.saved.source for part in parts] + [each.source for each in saved])
    sections = [
        Section(
            part.identifier,
            f"{_TITLES[part.saved.what]} {labels[part.saved.source]}",
            _body(part.saved, Place(part.saved.source, part.identifier, detail, hessians)),
        )
        for part in parts
    ]
    counts = Counter(each.what for each in saved).items()
    listed = " and ".join(plural(count, *_WORDS[what]) for what, count in counts)
    summary = (
        f"{listed} of qubo-prune: what was asked, what the answer is, how sure it is, and all"
        " figures."
    )
    first = Section("summary", "Summary", _summary(saved, labels, hessians))
    return Page(title, summary, (first, *sections))


def _parts(saved: Saved) -> Iterator[Saved]:
    """Return a file, and those in it where it is a folder of `compress`."""
    yield saved
    if saved.what != "compression":
        return
    folder = cast("CompressedFolder", saved.content)
    for name, what, content in (
        (EVALUATION, "evaluation", folder.evaluation),
        (SELECTION, "selection", folder.selection),
        (SPECTRUM, "spectrum", folder.spectrum),
    ):
        if content is not None:
            yield Saved(str(folder.path / name), what, content)
    if folder.hessian is not None:
        yield read_saved(folder.hessian)


_TAKEN = ("summary", "benchmark", "theme", "legend", "tip")
"""What addresses of the page's own parts end in."""


def _named(found: Sequence[Saved]) -> list[_Part]:
    """Return files with names that tell them apart."""
    used = {*_TAKEN, *SECTIONS}
    parts = []
    for each in found:
        name, number = slug(each.source), 2
        while name in used:
            name, number = f"{slug(each.source)}-{number}", number + 1
        used.add(name)
        parts.append(_Part(each, name))
    return parts


_TITLES = {
    "spectrum": "Spectrum",
    "sweep": "Sweep",
    "selection": "Selection",
    "evaluation": "Evaluation",
    "certificate": "Certificate",
    "checkpoint": "Checkpoint",
    "compression": "Compression",
    "Hessian": "Hessian",
}

_WORDS = {
    "spectrum": ("spectrum", "spectra"),
    "sweep": ("sweep", "sweeps"),
    "selection": ("selection", "selections"),
    "evaluation": ("evaluation", "evaluations"),
    "certificate": ("certificate", "certificates"),
    "checkpoint": ("checkpoint", "checkpoints"),
    "compression": ("compression", "compressions"),
    "Hessian": ("Hessian", "Hessians"),
    "benchmark": ("benchmark", "benchmarks"),
}


def _labels(sources: Sequence[str]) -> dict[str, str]:
    """Return what files are called: by their names alone where these tell them apart."""
    short = {source: _short(source) for source in sources}
    counts = Counter(short.values())
    return {
        source: name if counts[name] == 1 else printable(source) for source, name in short.items()
    }


def _by_hash(saved: Sequence[Saved]) -> dict[str, Diagnosis]:
    """Return the Hessians among some files, by the hash that files made with them name."""
    found = [cast("Diagnosis", each.content) for each in saved if each.what == "Hessian"]
    return {Problem(each.file.hessian, 0, symmetrize=True).hessian_sha256: each for each in found}


def _short(source: str) -> str:
    """Return the name of a file or folder without where it lies."""
    return printable(source.rstrip("/").rpartition("/")[2] or source)


def _summary(
    saved: Sequence[Saved], labels: Mapping[str, str], hessians: Mapping[str, Diagnosis]
) -> str:
    """Return the answers of all files."""
    parts = []
    for each in saved:
        told = "".join(
            f"<dt>{escape(name)}<dd>{_with_code(printable(text))}"
            for name, text in _answer(each, hessians).told().items()
        )
        parts.append(f'<h3>{escape(labels[each.source])}</h3><dl class="answers">{told}</dl>')
    return "".join(parts)


def _with_code(text: str) -> str:
    """Return a text as HTML, what is between backticks as code."""
    return re.sub("`([^`]+)`", r"<code>\1</code>", escape(text))


def answers_of(saved: Sequence[Saved]) -> list[tuple[Saved, Answer]]:
    """Return what each of some files says, in words, with all that the others know of its blocks.

    Raises
    ------
    InputError
        If a file says nothing by itself.
    """
    _require_something(saved)
    hessians = _by_hash(saved)
    return [(each, _answer(each, hessians)) for each in saved]


def _answer(saved: Saved, hessians: Mapping[str, Diagnosis]) -> Answer:
    content: Any = saved.content
    source = saved.source
    match saved.what:
        case "spectrum":
            return answers.of_spectrum(content, _blocks_of(content, hessians), source)
        case "certificate":
            blocks = _blocks_stated(content, hessians)
            return answers.of_certificate(content, blocks, source)
        case "sweep":
            return answers.of_sweep(content)
        case "selection":
            return answers.of_selection(content, source)
        case "evaluation":
            return answers.of_evaluation(content)
        case "checkpoint":
            return answers.of_checkpoint(content)
        case "compression":
            return answers.of_compression(content)
        case "benchmark":
            return answers.of_benchmark(content)
        case _:
            return answers.of_hessian(content, source)


def _body(saved: Saved, place: Place) -> str:
    content: Any = saved.content
    match saved.what:
        case "spectrum":
            return spectrum_body(content, _blocks_of(content, place.hessians), place)
        case "certificate":
            return _certificate(content, place)
        case "sweep":
            spectra = list(content.values())
            return sweep_body(spectra, _blocks_of(spectra[0], place.hessians), place)
        case "selection":
            return selection_body(content, _blocks_of(content, place.hessians), place)
        case "evaluation":
            return evaluation_body(content, place)
        case "checkpoint":
            return _checkpoint(content, place)
        case "compression":
            return compression_body(content, place)
        case _:
            return hessian_body(content, place)


def _blocks_of(found: Spectrum | Selection, hessians: Mapping[str, Diagnosis]) -> Blocks:
    """Return the blocks of a file, with what the Hessian that it was made with says of them."""
    blocks = Blocks(found.names, counts=found.parameter_counts)
    return blocks.known_from(hessians.get(found.hessian_sha256 or ""))


def _blocks_stated(certificate: Certificate, hessians: Mapping[str, Diagnosis]) -> Blocks:
    blocks = _blocks_of(certificate.spectrum, hessians)
    return replace(blocks, kinds=certificate.statement.kinds or blocks.kinds)


def _certificate(certificate: Certificate, place: Place) -> str:
    statement = certificate.statement
    facts = {
        "Hessian": certificate.hessian or "not named",
        "made": certificate.created,
        "on": certificate.platform,
        "blocks kept in any case": format_blocks(statement.keep) or "none",
        "blocks removed in any case": format_blocks(statement.force) or "none",
        "only blocks of the kind": statement.only or "any",
        "weight of the first-order term": f"{statement.beta:g}",
        "versions": ", ".join(f"{key} {value}" for key, value in certificate.versions.items()),
    }
    shown = {name: printable(value) for name, value in facts.items()}
    return (
        f"<h3>What was stated</h3>{description_list(shown)}"
        f"{spectrum_body(certificate.spectrum, _blocks_stated(certificate, place.hessians), place)}"
    )


def _checkpoint(found: CheckpointFacts | ProofCheckpointFacts, place: Place) -> str:
    facts = {
        name.replace("_", " "): str(value)
        for name, value in asdict(found).items()
        if isinstance(value, int | float)
    }
    rows: tuple[list[Cell], ...] = tuple(
        [k, format_blocks(each)] for k, each in enumerate(found.removed[: place.detail.rows])
    )
    table = Table(("state", "removed blocks"), rows)
    body = table.to_html("The best so far", identifier=place.name("states"))
    caption = place.rest(len(found.removed), "states") or "The best so far; nothing is proven."
    figure = Figure(place.name("states"), "The best so far", body, caption, table)
    return description_list(facts) + figure.to_html()
