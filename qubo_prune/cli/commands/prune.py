"""`qubo-prune prune`: from a removal to a smaller model that was loaded again and compared."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from qubo_prune.cli import options
from qubo_prune.cli.files import check_out_folder
from qubo_prune.cli.models import ModelAlone
from qubo_prune.cli.output import print_json, print_table, print_text, tell
from qubo_prune.core.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from transformers import PreTrainedModel

    from qubo_prune.pruning.removal.choice import Removal

Out = Annotated[
    Path,
    typer.Option(
        metavar="DIR", help="The folder to write; one that this command wrote is replaced."
    ),
]
Blocks = Annotated[
    list[str],
    typer.Option(
        metavar="BLOCKS",
        help="What to remove: layers, as 3,10-12, or branches, as layers.3.mlp. Repeatable.",
    ),
]
SelectionFile = Annotated[
    Path | None,
    typer.Option("--selection", metavar="FILE", help="A selection, as `select --out` writes."),
]
SpectrumFile = Annotated[
    Path | None,
    typer.Option("--spectrum", metavar="FILE", help="A spectrum, as `solve --out` writes."),
]
RemovalFile = Annotated[
    Path | None,
    typer.Option(
        "--removal",
        metavar="FILE",
        help="A removal in a file of EvoPress, LLM-Drop or mergekit, or a plain list.",
    ),
]
WithoutLoading = Annotated[
    bool,
    typer.Option(
        "--without-loading",
        help="Copy the weights file by file, as they are: for models of any size, and quantised.",
    ),
]
Verify = Annotated[
    str,
    typer.Option(
        metavar="WHAT",
        help="With --without-loading: files, or full to load and compare both models as well.",
    ),
]
State = Annotated[
    int, typer.Option(metavar="K", help="Which removal of the file, 0 for the best.", min=0)
]
Branches = Annotated[
    str | None,
    typer.Option(
        metavar="HOW",
        help=(
            "A branch whose layer stays becomes zero weights (zero: loads everywhere, saves no"
            " time) or is left out by a modelling file (module: loading takes"
            " --trust-remote-code)."
        ),
    ),
]
Merge = Annotated[
    str | None,
    typer.Option(
        metavar="HOW",
        help=(
            "Merge each run of removed layers into the layer above it: official (as the program of"
            " sliding-window merging) or sum (its equation)."
        ),
    ),
]
Lists = Annotated[
    bool,
    typer.Option(
        "--lists", help="Write the removal for EvoPress, LLM-Drop and mergekit, too, into removal/."
    ),
]


@options.spread
def prune(
    *,
    context: typer.Context,
    out: Out,
    blocks: Blocks = [],  # noqa: B006 - typer copies it
    selection: SelectionFile = None,
    spectrum: SpectrumFile = None,
    removal: RemovalFile = None,
    state: State = 0,
    branches: Branches = None,
    merge: Merge = None,
    lists: Lists = False,
    without_loading: WithoutLoading = False,
    verify: Verify = "files",
    source: ModelAlone,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> int:
    """Remove layers or branches of a model, and save what is left.

    The folder gets its name only when it was loaded again and gives the logits of the model with
    these blocks skipped, or, without loading, when every byte is the original's and no tensor is
    missing or left over. Exits with 0 when done, 2 on bad input or if the architecture cannot do
    without these blocks, 4 when the folder cannot be written.
    """
    chosen = _removal(blocks, selection, spectrum, removal)
    check_out_folder(out, [each for each in (selection, spectrum, removal) if each is not None])

    from qubo_prune.pruning.pruner import check_options
    from qubo_prune.pruning.pruner import prune as run
    from qubo_prune.pruning.removal.freed import freed_rows
    from qubo_prune.pruning.rewriting.rewriter import prune_folder

    how: dict[str, Any] = {"branches": branches, "merge": merge, "lists": lists}
    check_options(**how)
    _check_loading(without_loading, verify, source.dtype, how)
    source.check(quiet)
    shared: dict[str, Any] = {
        "state": state,
        "layers": source.layers,
        "command": options.command_line(context),
        "trust_remote_code": source.trust_remote_code,
    }
    if without_loading:
        pruned = prune_folder(
            source.model,
            chosen,
            out,
            revision=source.revision,
            verify=verify,
            device_map=source.device,
            **shared,
        )
    else:
        model, tokenizer = _loaded(source, quiet), source.load_tokenizer()
        pruned = run(model, chosen, out, tokenizer=tokenizer, **how, **shared)
    if not quiet:
        tell(f"wrote {out}")
        if pruned.branches == "module":
            tell("loading it takes --trust-remote-code: code in it leaves the branches out")
    if json:
        print_json(pruned.to_dict())
    elif not quiet:
        print_text(str(pruned))
        print_table(("", "before", "after", "freed"), freed_rows(pruned.freed))
    return 0


def _loaded(source: ModelAlone, quiet: bool) -> PreTrainedModel:
    """Load the model; one whose quantised weights take a library that is missing needs none to be
    copied. Some (fp8 without a GPU) transformers reads into plain ones, which nobody must miss.
    """
    from qubo_prune.pruning.rewriting.original import is_quantized_model

    def is_quantized() -> bool:
        return is_quantized_model(
            source.model, revision=source.revision, trust_remote_code=source.trust_remote_code
        )

    try:
        model = source.load_model()
    except InputError as error:
        if not is_quantized():
            raise
        raise InputError(
            f"{str(error).rstrip('.')}; or copy its quantised weights with --without-loading."
        ) from error
    if not quiet and getattr(model, "hf_quantizer", None) is None and is_quantized():
        tell(
            "warning: the quantised weights were read into"
            f" {str(model.dtype).removeprefix('torch.')}, which is what will be saved;"
            " --without-loading keeps them as they are"
        )
    return model


def _removal(
    blocks: Sequence[str], selection: Path | None, spectrum: Path | None, removal: Path | None
) -> Removal:
    """Return what exactly one of the four options names, read before the model is where that can
    be done without its names.
    """
    given = (bool(blocks), *(each is not None for each in (selection, spectrum, removal)))
    if given.count(True) != 1:
        raise InputError(
            "say which blocks to remove, by exactly one of --blocks, --selection, --spectrum and"
            " --removal."
        )
    if removal is not None:
        from qubo_prune.core.files.disk import require_file

        require_file(removal)
        return removal
    if selection is not None:
        from qubo_prune.pruning.selection import Selection

        return Selection.load(selection)
    if spectrum is not None:
        from qubo_prune.core.spectrum.spectrum import Spectrum

        return Spectrum.load(spectrum)
    return options.parse_blocks(blocks)


def _check_loading(without: bool, verify: str, dtype: str, how: dict[str, Any]) -> None:
    """Refuse options that do not go with loading the model, or with not loading it."""
    if not without and verify != "files":
        raise InputError(
            f"--verify {verify} is for --without-loading, since prune compares the models anyway"
            " when it loads them; leave it out."
        )
    if without and dtype != "auto":
        raise InputError(
            f"--without-loading copies the weights as they are, so --dtype cannot be {dtype}; leave"
            " one of them out."
        )
    given = [f"--{name}" for name, value in how.items() if value]
    if without and given:
        raise InputError(
            f"--without-loading removes whole layers only, and {given[0]} needs the model; leave"
            " one of them out."
        )
