"""``python -m benchmarks.reference_models train|extract|spectra NAME [--out FOLDER]``, or
``summary``.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks.reference_models.models import RECIPES

WEIGHTS = Path(__file__).parent / "weights"
"""Where trained models are kept unless told otherwise; not in version control."""


def main() -> None:
    """Run one step for one model."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.reference_models")
    parser.add_argument("step", choices=("train", "extract", "spectra", "summary"))
    parser.add_argument("name", nargs="?", choices=tuple(RECIPES))
    parser.add_argument(
        "--out",
        type=Path,
        default=WEIGHTS,
        metavar="FOLDER",
        help="holds a folder for each trained model",
    )
    arguments = parser.parse_args()
    if arguments.step == "summary":
        from benchmarks.reference_models.summary import hessians_table, spectra_table

        print(hessians_table(), spectra_table(), sep="\n\n")
        return
    if arguments.name is None:
        parser.error(f"{arguments.step} needs the name of a model: {', '.join(RECIPES)}")
    recipe = RECIPES[arguments.name]
    folder = arguments.out / recipe.name
    if arguments.step == "train":
        from benchmarks.reference_models.training import train

        train(recipe, folder)
    elif arguments.step == "extract":
        from benchmarks.reference_models.extraction import extract_all

        extract_all(recipe, folder)
    else:
        from benchmarks.reference_models.spectra import write_spectra

        write_spectra(recipe.name)


if __name__ == "__main__":
    main()
