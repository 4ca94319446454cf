"""What the build of the documentation makes of stored results: a hook of mkdocs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"


def page_of(path: Path) -> str:
    """Return the page of a study: of a CSV file of ``qubo-prune bench export``."""
    from qubo_prune.bench.export import read_csv
    from qubo_prune.bench.results import Results
    from qubo_prune.report.benchmark.page import benchmark_page

    return benchmark_page(Results(read_csv(path), 0, ()), path.stem).to_html()


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add ``results/NAME.html`` for each study to the site."""
    from mkdocs.structure.files import File

    sys.path.insert(0, str(ROOT))  # mkdocs runs as a script elsewhere
    try:
        for path in sorted(RESULTS.glob("*.csv")):
            name = f"results/{path.stem}.html"
            files.append(File.generated(config, name, content=page_of(path)))
    finally:
        sys.path.remove(str(ROOT))
    return files
