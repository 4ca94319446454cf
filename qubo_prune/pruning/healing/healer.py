"""A pruned model brought nearer to its original: methods in order, measured, saved and checked."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qubo_prune.core.defaults import BATCH_SIZE
from qubo_prune.core.errors import InputError
from qubo_prune.core.stopping import Stop, StopReason
from qubo_prune.core.text import format_value
from qubo_prune.core.validation import as_count
from qubo_prune.hessians.calibration.calibration import Calibration
from qubo_prune.hessians.gates.gates import find_gates
from qubo_prune.hessians.gates.layers import find_layers
from qubo_prune.hessians.language_model import (
    check_config,
    check_length,
    describe,
    load_model,
    load_tokenizer,
)
from qubo_prune.pruning.evaluation.evaluation import Evaluation
from qubo_prune.pruning.evaluation.metrics import Metric
from qubo_prune.pruning.evaluation.samples import Original, checksum, measure_samples
from qubo_prune.pruning.evaluation.watch import Watch
from qubo_prune.pruning.healing.healed import NOT_HEALED, ORIGINAL, Healed
from qubo_prune.pruning.healing.missing import (
    changes_weights,
    check_original,
    missing_layers,
    read_record,
)
from qubo_prune.pruning.healing.registry import get_method
from qubo_prune.pruning.measuring.work import StoppedError
from qubo_prune.pruning.model_card import healed_card
from qubo_prune.pruning.removal.verification import Expectation
from qubo_prune.pruning.repair.base import HealingMethod, Patient, Step
from qubo_prune.pruning.saving import (
    CARD,
    HEALING,
    RECORD,
    checksums,
    new_folder,
    refuse_replacing,
    require_replaceable_folder,
    require_space,
    told_of,
    weights_written,
)

if TYPE_CHECKING:
    from transformers import PreTrainedModel

__all__ = ["heal"]


def heal(
    model: str | os.PathLike[str],
    original: PreTrainedModel | str | os.PathLike[str],
    calibration: Calibration,
    out: str | os.PathLike[str],
    *,
    held_out: Calibration | None = None,
    methods: Sequence[str | HealingMethod] = ("linear",),
    removed: Sequence[int | str] | None = None,
    batch_size: int = BATCH_SIZE,
    dtype: str = "auto",
    device_map: str = "auto",
    layers: str | None = None,
    command: str | None = None,
    trust_remote_code: bool = False,
    original_4bit: bool = False,
    keep_partial: bool = True,
    stop: Stop | None = None,
) -> Healed:
    """Bring a pruned model nearer to its original, and save it.

    The methods run one after the other, each on what the one before has left. The folder gets its
    name only when it was loaded again and gives the logits of the healed model; it holds what
    `prune` wrote beside the model, and ``heal.json``.

    Parameters
    ----------
    model : path
        The folder of the pruned model, or its name on the hub; it stays as it is.
    original : transformers.PreTrainedModel or path
        The model that it was made from, in memory or where it is; it stays as it is.
    calibration : Calibration
        The samples to heal with.
    out : path
        The folder to write; one that `prune` or `heal` wrote before is replaced.
    held_out : Calibration, optional
        Other samples, on which the model is measured before and after each method.
    methods : sequence of str or HealingMethod
        Names (`qubo_prune.pruning.healing.registry.method_names`) or configured methods.
    removed : sequence of int or str, optional
        The layers that the model lacks, where no ``prune.json`` says so.
    batch_size : int
        Most samples at a time.
    dtype, device_map, trust_remote_code
        As of `qubo_prune.hessians.load_model`, for both models.
    layers : str, optional
        Dotted path of the decoder layers; found if not given.
    command : str, optional
        What the model card names as the way to do it again.
    original_4bit : bool
        Load the original quantised, in the 4 bits of NF4, as the paper does with its teachers;
        figures are then beside the quantised one.
    keep_partial : bool
        Whether what is healed when it is stopped is written.
    stop : Stop, optional
        When to stop; the same call then goes on.

    Returns
    -------
    Healed

    Raises
    ------
    InputError
        If the original is another model, samples are both to heal with and held out, or a method
        can do nothing; the text says why.
    OutputError
        If the folder cannot be written.

    Examples
    --------
    >>> import pytest, tempfile
    >>> transformers = pytest.importorskip("transformers")
    >>> import numpy as np
    >>> from qubo_prune.pruning.pruner import prune
    >>> config = transformers.LlamaConfig(
    ...     vocab_size=64, hidden_size=16, intermediate_size=32, num_hidden_layers=4,
    ...     num_attention_heads=2, num_key_value_heads=2, initializer_range=0.2,
    ... )
    >>> original = transformers.LlamaForCausalLM(config).eval()
    >>> tokens = tuple(np.random.default_rng(0).integers(0, 64, (8, 12)))
    >>> samples = Calibration(tokens, (np.arange(12) > 0,) * 8, np.arange(8), {"source": "random"})
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     smaller, better = Path(folder, "smaller"), Path(folder, "better")
    ...     _ = prune(original, [2], smaller)
    ...     healed = heal(smaller, original, samples, better, methods=["linear"])
    ...     print(sorted(path.name for path in better.iterdir()))
    ['README.md', 'config.json', 'generation_config.json', 'heal.json', 'model.safetensors', ...]
    >>> healed.steps[0].facts["runs"][0]["module"]
    'model.layers.1.mlp.down_proj'
    """
    chosen = [get_method(each) if isinstance(each, str) else each for each in methods]
    if not chosen:
        raise InputError("there must be at least one method of healing, not 0; name one.")
    for method in chosen:
        method.check()
    target, name = Path(out), os.fspath(model)
    require_replaceable_folder(target)
    for each in (model, original):
        place = each if isinstance(each, str | os.PathLike) else each.name_or_path
        refuse_replacing(target, place or "")
    _refuse_shared_samples(calibration, held_out)
    record, before = read_record(name), read_record(name, HEALING)
    missing = missing_layers(record, removed, name)
    if record is not None and record.get("branches") == "module":
        raise InputError(
            f"the folder {name!r} leaves branches out by a modelling file, which healing would not"
            " keep; prune with zeroed branches, or whole layers."
        )
    loading: dict[str, Any] = {
        "dtype": dtype,
        "device_map": device_map,
        "trust_remote_code": trust_remote_code,
    }
    for each in (name, original):
        if isinstance(each, str | os.PathLike):
            check_config(os.fspath(each), trust_remote_code=trust_remote_code)
    stop = stop or Stop()
    pruned = load_model(name, **loading)
    if isinstance(original, str | os.PathLike):
        original = load_model(os.fspath(original), **loading, in_4bit=original_4bit)
    if getattr(pruned, "hf_quantizer", None) is not None:
        raise InputError(
            "the weights of the model are quantised, and only plain ones can be healed; heal the"
            " plain model and quantise the result."
        )
    for each in (pruned, original):
        for samples in (calibration, held_out):
            if samples is not None:
                check_length(each, max(map(len, samples.tokens)))
    check_original(
        pruned,
        original,
        missing,
        record=record,
        is_changed=before is not None or changes_weights(record),
        layers=layers,
    )
    places = len(find_layers(pruned, layers)[1]) + 1
    patient = Patient(
        model=pruned,
        original=original,
        calibration=calibration,
        removed=missing,
        work=_work_of(target),
        batch_size=as_count(batch_size, "batch_size", least=1),
        stop=stop,
        layers=layers,
        scale=_scale(before, places),
        trust_remote_code=trust_remote_code,
    )
    return _Run(
        patient, chosen, held_out, record, before, name, target, command, keep_partial
    ).healed()


class _Run:
    """A healing under way.

    Parameters
    ----------
    patient
        The models.
    methods
        In order.
    held_out
        To measure on.
    record, before
        What `prune` and an earlier `heal` wrote of the pruned model, if they did.
    source
        Where it is.
    target
        Where the result goes.
    command
        How to do it again.
    keep_partial
        Whether to write what there is when it is stopped.
    """

    def __init__(
        self,
        patient: Patient,
        methods: Sequence[HealingMethod],
        held_out: Calibration | None,
        record: dict[str, Any] | None,
        before: dict[str, Any] | None,
        source: str,
        target: Path,
        command: str | None,
        keep_partial: bool,
    ) -> None:
        self._patient = patient
        self._methods = methods
        self._held_out = held_out
        self._record = record
        self._before = before
        self._source = source
        self._target = target
        self._command = command
        self._keeps_partial = keep_partial
        self._steps: list[Step] = []
        self._metrics: dict[str, tuple[Metric, ...]] = {}
        self._original: Original | None = None
        self._started = time.monotonic()
        self._described = _describe(patient, source, held_out)

    def healed(self) -> Healed:
        """Run the methods, measure and save."""
        patient, reason = self._patient, StopReason.COMPLETED
        with patient.stop.interruptible():
            try:
                self._measure_original()
                self._measure(NOT_HEALED)
                for method in self._methods:
                    step = method.run(patient)
                    self._steps.append(step)
                    reason = step.stop_reason
                    if reason is not StopReason.COMPLETED:
                        break
                    self._measure(", ".join(each.method for each in self._steps))
            except StoppedError:
                reason = patient.stop.reason or StopReason.INTERRUPTED
            patient.stop.raise_failure()
            is_partial = reason is not StopReason.COMPLETED
            if not self._steps or (is_partial and not self._keeps_partial):
                return self._result(reason, is_written=False)
            result = self._write(reason)
        if reason is StopReason.COMPLETED:
            shutil.rmtree(patient.work, ignore_errors=True)
        return result

    def _measure_original(self) -> None:
        if self._held_out is not None:
            self._original = Original(self._patient.original)
            self._metrics[ORIGINAL] = tuple(self._measured(self._patient.original, None, ORIGINAL))

    def _measure(self, name: str) -> None:
        """Measure the model as it is now."""
        if self._original is not None:
            found = self._measured(self._patient.model, self._original, name)
            self._metrics[name] = tuple(found)

    def _measured(
        self, model: PreTrainedModel, original: Original | None, name: str
    ) -> list[Metric]:
        assert self._held_out is not None  # noqa: S101  # the callers saw to it
        return measure_samples(
            model,
            self._held_out,
            original,
            batch_size=self._patient.batch_size,
            watch=Watch(self._patient.stop, f"measuring: {name}"),
        )

    def _result(self, reason: StopReason, **more: Any) -> Healed:
        evaluation = None
        if self._metrics:
            evaluation = Evaluation(
                models={name: {} for name in self._metrics},
                metrics=self._metrics,
                original=ORIGINAL,
                settings={"held_out": self._described["held_out"]},
            )
        earlier = [] if self._before is None else [*self._before.get("earlier", [])]
        if self._before is not None:
            earlier += self._before.get("steps", [])
        return Healed(
            out=self._target,
            removed=self._patient.removed,
            steps=tuple(self._steps),
            evaluation=evaluation,
            stop_reason=reason,
            scale=tuple(self._patient.scale),
            command=self._command
            or f"python: heal({self._source!r}, ..., methods={[m.name for m in self._methods]})",
            described=self._described,
            earlier=tuple(earlier),
            seconds=time.monotonic() - self._started,
            **more,
        )

    def _write(self, reason: StopReason) -> Healed:
        """Save the model, load it again, and give the folder its name."""
        patient, target = self._patient, self._target
        gates = find_gates(patient.model, layers=patient.layers)
        expected = Expectation(gates, (), patient.model.num_parameters())
        size = sum(each.nbytes for each in patient.model.parameters())
        require_space(target.resolve().parent, size)
        with new_folder(target) as folder:
            _save(patient, self._source, folder, target)
            checked = expected.verify(folder, trust_remote_code=patient.trust_remote_code)
            result = self._result(
                reason,
                max_difference=checked.max_difference,
                cache_difference=checked.cache_difference,
                sha256=checksums(folder),
            )
            healing = result.to_dict()
            record = self._record
            with told_of(target):
                (folder / HEALING).write_text(json.dumps(healing, indent=1) + "\n", "utf-8")
                if record is not None:
                    record = {**record, "sha256": result.sha256}
                    (folder / RECORD).write_text(json.dumps(record, indent=1) + "\n", "utf-8")
                (folder / CARD).write_text(healed_card(record, healing), "utf-8")
        return result


def _save(patient: Patient, source: str, folder: Path, target: Path) -> None:
    """Write weights, configurations and tokenizer."""
    tokenizer = load_tokenizer(source, trust_remote_code=patient.trust_remote_code)
    with weights_written(target):
        patient.model.save_pretrained(folder)
        if tokenizer is not None:
            tokenizer.save_pretrained(folder)
        _keep_settings(source, folder)


def _keep_settings(source: str, folder: Path) -> None:
    """Copy what the pruned model's configuration says for programs other than transformers."""
    former, path = Path(source, "config.json"), folder / "config.json"
    if not former.is_file():
        return
    old, new = (json.loads(each.read_text("utf-8")) for each in (former, path))
    if old.keys() - new.keys():
        path.write_text(json.dumps(old | new, indent=2) + "\n", "utf-8")


def _work_of(target: Path) -> Path:
    place = target.resolve()
    return place.with_name(f".{place.name}.healing")


def _scale(before: dict[str, Any] | None, places: int) -> list[float]:
    """Return by what an earlier healing left the residual stream smaller."""
    found = None if before is None else before.get("scale")
    if isinstance(found, list) and len(found) == places:
        return [float(each) for each in found]
    return [1.0] * places


def _describe(patient: Patient, source: str, held_out: Calibration | None) -> dict[str, Any]:
    """Return what was healed with what, as JSON."""
    original = describe(patient.original)
    return {
        "model": source,
        "original": {key: each for key, each in original.items() if key != "versions"},
        "versions": original["versions"],
        "calibration": _described_samples(patient.calibration),
        "held_out": None if held_out is None else _described_samples(held_out),
    }


def _described_samples(samples: Calibration) -> dict[str, Any]:
    return {
        **samples.description,
        "samples": len(samples),
        "tokens": int(sum(map(len, samples.tokens))),
        "tokens_sha256": checksum(samples),
    }


def _refuse_shared_samples(calibration: Calibration, held_out: Calibration | None) -> None:
    """Refuse to measure on a sample that the model is healed with."""
    if held_out is None:
        return
    known = {each.tobytes() for each in calibration.tokens}
    shared = sum(each.tobytes() in known for each in held_out.tokens)
    if shared:
        raise InputError(
            f"{shared} of the {len(held_out)} held-out samples are also healed with; draw others,"
            f" not {format_value(held_out.description.get('source', 'the same'))} twice."
        )
