"""`compress`: every step in a file, done once, redone when needed, whatever ended the last run."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qubo_prune.core.errors import InputError
from qubo_prune.core.spectrum.spectrum import Spectrum
from qubo_prune.core.stopping import Progress, StopReason
from qubo_prune.pruning.evaluation.evaluation import Evaluation
from qubo_prune.pruning.healing.distillation.settings import DistillSettings
from qubo_prune.pruning.pipeline.compress import Compressed
from qubo_prune.pruning.pipeline.ledger import Ledger, Standing
from qubo_prune.pruning.pipeline.settings import CompressSettings, preset
from qubo_prune.pruning.pipeline.steps import Job
from qubo_prune.pruning.pipeline.workbench import Shares, Workbench, shares
from qubo_prune.pruning.selection import Selection

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from qubo_prune.pruning.pipeline.compress import compress  # noqa: E402
from qubo_prune.pruning.pipeline.plan import plan  # noqa: E402
from tests.pruning.test_prune_architectures import REFUSED, tiny  # noqa: E402
from tests.tiny_models import BY_TYPE, build  # noqa: E402

SETTINGS = CompressSettings(
    remove=2, hessian_samples=12, samples=8, evaluations=12, evaluation_samples=4, latency=False
)


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny model and samples."""
    folder = tmp_path_factory.mktemp("given")
    build(BY_TYPE["llama"], num_hidden_layers=6).save_pretrained(folder / "tiny")
    np.save(folder / "tokens.npy", np.random.default_rng(0).integers(0, 40, (40, 12)))
    return folder


@pytest.fixture(scope="module")
def finished(given: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("finished") / "out"
    assert run(given, out).complete
    return out


@pytest.fixture
def out(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "out"))


def run(given: Path, out: Path, settings: CompressSettings = SETTINGS, **more: Any) -> Compressed:
    return compress(given / "tiny", given / "tokens.npy", out, settings, **more)


def outcomes(compressed: Compressed) -> dict[str, str]:
    return {step.name: step.outcome for step in compressed.steps}


def contents(out: Path) -> dict[str, Any]:
    """What the files say, without durations."""
    spectrum = Spectrum.load(out / "02-spectrum.json")
    selection = Selection.load(out / "03-selection.json").to_dict()
    del selection["seconds"]
    return {
        "hessian": (out / "01-hessian.npy").read_bytes(),
        "sidecar": json.loads((out / "01-hessian.json").read_text()),
        "energies": spectrum.energies.tolist(),
        "states": spectrum.states.tolist(),
        "selection": selection,
        "weights": (out / "04-model" / "model.safetensors").read_bytes(),
        "record": json.loads((out / "04-model" / "prune.json").read_text()),
        "card": (out / "04-model" / "README.md").read_text(),
        "report": (out / "05-evaluation.md").read_text(),
    }


def test_every_step_writes_its_file(finished: Path) -> None:
    steps = json.loads((finished / "steps.json").read_text())["steps"]
    assert list(steps) == ["extract", "solve", "select", "prune", "evaluate"]
    assert all(step["status"] == "finished" for step in steps.values())
    selection = Selection.load(finished / "03-selection.json")
    record = json.loads((finished / "04-model" / "prune.json").read_text())
    assert tuple(record["removed"]) == selection.best.removed
    assert record["verification"]["max_difference"] == 0
    loaded = transformers.AutoModelForCausalLM.from_pretrained(finished / "04-model")
    assert loaded.config.num_hidden_layers == 4
    spectrum = Spectrum.load(finished / "02-spectrum.json")
    assert selection.hessian_sha256 == spectrum.hessian_sha256


def test_the_report_is_on_the_model_card(finished: Path) -> None:
    evaluation = Evaluation.load(finished / "05-evaluation.json")
    assert evaluation.names == ("original", "04-model")
    loss = evaluation.metric("04-model", "loss")
    assert loss is not None
    card = (finished / "04-model" / "README.md").read_text()
    assert evaluation.to_markdown().strip() in card
    assert "How well it does was not measured" not in card
    sidecar = json.loads((finished / "01-hessian.json").read_text())
    reported = evaluation.settings["samples"]
    assert reported
    assert len(sidecar["sample_indices"]) == 12


def test_the_same_call_does_nothing_again(given: Path, out: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    assert before
    assert {*outcomes(run(given, out)).values()} == {"done before"}
    after = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    assert after == before


@pytest.mark.parametrize(
    ("change", "redone"),
    [
        ({"hessian_samples": 10}, {"extract", "solve", "select", "prune", "evaluate"}),
        ({"states": 7}, {"solve", "select", "prune", "evaluate"}),
        ({"remove": 3}, {"solve", "select", "prune", "evaluate"}),
        ({"evaluations": 10}, {"select", "prune", "evaluate"}),
        ({"candidates": 2}, {"prune", "evaluate"}),
        ({"limit": 3}, {"evaluate"}),
    ],
)
def test_what_depends_on_a_changed_setting_is_done_again(
    change: dict[str, Any], redone: set[str], given: Path, out: Path
) -> None:
    told: list[str] = []
    done = outcomes(run(given, out, replace(SETTINGS, **change), tell=told.append))
    now = {name for name, outcome in done.items() if outcome == "done now"}
    assert now == redone
    assert any(f"again ({next(iter(change))} changed)" in line for line in told)


def test_measurements_outlive_another_number_of_blocks(given: Path, out: Path) -> None:
    [records] = (out / "unfinished").glob("*measurements.jsonl")
    lines = records.read_bytes()
    run(given, out, replace(SETTINGS, remove=3))
    assert records.read_bytes().startswith(lines)


def test_a_file_replaced_by_hand_is_kept_and_read(given: Path, out: Path) -> None:
    path = out / "03-selection.json"
    fields = json.loads(path.read_text())
    best = fields["removals"][0]
    other = next(pair for pair in ([0, 1], [2, 3]) if pair != best["removed"])
    fields["removals"] = [{**best, "removed": other}]
    path.write_text(json.dumps(fields))
    by_hand = path.read_bytes()
    done = outcomes(run(given, out))
    assert done["select"] == "put there by hand"
    assert done["prune"] == "done now"
    record = json.loads((out / "04-model" / "prune.json").read_text())
    assert record["removed"] == other
    assert path.read_bytes() == by_hand
    done = outcomes(run(given, out, replace(SETTINGS, evaluations=9)))  # would overwrite it
    assert done["select"] == "put there by hand"
    assert path.read_bytes() == by_hand
    with pytest.raises(InputError, match=r"03-selection\.json was put there by hand, and is not"):
        run(given, out, begin="select")
    assert outcomes(run(given, out, begin="prune"))["prune"] == "done now"
    path.unlink()
    assert outcomes(run(given, out))["select"] == "done now"


def test_a_file_that_was_there_before_takes_the_place_of_its_step(
    given: Path, finished: Path, tmp_path: Path
) -> None:
    out = tmp_path / "new"
    out.mkdir()
    for name in ("01-hessian.npy", "01-hessian.json"):
        shutil.copy(finished / name, out / name)
    done = outcomes(run(given, out))
    assert done["extract"] == "put there by hand"
    assert contents(out)["selection"] == contents(finished)["selection"]


def test_other_data_or_another_model_begin_anew(given: Path, out: Path, tmp_path: Path) -> None:
    data = tmp_path / "tokens.npy"
    np.save(data, np.random.default_rng(1).integers(0, 40, (40, 12)))
    done = compress(given / "tiny", data, out, SETTINGS)
    assert {*outcomes(done).values()} == {"done now"}
    moved = Path(shutil.copytree(given / "tiny", tmp_path / "moved"))
    assert {*outcomes(compress(moved, data, out, SETTINGS)).values()} == {"done before"}
    build(BY_TYPE["llama"], num_hidden_layers=6, hidden_act="relu").save_pretrained(moved)
    done = compress(moved, data, out, SETTINGS)
    assert outcomes(done)["extract"] == "done now"


def test_from_a_step_on(given: Path, out: Path) -> None:
    done = outcomes(run(given, out, begin="solve"))
    assert done["extract"] == "done before"
    assert all(outcome == "done now" for name, outcome in done.items() if name != "extract")
    with pytest.raises(InputError, match="'cook' to begin with does not exist; choose one of"):
        run(given, out, begin="cook")
    with pytest.raises(InputError, match="'extract' to begin with is left out by these settings"):
        run(given, out, replace(SETTINGS, hessian_samples=0), begin="extract")


def test_without_a_hessian_and_without_measuring(given: Path, tmp_path: Path) -> None:
    measured = run(given, tmp_path / "a", replace(SETTINGS, hessian_samples=0))
    assert {"select", "prune"} <= outcomes(measured).keys() - {"extract", "solve"}
    assert not (tmp_path / "a" / "01-hessian.npy").exists()
    energies = replace(SETTINGS, evaluations=0, candidates=3)
    proven = run(given, tmp_path / "b", energies)
    assert {"extract", "solve", "prune"} <= outcomes(proven).keys() - {"select"}
    spectrum = Spectrum.load(tmp_path / "b" / "02-spectrum.json")
    for state, name in enumerate(("04-model", "04-model-1", "04-model-2")):
        record = json.loads((tmp_path / "b" / name / "prune.json").read_text())
        assert record["removed"] == spectrum.removed(state)
        assert record["choice"]["rank_in_spectrum"] == state


def test_stopped_by_a_limit_it_goes_on(given: Path, finished: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    for seconds in (1e-3, 0.05, 0.2):
        stopped = run(given, out, time_limit=seconds)
        if not stopped.complete:
            assert stopped.stop_reason is StopReason.TIME_LIMIT
            assert {*outcomes(stopped).values()} & {"stopped", "not begun"}
    assert run(given, out).complete
    assert contents(out)["selection"] == contents(finished)["selection"]


KILLED = """
import os, random, signal, sys, time, traceback
import torch
from qubo_prune.pruning.pipeline.compress import compress
from qubo_prune.pruning.pipeline.settings import CompressSettings
import transformers.models.llama.modeling_llama, qubo_prune.pruning.pipeline.plan
torch.set_num_threads(1)
given, out, seed, kills = *sys.argv[1:3], int(sys.argv[3]), int(sys.argv[4])
settings = CompressSettings(
    remove=2, hessian_samples=12, samples=8, evaluations=12, evaluation_samples=4, latency=False
)
rng, killed, delay = random.Random(seed), 0, 0.0
while True:
    child = os.fork()
    if not child:
        try:
            assert compress(given + "/tiny", given + "/tokens.npy", out, settings).complete
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    if killed < kills:
        delay = rng.uniform(0.02, 1.0)
        time.sleep(delay)
        os.kill(child, signal.SIGKILL)
        killed += 1
    _, status = os.waitpid(child, 0)
    if not os.WIFSIGNALED(status):
        break
print(killed)
sys.exit(os.WEXITSTATUS(status))
"""


def test_killed_at_any_time_it_comes_to_the_same_files(
    given: Path, finished: Path, tmp_path: Path
) -> None:
    out, kills = tmp_path / "out", int(os.environ.get("QUBO_PRUNE_KILLS", "5"))
    environment = {**os.environ, "PYTHONPATH": str(Path.cwd())}
    ran = subprocess.run(
        [sys.executable, "-c", KILLED, str(given), str(out), "3", str(kills)],
        check=False,
        capture_output=True,
        text=True,
        env=environment,
    )
    assert ran.returncode == 0, ran.stderr
    assert int(ran.stdout) > 0
    made, expected = contents(out), contents(finished)
    for each in (made, expected):
        each["card"] = each["card"].replace(each["record"].pop("command"), "")
    assert made == expected
    names = {path.name for path in out.iterdir()}
    assert names <= {path.name for path in finished.iterdir()}


@pytest.mark.parametrize("moved", [[], [".grads.npy"], [".grads.npy", ".json"]])
@pytest.mark.parametrize("is_said", [True, False])
def test_killed_between_the_files_of_a_hessian(
    moved: list[str], is_said: bool, given: Path, out: Path
) -> None:
    """The files of a Hessian get their names one after the other."""
    entry = json.loads((out / "steps.json").read_text())["steps"]["extract"]
    bench = Workbench(str(given / "tiny"), [str(given / "tokens.npy")], SETTINGS, print)
    made = Job(out, bench, SETTINGS).work("01-hessian.npy", entry["request"])
    expected = {}
    for suffix in (".npy", ".json", ".grads.npy"):
        path = out / f"01-hessian{suffix}"
        expected[path] = path.read_bytes()
        if suffix not in moved:
            path.rename(made.with_name(made.stem + suffix))
    if is_said:
        made.with_suffix(".complete").touch()
    ledger = Ledger(out)
    ledger.start("extract", out / "01-hessian.npy", entry["request"])
    assert run(given, out).complete
    assert {path: path.read_bytes() for path in expected} == expected
    assert not [*(out / "unfinished").glob("*hessian*")]


def test_bad_input_writes_nothing(given: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="leave nothing to choose by"):
        CompressSettings(remove=2, hessian_samples=0, evaluations=0)
    with pytest.raises(InputError, match="objective must be loss or kl"):
        replace(SETTINGS, objective="speed")
    with pytest.raises(InputError, match="no preset 'best'; choose one of paper"):
        preset("best", remove=2)
    file = tmp_path / "file"
    file.write_text("mine")
    with pytest.raises(InputError, match="is a file, but a folder"):
        run(given, file)
    with pytest.raises(InputError, match="is the folder of the model itself"):
        run(given, given / "tiny")
    with pytest.raises(InputError, match=r"has no config\.json"):
        compress(tmp_path, given / "tokens.npy", tmp_path / "out", SETTINGS)
    assert not (tmp_path / "out").exists()


def test_what_cannot_be_pruned_is_refused_before_it_is_measured(
    given: Path, out: Path, tmp_path: Path
) -> None:
    settings, reason = REFUSED["minimax"]
    tiny("minimax", settings).save_pretrained(tmp_path / "tiny")
    new = tmp_path / "new"
    with pytest.raises(InputError, match=reason):
        compress(tmp_path / "tiny", given / "tokens.npy", new, replace(SETTINGS, remove=1))
    with pytest.raises(InputError, match=reason):
        plan(tmp_path / "tiny", [str(given / "tokens.npy")], new, replace(SETTINGS, remove=1))
    assert not (new / "01-hessian.npy").exists()
    shutil.copytree(out / "04-model", new / "04-model")  # pruned by hand, then
    done = compress(tmp_path / "tiny", given / "tokens.npy", new, replace(SETTINGS, remove=1))
    assert outcomes(done)["prune"] == "put there by hand"


def test_what_can_be_pruned_in_some_ways_is_a_warning(given: Path, tmp_path: Path) -> None:
    settings, _ = REFUSED["diffllama"]
    tiny("diffllama", settings).save_pretrained(tmp_path / "tiny")
    told: list[str] = []
    last = replace(SETTINGS, remove=1, force=("layers.3",))
    model, data = tmp_path / "tiny", given / "tokens.npy"
    assert compress(model, data, tmp_path / "last", last, tell=told.append).complete
    assert not any("warning" in line for line in told)
    with pytest.raises(InputError, match="would have lambda_init"):
        compress(model, data, tmp_path / "first", replace(last, force=(0,)), tell=told.append)
    assert not (tmp_path / "first" / "01-hessian.npy").exists()
    Workbench(str(model), [str(data)], replace(last, force=()), told.append).check_prunable()
    [warning] = [line for line in told if line.startswith("warning")]
    assert "what is selected may be refused by prune" in warning


def test_models_of_an_earlier_call_are_named(given: Path, out: Path) -> None:
    lowest = replace(SETTINGS, evaluations=0)
    assert run(given, out, replace(lowest, candidates=2)).complete
    told: list[str] = []
    assert run(given, out, lowest, tell=told.append).complete
    left = "04-model-1 is of another call with more candidates, and in no table; delete it, or not"
    assert told[-1] == left
    assert (out / "04-model-1").is_dir()
    assert Evaluation.load(out / "05-evaluation.json").names == ("original", "04-model")


def test_few_samples_are_divided() -> None:
    for available in range(3, 400):
        found = shares(available, CompressSettings(remove=1))
        first, last = found.report
        assert 0 < found.hessian <= first
        assert 0 < found.measuring <= first
        assert 0 < last - first <= 64
        assert last <= available
    with pytest.raises(InputError, match="give 2 samples, and at least 3 are needed"):
        shares(2, SETTINGS)
    everything = shares(256, CompressSettings(remove=1, evaluation_samples=0))
    assert everything.report == (256, 256)


def test_the_plan_says_what_a_call_does(given: Path, out: Path, tmp_path: Path) -> None:
    def standings(folder: Path, settings: CompressSettings = SETTINGS, **more: Any) -> list[str]:
        data = [str(given / "tokens.npy")]
        planned = plan(given / "tiny", data, folder, settings, **more)
        assert all((each.seconds or 1) > 0 for each in planned)
        return [each.standing for each in planned]

    assert standings(tmp_path / "none") == ["to do"] * 5
    assert not (tmp_path / "none").exists()
    assert standings(out) == ["done"] * 5
    changed = replace(SETTINGS, states=5)
    assert standings(out, changed) == ["done", *["to do again"] * 4]
    assert standings(out, begin="select") == ["done", "done", *["to do again"] * 3]
    with (out / "02-spectrum.json").open("a") as stream:
        stream.write("\n")
    assert standings(out) == ["done", "put there by hand", *["to do again"] * 3]


def test_a_damaged_ledger_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "steps.json").write_text("{")
    with pytest.raises(InputError, match=r"steps.json is not a valid record of steps"):
        Ledger(tmp_path)


def test_a_step_that_was_killed_after_writing_counts_as_done(tmp_path: Path) -> None:
    file, request = tmp_path / "a", {"option": 1}
    ledger = Ledger(tmp_path)
    file.write_text("old")
    ledger.start("step", file, request)
    again = Ledger(tmp_path)
    assert again.standing("step", file, request) is Standing.CHANGED
    file.write_text("new")
    assert again.standing("step", file, request) is Standing.DONE
    assert again.standing("step", file, {"option": 2}) is Standing.CHANGED
    again.finish("step", file, request, 1.0)
    file.write_text("by hand")
    assert Ledger(tmp_path).standing("step", file, request) is Standing.GIVEN
    file.unlink()
    assert Ledger(tmp_path).standing("step", file, request) is Standing.MISSING


HEALING = replace(
    SETTINGS,
    heal=("linear", "distill"),
    heal_samples=20,
    distillation=DistillSettings(step_samples=4, learning_rate=1e-3, epochs=2),
)


def test_healing_adds_models_and_does_nothing_else_again(given: Path, out: Path) -> None:
    before = contents(out)
    compressed = run(given, out, HEALING)
    assert outcomes(compressed) == {
        **dict.fromkeys(("extract", "solve", "select", "prune"), "done before"),
        **dict.fromkeys(("heal-linear", "heal-distill", "evaluate"), "done now"),
    }
    after = contents(out)
    for key in ("hessian", "energies", "selection", "weights", "record"):
        assert after[key] == before[key]
    names = ["original", "04-model", "05-healed-linear", "05-healed-linear-distill"]
    evaluation = compressed.evaluation
    assert evaluation is not None
    assert list(evaluation.models) == names
    divergences = [evaluation.metric(name, "KL") for name in names[1:]]
    assert divergences[2].value < divergences[0].value
    for name in names[1:]:
        model, report = transformers.AutoModelForCausalLM.from_pretrained(
            out / name, output_loading_info=True
        )
        assert model.config.num_hidden_layers == 4
        assert not any(report[key] for key in ("missing_keys", "unexpected_keys"))
    card = (out / names[3] / "README.md").read_text()
    assert "`linear`" in card
    assert "`distill`" in card
    assert "## How good it is" in card
    healing = json.loads((out / names[3] / "heal.json").read_text())
    assert healing["calibration"]["samples"] == 20
    assert outcomes(run(given, out, HEALING)) == dict.fromkeys(
        ("extract", "solve", "select", "prune", "heal-linear", "heal-distill", "evaluate"),
        "done before",
    )
    other = replace(HEALING, distillation=replace(HEALING.distillation, epochs=1))
    assert [k for k, v in outcomes(run(given, out, other)).items() if v == "done now"] == [
        "heal-distill", "evaluate",
    ]  # fmt: skip


def test_healing_that_is_stopped_leaves_no_half_healed_model(
    given: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It goes on from what it had, to the same weights."""
    # Every step is told of, however fast the machine.
    monkeypatch.setattr("qubo_prune.core.stopping._REPORT_INTERVAL", 0.0)
    slow = replace(
        HEALING,
        heal=("distill",),
        distillation=replace(HEALING.distillation, epochs=10),
    )
    whole = Path(shutil.copytree(out, out.with_name("whole")))
    assert run(given, whole, slow).complete

    def stop_after_some(progress: Progress) -> None:
        if "step 20 of" in progress.message:
            os.kill(os.getpid(), signal.SIGINT)

    compressed = run(given, out, slow, progress=stop_after_some)
    assert compressed.stop_reason is StopReason.INTERRUPTED
    assert not (out / "05-healed-distill").exists()
    assert len(list(out.glob(".05-healed-distill.healing/*"))) == 1
    assert run(given, out, slow).complete
    assert not list(out.glob(".05-healed-distill.healing"))
    first, second = (each / "05-healed-distill" / "model.safetensors" for each in (whole, out))
    assert first.read_bytes() == second.read_bytes()


def test_healing_is_planned(given: Path, out: Path) -> None:
    steps = {
        step.name: step for step in plan(given / "tiny", [str(given / "tokens.npy")], out, HEALING)
    }
    assert [name for name, step in steps.items() if step.standing == "to do"] == [
        "heal-linear", "heal-distill",
    ]  # fmt: skip
    assert all((steps[name].seconds or 0) > 0 for name in ("heal-linear", "heal-distill"))
    assert steps["evaluate"].standing == "to do again"


@pytest.mark.parametrize(
    ("heal", "message"),
    [
        (("cure",), r"no method of healing 'cure'; choose from rescale, linear, distill"),
        (("linear", "linear"), r"heal must name each method once, not 'linear,linear'"),
    ],
)
def test_wrong_methods_are_refused(heal: tuple[str, ...], message: str) -> None:
    with pytest.raises(InputError, match=message):
        replace(SETTINGS, heal=heal)


def test_healing_gets_what_the_report_leaves() -> None:
    settings = replace(SETTINGS, heal=("distill",), heal_samples=30)
    assert shares(100, settings) == Shares(12, 8, (30, 34), 30)
    assert shares(20, settings) == Shares(12, 8, (16, 20), 16)
    assert shares(12, settings) == Shares(9, 8, (9, 12), 9)
