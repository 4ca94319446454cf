"""What commands share that run a model on samples: their options, and loading both."""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from qubo_prune.cli.output import tell
from qubo_prune.core.defaults import BATCH_SIZE

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from qubo_prune.cli.files import Files
    from qubo_prune.hessians.calibration.calibration import Calibration

Model = Annotated[
    str, typer.Argument(metavar="MODEL", help="A folder, or a name on the Hugging Face hub.")
]
Data = Annotated[
    list[str],
    typer.Option(
        metavar="SOURCE",
        help=(
            "Calibration samples: .jsonl, .json, .txt, .parquet or .npy files (repeatable), or a"
            " dataset's folder or name on the hub."
        ),
    ),
]
Granularity = Annotated[
    str,
    typer.Option(
        metavar="WHAT",
        help="What one gate scales: a decoder layer (block) or one residual branch of it (branch).",
    ),
]
Samples = Annotated[int, typer.Option(metavar="COUNT", help="How many samples.")]
SequenceLength = Annotated[
    int, typer.Option(metavar="TOKENS", help="Cut samples off after so many tokens.")
]
Seed = Annotated[int, typer.Option(metavar="N", help="Seed of the choice of samples.")]
Split = Annotated[str, typer.Option(metavar="NAME", help="Split of the dataset.")]
DataConfig = Annotated[
    str | None, typer.Option(metavar="NAME", help="Configuration of the dataset, if it has some.")
]
TextField = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="The column to read.  [default: messages, conversations, text or input_ids]",
    ),
]
MaskPrompt = Annotated[
    bool, typer.Option("--mask-prompt", help="Count only what the assistant says.")
]
BatchSize = Annotated[
    int, typer.Option(metavar="COUNT", help="Samples at a time; halved when memory runs out.")
]
Dtype = Annotated[
    str,
    typer.Option(metavar="NAME", help="auto (as saved), float32, bfloat16, float16 or float64."),
]
Device = Annotated[
    str, typer.Option(metavar="WHERE", help="auto (all there are), cpu, cuda:0, ...")
]
Layers = Annotated[
    str | None,
    typer.Option(
        metavar="PATH", help="Where the decoder layers are in the model.  [default: found]"
    ),
]
Revision = Annotated[
    str | None, typer.Option(metavar="NAME", help="Branch, tag or commit of the model on the hub.")
]
DataRevision = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="Branch, tag or commit of the dataset on the hub."),
]
TrustRemoteCode = Annotated[
    bool, typer.Option("--trust-remote-code", help="Run Python code that comes with the model.")
]


class _NamedModel:
    """How a model that options name is loaded; the options are fields of the classes below."""

    model: str
    dtype: str
    device: str
    revision: str | None
    trust_remote_code: bool

    def check(self, quiet: bool) -> None:
        """Find out what is wrong with the model's folder or name before anything is read."""
        from qubo_prune.hessians.language_model import check_config, require_dtype

        if quiet or not sys.stderr.isatty():
            silence_libraries()
        require_dtype(self.dtype)
        check_config(self.model, **self._of_model)

    def load_model(self) -> PreTrainedModel:
        """Load the model."""
        from qubo_prune.hessians.language_model import load_model

        return load_model(self.model, dtype=self.dtype, device_map=self.device, **self._of_model)

    def load_tokenizer(self) -> PreTrainedTokenizerBase | None:
        """Load its tokenizer, if it has one."""
        from qubo_prune.hessians.language_model import load_tokenizer

        return load_tokenizer(self.model, **self._of_model)

    @property
    def _of_model(self) -> dict[str, Any]:
        return {"revision": self.revision, "trust_remote_code": self.trust_remote_code}


@dataclass(frozen=True, kw_only=True)
class ModelAlone(_NamedModel):
    """A model that is run on nothing of the user's, as the user wrote it."""

    model: Model
    dtype: Dtype = "auto"
    device: Device = "auto"
    layers: Layers = None
    revision: Revision = None
    trust_remote_code: TrustRemoteCode = False


@dataclass(frozen=True, kw_only=True)
class ModelOptions(_NamedModel):
    """A model and the data that are run through it, as the user wrote it."""

    model: Model
    data: Data
    granularity: Granularity = "block"
    layers: Layers = None
    seed: Seed = 0
    split: Split = "train"
    data_config: DataConfig = None
    text_field: TextField = None
    mask_prompt: MaskPrompt = False
    batch_size: BatchSize = BATCH_SIZE
    dtype: Dtype = "auto"
    device: Device = "auto"
    revision: Revision = None
    data_revision: DataRevision = None
    trust_remote_code: TrustRemoteCode = False

    def read_by(self, files: Files) -> None:
        """Say that the command reads the data."""
        files.reads(*(Path(source) for source in self.data if Path(source).exists()))

    def load(
        self, *, samples: int, sequence_length: int, quiet: bool
    ) -> tuple[Calibration, PreTrainedModel]:
        """Load the samples and the model.

        What can be wrong with the model's folder and with the data is found out before its weights,
        which may take minutes, are loaded.
        """
        self.check(quiet)
        calibration = self.load_samples(samples, sequence_length, quiet=quiet)
        return calibration, self.load_model()

    def load_samples(self, samples: int, sequence_length: int, *, quiet: bool) -> Calibration:
        """Load the samples alone, as tokens of the model."""
        from qubo_prune.hessians.samples_for_model import samples_for_model

        calibration = samples_for_model(
            self.model,
            self.data,
            **self._of_model,
            num_samples=samples,
            sequence_length=sequence_length,
            seed=self.seed,
            split=self.split,
            config=self.data_config,
            text_field=self.text_field,
            mask_prompt=self.mask_prompt,
            data_revision=self.data_revision,
        )
        if not quiet:
            _tell_of_rows(calibration)
        return calibration


def _tell_of_rows(calibration: Calibration) -> None:
    """Say on stderr how many rows gave no sample, and whether too few did."""
    described = calibration.description
    skipped = ", ".join(f"{count} {reason}" for reason, count in described["skipped"].items())
    wanted = described["requested_samples"]
    if len(calibration) < wanted:
        tell(
            f"only {len(calibration)} of {wanted} samples asked for, from"
            f" {described['rows']} rows" + (f"; passed over: {skipped}" if skipped else "")
        )
    elif skipped:
        tell(f"rows passed over: {skipped}")


def silence_libraries() -> None:
    """Keep the progress bars of libraries out of logs."""
    os.environ["HF_DATASETS_DISABLE_PROGRESS_BARS"] = "1"  # read when datasets is imported
    with contextlib.suppress(ImportError):  # which `load_tokenizer` tells of
        transformers = importlib.import_module("transformers")  # its functions carry no types
        transformers.utils.logging.disable_progress_bar()
