"""Pruning: what removals do to a model, measured; cheap criteria beside it; the loop that finds a
good one; and the smaller model.

*Energy proposes, the model answers, the energy is corrected, the solver proves again.* Importing
this package loads neither torch nor a solver.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qubo_prune.core.lazy import lazy_names

if TYPE_CHECKING:
    from qubo_prune.pruning.evaluation.evaluation import Evaluation as Evaluation
    from qubo_prune.pruning.evaluation.evaluator import evaluate as evaluate
    from qubo_prune.pruning.healing.healed import Healed as Healed
    from qubo_prune.pruning.healing.healer import heal as heal
    from qubo_prune.pruning.hints import Hint as Hint
    from qubo_prune.pruning.hints import hints_of_model as hints_of_model
    from qubo_prune.pruning.loop import LoopResult as LoopResult
    from qubo_prune.pruning.loop import LoopSettings as LoopSettings
    from qubo_prune.pruning.loop import Trial as Trial
    from qubo_prune.pruning.loop import search_removals as search_removals
    from qubo_prune.pruning.measurement import ModelObjective as ModelObjective
    from qubo_prune.pruning.measuring.files import MeasurementFile as MeasurementFile
    from qubo_prune.pruning.measuring.files import load_measurements as load_measurements
    from qubo_prune.pruning.measuring.files import merge_measurements as merge_measurements
    from qubo_prune.pruning.measuring.files import save_measurements as save_measurements
    from qubo_prune.pruning.objective import FunctionObjective as FunctionObjective
    from qubo_prune.pruning.objective import Measurement as Measurement
    from qubo_prune.pruning.objective import Objective as Objective
    from qubo_prune.pruning.pipeline.compress import Compressed as Compressed
    from qubo_prune.pruning.pipeline.compress import compress as compress
    from qubo_prune.pruning.pipeline.settings import CompressSettings as CompressSettings
    from qubo_prune.pruning.pruner import Pruned as Pruned
    from qubo_prune.pruning.pruner import prune as prune
    from qubo_prune.pruning.rewriting.rewriter import prune_folder as prune_folder
    from qubo_prune.pruning.selection import Candidate as Candidate
    from qubo_prune.pruning.selection import Selection as Selection
    from qubo_prune.pruning.selector import select as select
    from qubo_prune.pruning.selector import select_removals as select_removals
    from qubo_prune.pruning.statistics import BlockStatistics as BlockStatistics
    from qubo_prune.pruning.statistics import block_statistics as block_statistics
    from qubo_prune.pruning.surrogate import Posterior as Posterior
    from qubo_prune.pruning.surrogate import Prior as Prior

_HOMES = {
    "BlockStatistics": "qubo_prune.pruning.statistics",
    "Candidate": "qubo_prune.pruning.selection",
    "CompressSettings": "qubo_prune.pruning.pipeline.settings",
    "Compressed": "qubo_prune.pruning.pipeline.compress",
    "Evaluation": "qubo_prune.pruning.evaluation.evaluation",
    "FunctionObjective": "qubo_prune.pruning.objective",
    "Healed": "qubo_prune.pruning.healing.healed",
    "Hint": "qubo_prune.pruning.hints",
    "LoopResult": "qubo_prune.pruning.loop",
    "LoopSettings": "qubo_prune.pruning.loop",
    "Measurement": "qubo_prune.pruning.objective",
    "MeasurementFile": "qubo_prune.pruning.measuring.files",
    "ModelObjective": "qubo_prune.pruning.measurement",
    "Objective": "qubo_prune.pruning.objective",
    "Posterior": "qubo_prune.pruning.surrogate",
    "Prior": "qubo_prune.pruning.surrogate",
    "Pruned": "qubo_prune.pruning.pruner",
    "Selection": "qubo_prune.pruning.selection",
    "Trial": "qubo_prune.pruning.loop",
    "block_statistics": "qubo_prune.pruning.statistics",
    "compress": "qubo_prune.pruning.pipeline.compress",
    "evaluate": "qubo_prune.pruning.evaluation.evaluator",
    "heal": "qubo_prune.pruning.healing.healer",
    "hints_of_model": "qubo_prune.pruning.hints",
    "load_measurements": "qubo_prune.pruning.measuring.files",
    "merge_measurements": "qubo_prune.pruning.measuring.files",
    "prune": "qubo_prune.pruning.pruner",
    "prune_folder": "qubo_prune.pruning.rewriting.rewriter",
    "save_measurements": "qubo_prune.pruning.measuring.files",
    "search_removals": "qubo_prune.pruning.loop",
    "select": "qubo_prune.pruning.selector",
    "select_removals": "qubo_prune.pruning.selector",
}

__all__ = [*_HOMES]  # noqa: PLE0604 - every key is a string

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
