"""The figure of an evaluation: everything that was measured, written whole or not at all."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from qubo_prune.core.errors import InputError
from qubo_prune.pruning.evaluation.evaluation import Evaluation
from qubo_prune.pruning.evaluation.metrics import Metric
from qubo_prune.report.evaluation import evaluation_figure, plot_evaluation


@pytest.fixture
def evaluation() -> Evaluation:
    metrics = {
        name: (
            Metric.mean("loss", [factor, 2 * factor]),
            Metric.mean("broken", [np.nan if factor > 1 else 1.0]),
            Metric.size("weights", 100 / factor, "bytes"),
            Metric.time("prefill", [0.1 / factor, 0.2 / factor], [0.1, 0.2]),
        )
        for name, factor in (("original", 1.0), ("cut", 2.0))
    }
    return Evaluation(models={name: {} for name in metrics}, metrics=metrics, original="original")


def test_each_number_has_a_panel(evaluation: Evaluation) -> None:
    titles = [axes.get_title() for axes in evaluation_figure(evaluation).axes]
    assert titles == ["loss", "broken (1 diverged)", "prefill", "left of the original"]
    bars = evaluation_figure(evaluation).axes[-1].patches
    assert [bar.get_width() for bar in bars] == pytest.approx([50.0, 50.0])


@pytest.mark.parametrize("suffix", [".png", ".pdf", ".svg"])
def test_plots_are_the_same_every_time(evaluation: Evaluation, tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"plot{suffix}"
    plot_evaluation(evaluation, path)
    first = path.read_bytes()
    plot_evaluation(evaluation, path)
    assert path.read_bytes() == first
    with pytest.raises(InputError, match="must end in"):
        plot_evaluation(evaluation, tmp_path / "plot.gif")


def test_one_model_without_an_original() -> None:
    alone = Evaluation(models={"m": {}}, metrics={"m": (Metric.size("weights", 3),)})
    assert evaluation_figure(alone).axes == []
