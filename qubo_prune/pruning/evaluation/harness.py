"""Tasks of lm-eval (extra ``eval``) on a model in memory."""

from __future__ import annotations

import contextlib
import hashlib
import io
import math
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from transformers import PreTrainedModel

from qubo_prune.core.errors import InputError
from qubo_prune.core.version import versions
from qubo_prune.pruning.evaluation.metrics import Kind, Metric
from qubo_prune.pruning.evaluation.samples import inference
from qubo_prune.pruning.evaluation.watch import UNWATCHED, StoppedError, Watch

__all__ = ["Tasks", "require_library"]

_NO_FILTER = "none"


def require_library() -> None:
    """Refuse to go on without lm-eval.

    Raises
    ------
    InputError
        If it is not installed.
    """
    if find_spec("lm_eval") is None:
        raise InputError(
            "tasks are run by lm-eval, which is not installed; install it with: pip install"
            " 'qubo-prune[eval]', or leave the tasks out."
        )


class Tasks:
    """Tasks by name: those of files of the user, and those that come with lm-eval.

    Parameters
    ----------
    names : sequence of str
        Tasks, groups or tags.
    include_path : path, optional
        A folder with files of tasks, which may have the names of others.
    limit : int, optional
        Only the first so many items of each task.

    Raises
    ------
    InputError
        If lm-eval is not installed, or there is no such task.
    """

    def __init__(
        self,
        names: Sequence[str],
        *,
        include_path: str | Path | None = None,
        limit: int | None = None,
    ) -> None:
        require_library()
        from lm_eval.tasks import TaskManager

        self._limit = limit
        if include_path is not None and not Path(include_path).is_dir():
            raise InputError(f"there is no folder {include_path} with tasks; check include_path.")
        self._include_path = None if include_path is None else Path(include_path)
        folder = None if include_path is None else str(include_path)
        with _quiet():
            # Those that come with lm-eval are 14,000 files, and take seconds to list.
            manager = TaskManager(include_path=folder, include_defaults=False)
            if not set(names) <= set(manager.all_tasks):
                manager = TaskManager(include_path=folder)
        unknown = [name for name in names if name not in manager.all_tasks]
        if unknown:
            raise InputError(
                f"there is no task {unknown[0]!r} in lm-eval {versions('lm_eval')['lm_eval']}"
                f"{'' if folder is None else f' or in {folder}'}; see the names that"
                " `lm-eval ls tasks` prints."
            )
        self._manager = manager

    def settings(self, task: str, shots: int | None) -> dict[str, Any]:
        """Return what the result of a task depends on, besides the model."""
        return {
            "task": task,
            "shots": shots,
            "limit": self._limit,
            "files_sha256": self._checksum(),
            **versions("lm_eval"),
        }

    def run(
        self,
        task: str,
        model: PreTrainedModel,
        tokenizer: Any,
        *,
        shots: int | None,
        batch_size: int,
        watch: Watch = UNWATCHED,
    ) -> list[Metric]:
        """Return the metrics of a task, or of every task of a tag; of a group those of the whole.

        Parameters
        ----------
        task : str
            One of the names.
        model : transformers.PreTrainedModel
            The model; no chat template is applied.
        tokenizer : transformers tokenizer
            Its tokenizer.
        shots : int, optional
            Examples in each prompt; by default what the task says.
        batch_size : int
            Requests at a time.
        watch : Watch
            Told before every batch, and may end it.

        Raises
        ------
        InputError
            If lm-eval cannot run the task.
        StoppedError
            If the watch has it end.
        """
        from lm_eval import simple_evaluate

        from qubo_prune.pruning.evaluation.harness_model import HarnessModel

        shown, done = sys.stderr, 0

        def tell(requests: int) -> None:
            nonlocal done
            with contextlib.redirect_stderr(shown):
                watch(done)
            done += requests

        with _quiet(), inference(model):
            runner = HarnessModel(model, tokenizer, batch_size, tell)
            try:
                found = simple_evaluate(
                    runner,
                    tasks=[task],
                    num_fewshot=shots,
                    limit=self._limit,
                    bootstrap_iters=0,  # errors are computed from the samples, below
                    task_manager=self._manager,
                )
            except StoppedError:
                raise
            # Whatever datasets, networks and files of tasks raise.
            except Exception as error:
                raise InputError(
                    f"lm-eval cannot run the task {task!r} ({type(error).__name__}:"
                    f" {' '.join(str(error).split()):.300}); check its files and the network."
                ) from error
        return _metrics(found, task)

    def _checksum(self) -> str | None:
        """Return the SHA-256 of the files of tasks, which say what is asked how."""
        if self._include_path is None:
            return None
        digest = hashlib.sha256()
        for path in sorted(self._include_path.rglob("*")):
            if path.suffix in {".yaml", ".yml", ".py"} or path.name.endswith("_yaml"):
                digest.update(path.relative_to(self._include_path).as_posix().encode())
                digest.update(path.read_bytes())
        return digest.hexdigest()


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep progress bars, prints and warnings of libraries from people."""
    nothing = io.StringIO()
    with (
        warnings.catch_warnings(),
        contextlib.redirect_stderr(nothing),
        contextlib.redirect_stdout(nothing),
    ):
        warnings.simplefilter("ignore")
        yield


def _metrics(found: Mapping[str, Any], task: str) -> list[Metric]:
    """Return the metrics of a task or group, or else of every task of a tag."""
    results = found["results"]
    names = [task] if task in results else list(results)
    metrics = []
    for name in names:
        leaves = _leaves(found, name)
        for key, value in results[name].items():
            metric, comma, chosen = key.partition(",")
            if not comma or metric.endswith("_stderr") or not isinstance(value, int | float):
                continue
            facts = {
                "shots": found["n-shot"].get(name, found["n-shot"].get(leaves[0])),
                "version": found["versions"].get(name),
                "filter": chosen,
                "items": sum(found["n-samples"][leaf]["effective"] for leaf in leaves),
            }
            label = f"{name} {metric}" + ("" if chosen == _NO_FILTER else f" ({chosen})")
            samples = _samples(found, leaves, metric, chosen)
            metrics.append(
                _metric(
                    label,
                    float(value),
                    samples,
                    facts=facts,
                    higher_is_better=found["higher_is_better"].get(name, {}).get(metric),
                )
            )
    return metrics


def _leaves(found: Mapping[str, Any], name: str) -> list[str]:
    """Return the tasks that a name stands for, in the end."""
    below = found.get("group_subtasks", {}).get(name)
    if not below:
        return [name]
    return [leaf for each in below for leaf in _leaves(found, each)]


def _samples(
    found: Mapping[str, Any], leaves: Sequence[str], metric: str, chosen: str
) -> NDArray[np.float64]:
    """Return a metric's number for each item, (n,), or two, (n, 2), as perplexities have; empty if
    there is no such thing.
    """
    values = []
    for leaf in leaves:
        items = [each for each in found["samples"].get(leaf, ()) if each["filter"] == chosen]
        for item in sorted(items, key=lambda each: each["doc_id"]):
            if metric not in item:
                return np.empty(0)
            values.append(item[metric])
    try:
        return np.array(values, np.float64)
    except (TypeError, ValueError):
        return np.empty(0)


def _metric(label: str, value: float, samples: NDArray[np.float64], **more: Any) -> Metric:
    """Return what the samples give if that is the value; else the value, of unknown error."""
    if samples.ndim == 2 and samples.shape[1:] == (2,):
        perplexity = Metric.perplexity(label, -samples[:, 0], samples[:, 1], **more)
        if math.isclose(perplexity.value, value, rel_tol=1e-6):
            return perplexity
    elif samples.ndim == 1 and len(samples):
        is_share = bool(np.isin(samples, (0.0, 1.0)).all())
        kind = Kind.PROPORTION if is_share else Kind.MEAN
        metric = Metric.mean(label, samples, kind=kind, **more)
        if math.isclose(metric.value, value, rel_tol=1e-6, abs_tol=1e-12):
            return metric
    return Metric(label, Kind.MEAN, value, **more)
