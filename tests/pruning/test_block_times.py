"""Times of blocks: which modules are timed in which pass, and what becomes of the numbers."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from qubo_prune.core.errors import InputError  # noqa: E402
from qubo_prune.core.stopping import Stop, StopReason  # noqa: E402
from qubo_prune.hessians.gates.gates import find_gates  # noqa: E402
from qubo_prune.pruning.block_times import BlockTimes, measure_block_times  # noqa: E402
from tests.pruning.test_prune import deep  # noqa: E402

QUICK = {"prompt_tokens": 6, "new_tokens": 3, "repeats": 2}


@pytest.mark.parametrize("name", ["llama", "jamba"])
@pytest.mark.parametrize("granularity", ["block", "branch"])
def test_every_block_takes_time_and_all_together_less_than_the_model(
    name: str, granularity: Any
) -> None:
    gates = find_gates(deep(name), granularity)
    times = measure_block_times(gates, **QUICK)
    assert times.names == tuple(gate.name for gate in gates.gates)
    for phase in ("prefill", "decode"):
        assert times.seconds[phase].shape == (2, len(gates))
        assert (times.seconds[phase] > 0).all()
        assert (times.seconds[phase].sum(axis=1) < times.whole[phase]).all()
    assert times.stop_reason is StopReason.COMPLETED


def test_a_slow_block_is_found_in_the_pass_that_it_is_slow_in() -> None:
    model = deep("llama")
    gates = find_gates(model, "branch")
    slow = {3: 6, 5: 1}  # tokens of the pass by which they are slow: the prompt's, and one

    def wait(length: int) -> Any:
        def before(_: Any, args: Any) -> None:
            if args[0].shape[1] == length:
                time.sleep(0.03)

        return before

    handles = [
        gates.layers[block // 2].mlp.up_proj.register_forward_pre_hook(wait(length))
        for block, length in slow.items()
    ]
    times = measure_block_times(gates, **QUICK)
    for handle in handles:
        handle.remove()
    prefill, decode = (times.weights(phase) for phase in ("prefill", "decode"))
    assert int(np.argmax(prefill)) == 3
    assert int(np.argmax(decode)) == 5
    assert prefill[3] >= 30
    assert not any(each._forward_hooks for each in model.modules())


def test_medians_errors_and_kinds() -> None:
    seconds = np.array([[1.0, 2.0, 5.0], [1.0, 4.0, 5.0], [1.0, 9.0, 5.0]]) / 1000
    times = BlockTimes(
        names=("a", "b", "c"), kinds=("x", "y", "y"), seconds=dict.fromkeys(("prefill", "decode"), seconds),
        whole=dict.fromkeys(("prefill", "decode"), seconds.sum(axis=1)), prompt_tokens=4,
        new_tokens=2, stop_reason=StopReason.COMPLETED,
    )  # fmt: skip
    medians, errors = times.milliseconds("prefill")
    assert medians.tolist() == [1.0, 4.0, 5.0]
    assert errors.tolist() == pytest.approx([0.0, 1.2533 * 1.4826 * 2 / 3**0.5, 0.0])
    assert times.milliseconds(by="kind")[0].tolist() == [1.0, 4.5, 4.5]
    found = times.to_dict()
    assert found["blocks"][1]["prefill"] == 4.0
    assert found["whole"]["decode"] == 10.0
    for wrong in ({"phase": "training"}, {"by": "layer"}):
        with pytest.raises(InputError, match=r"must be .*; choose one"):
            times.milliseconds(**wrong)


def test_one_repetition_has_no_error_and_none_is_refused() -> None:
    gates = find_gates(deep("llama"))
    once = measure_block_times(gates, prompt_tokens=4, new_tokens=2, repeats=1)
    assert once.to_dict()["blocks"][0]["decode_error"] is None
    stop = Stop()
    stop.cancel()
    with pytest.raises(InputError, match="nothing was timed before the stop"):
        measure_block_times(gates, stop=stop)


def test_a_block_whose_modules_are_not_called_is_named() -> None:
    gates = find_gates(deep("llama"), "branch")
    gates.parts = (*gates.parts[:2], (torch.nn.Linear(2, 2),), *gates.parts[3:])
    with pytest.raises(InputError, match=r"layers\.1\.attention are not called as modules"):
        measure_block_times(gates, **QUICK)
