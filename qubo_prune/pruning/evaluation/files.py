"""Evaluations and single measures in JSON; nothing in a file is trusted."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from qubo_prune.core.files import kinds
from qubo_prune.core.files.disk import read_file
from qubo_prune.core.files.strict_json import (
    Reader,
    as_any_float,
    as_any_floats,
    as_boolean,
    as_float,
    as_list,
    as_string,
    from_any_float,
    optional,
)
from qubo_prune.core.stopping import StopReason
from qubo_prune.pruning.evaluation.metrics import Kind, Metric

__all__ = ["FORMAT_VERSION", "metric_from_json", "metric_to_json", "read_evaluation"]

FORMAT_VERSION = 1

_METRIC: dict[str, Any] = {
    "name": as_string,
    "kind": Kind,
    "value": as_any_float,
    "standard_error": optional(as_any_float),
    "samples": as_any_floats,
    "weights": as_any_floats,
    "reference": as_any_floats,
    "unit": as_string,
    "higher_is_better": optional(as_boolean),
}
"""How each field of a metric is read, beside its facts."""


def metric_to_json(metric: Metric) -> dict[str, Any]:
    """Return a metric as JSON has it."""
    arrays = {
        name: [from_any_float(each) for each in getattr(metric, name).tolist()]
        for name in ("samples", "weights", "reference")
    }
    error = metric.standard_error
    return {
        "name": metric.name,
        "kind": metric.kind.value,
        "value": from_any_float(metric.value),
        "standard_error": None if error is None else from_any_float(error),
        "unit": metric.unit,
        "higher_is_better": metric.higher_is_better,
        "facts": dict(metric.facts),
        **arrays,
    }


def metric_from_json(reader: Reader, value: Any) -> Metric:
    """Return the metric that `metric_to_json` wrote."""
    fields = reader.as_object(value, "a metric")
    values = {key: reader.get(fields, key, convert) for key, convert in _METRIC.items()}
    return Metric(**values, facts=reader.as_object(fields.get("facts"), "facts"))


def read_evaluation(path: Path) -> Mapping[str, Any]:
    """Return the arguments of `Evaluation` from a file."""
    reader = Reader(
        path, "evaluation", "write it again with Evaluation.save or `qubo-prune evaluate`"
    )
    fields = reader.parse(read_file(path))
    kinds.require_kind(path, fields, kinds.Kind.EVALUATION)
    reader.check_version(fields, FORMAT_VERSION)
    models = reader.as_object(fields.get("models"), "models")
    metrics = reader.as_object(fields.get("metrics"), "metrics")
    if models.keys() != metrics.keys():
        reader.fail("its models and its metrics are of different models")
    original = reader.get(fields, "original", optional(as_string))
    if original is not None and original not in models:
        reader.fail(f"its original {original!r} is none of its models")
    return {
        "models": {name: reader.as_object(each, name) for name, each in models.items()},
        "metrics": {
            name: tuple(metric_from_json(reader, each) for each in _listed(reader, metrics, name))
            for name in metrics
        },
        "original": original,
        "settings": reader.as_object(fields.get("settings"), "settings"),
        "versions": reader.as_object(fields.get("versions"), "versions"),
        "seconds": reader.get(fields, "seconds", as_float),
        "stop_reason": reader.get(fields, "stop_reason", StopReason),
    }


def _listed(reader: Reader, metrics: dict[str, Any], name: str) -> list[Any]:
    return reader.get(metrics, name, as_list)
