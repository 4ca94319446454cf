"""The pictures of the docs, drawn anew by every build with the commands that the pages show, and
the one of the README, which is kept.

mkdocs calls `on_files`. ``python -m docs_hooks.pictures`` draws the README's picture again; a test
holds the file against what it would draw.
"""

from __future__ import annotations

import contextlib
import io
import tempfile
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from qubo_prune import Problem
from qubo_prune.cli.main import main as qubo_prune
from qubo_prune.pruning.loop import LoopSettings
from qubo_prune.pruning.objective import FunctionObjective
from qubo_prune.pruning.selector import select_removals

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from numpy.typing import NDArray

README = Path(__file__).parent / "readme.svg"

COMMANDS = {
    "spectrum": "solve bytelm-40-branch --remove 8 --states 40",
    "sweep": "sweep bytelm-40-branch --to 20 --states 2",
    "hessian": "show bytelm-40-branch",
    "selection": "show selection.json",
    "convergence": "show results.jsonl",
}
"""What draws each picture, but for --plot. Pages show ``pictures/NAME.svg#only-light`` and
``pictures/NAME-dark.svg#only-dark``.
"""

BENCHMARK = (
    "bench run llama-80-branch --remove 60 --states 20 --backends branch-and-bound,ocean-tabu"
    " --time-limit 3 --reference-limit 0 --seeds 1 --out results.jsonl"
)


def draw(name: str, *, dark: bool = False) -> bytes:
    """Return a picture as SVG.

    Parameters
    ----------
    name : str
        One of `COMMANDS`. What its command reads is in the current folder.
    dark : bool, optional
        Light on dark.
    """
    out = Path(f"{name}-dark.svg" if dark else f"{name}.svg")
    _run(f"{COMMANDS[name]} --plot {out}" + (" --dark" if dark else ""))
    return out.read_bytes()


def _run(command: str) -> None:
    """Run a command line, and print nothing unless it fails."""
    with (
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()) as said,
    ):
        code = qubo_prune(command.split())
    if code:
        raise RuntimeError(f"`qubo-prune {command}` exited with {code}: {said.getvalue()}")


def save_selection(path: Path) -> None:
    """Write a selection of a loss that is made up: blocks of very different weight, pairs that help
    or hinder each other, and samples that differ.
    """
    size, remove = 32, 6
    rng = np.random.default_rng(0)
    single = np.exp(rng.normal(-1, 1, size))
    pair = np.triu(rng.normal(0, 0.1, (size, size)), 1)
    noise = rng.normal(0, 0.2, (size, 60))

    def loss(removed: tuple[int, ...]) -> NDArray[np.float64]:
        rows = list(removed)
        total: NDArray[np.float64] = noise[rows].sum(axis=0)
        return total + single[rows].sum() + pair[np.ix_(rows, rows)].sum()

    names = [f"layers.{block}" for block in range(size)]
    select_removals(
        FunctionObjective(lambda removed: loss(removed)[:24], size),
        Problem(np.zeros((size, size)), remove, names=names),
        held_out=FunctionObjective(lambda removed: loss(removed)[24:], size),
        evaluations=80,
        settings=LoopSettings(draws=0.3),
    ).save(path)


@cache
def pictures() -> dict[str, bytes]:
    """Return all pictures of the docs, light and dark, by the names of their files."""
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        save_selection(Path("selection.json"))
        _run(BENCHMARK)
        return {
            f"{name}-dark.svg" if dark else f"{name}.svg": draw(name, dark=dark)
            for name in COMMANDS
            for dark in (False, True)
        }


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pictures to what is built."""
    from mkdocs.structure.files import File

    for name, content in pictures().items():
        files.append(File.generated(config, f"pictures/{name}", content=content))
    return files


def main() -> None:
    """Draw the README's picture again."""
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        README.write_bytes(draw("spectrum"))


if __name__ == "__main__":
    main()
