"""Tables and pieces of text with measured figures in it. A new sentence with a figure gets a line
in `solver_claims` or `model_claims`, a new table one here.
"""

from __future__ import annotations

from functools import partial

from benchmarks.figures import model_claims, solver_claims, tables
from benchmarks.figures.pages import MadeTable
from benchmarks.tables import STUDIES, rows_of

BENCHMARKS = "docs/benchmarks.md"
HESSIANS = "docs/explanation/reference-hessians.md"
ENCODINGS = "docs/explanation/encodings.md"
ENERGY = "docs/explanation/energy.md"
MEASURING = "docs/explanation/measuring.md"
COMPRESS = "docs/how-to/compress-a-model.md"
HEAL = "docs/how-to/heal-a-model.md"
PRUNE = "docs/how-to/prune-a-model.md"
SHARING = "docs/how-to/prove-on-many-machines.md"


def _study(name: str) -> str:
    return STUDIES[name](rows_of(name))


TABLES = (
    *(
        MadeTable(HESSIANS if name == "reference-hessians" else BENCHMARKS, partial(_study, name))
        for name in STUDIES
    ),
    *(
        MadeTable(BENCHMARKS, tables.of(name))
        for name in (
            *(
                "enumeration",
                "limits",
                "thousands",
                "branching",
                "counts",
                "products",
                "published",
                "choices",
                "budgets",
                "bounds",
                "large_bounds",
                "floor",
                "qaoa",
                "priors",
                "evaluation",
                "extraction",
            ),
        )
    ),
    MadeTable(BENCHMARKS, tables.energy_truth),
    MadeTable(BENCHMARKS, tables.searches),
    MadeTable(BENCHMARKS, tables.lookups),
    MadeTable(BENCHMARKS, tables.perplexities),
    MadeTable(BENCHMARKS, tables.accuracies),
    MadeTable("docs/choose-a-backend.md", tables.solvers_in_short),
    MadeTable(ENERGY, tables.priors_in_short),
    MadeTable(ENCODINGS, tables.of("penalties")),
    MadeTable(HESSIANS, tables.reference_models),
    MadeTable(HESSIANS, tables.certificates),
    MadeTable(MEASURING, tables.shared_layers),
    MadeTable(MEASURING, tables.passes),
    MadeTable(MEASURING, tables.types),
    MadeTable(SHARING, tables.of("sharing")),
    MadeTable("docs/how-to/run-qaoa.md", tables.qaoa_mixers),
    MadeTable(COMPRESS, tables.compression),
    MadeTable(HEAL, tables.healing),
    MadeTable("docs/maintaining/coverage.md", tables.of("coverage")),
    MadeTable(HEAL, tables.distillation),
    MadeTable(PRUNE, tables.rewriting),
)
"""Tables that are made of stored results."""

CLAIMS = (*solver_claims.CLAIMS, *model_claims.CLAIMS)
