"""Criteria: their scores by loops of their own, and their removals by brute force."""

from __future__ import annotations

import csv
import dataclasses
import io
import itertools
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qubo_prune import Problem
from qubo_prune.core.errors import InputError
from qubo_prune.hessians.calibration import Calibration
from qubo_prune.pruning.criteria import (
    CRITERIA,
    Evidence,
    ScoreTable,
    criterion_names,
    get_criterion,
    lowest,
    score_table,
)
from qubo_prune.pruning.criteria.evidence import StoppedError
from qubo_prune.pruning.statistics import BlockStatistics
from qubo_prune.report.criteria import draw_criteria, plot_criteria

SIZE = 7
KINDS = ["attention", "mlp"] * 3 + ["attention"]


def blank(remove: Any = 3, size: int = SIZE, **options: Any) -> Problem:
    return Problem(np.zeros((size, size)), remove=remove, **options)


def statistics(seed: int = 0, size: int = SIZE, samples: int = 3) -> BlockStatistics:
    """Of random streams, computed in other ways than the package's."""
    rng = np.random.default_rng(seed)
    found: dict[str, dict[str, Any]] = {
        name: {} for name in ("similarity", "norm_ratio", "magnitude", "angular", "alignment")
    }
    streams = rng.standard_normal((samples, 5, size + 1, 4)).cumsum(axis=2)
    for tokens, part in (("all", streams), ("last", streams[:, -1:])):
        norms = np.sqrt((part**2).sum(-1))
        cosines = np.einsum("mtid,mtjd->mtij", part, part) / (
            norms[..., np.newaxis] * norms[..., np.newaxis, :]
        )
        found["angular"][tokens] = (np.arccos(np.clip(cosines, -1, 1)) / math.pi).mean(1)
        found["similarity"][tokens] = cosines[..., range(size), range(1, size + 1)].mean(1)
        found["norm_ratio"][tokens] = (norms[..., 1:] / norms[..., :-1]).mean(1)
        added = np.sqrt((np.diff(part, axis=2) ** 2).sum(-1))
        found["magnitude"][tokens] = (added / norms[..., 1:]).mean(1)
        relative = np.diff(part, axis=2) / norms[..., :-1, np.newaxis]
        found["alignment"][tokens] = np.einsum("mtid,mtjd->mtij", relative, relative).mean(1)
    return BlockStatistics(**found)


def evidence(seed: int = 0, size: int = SIZE) -> Evidence:
    rng = np.random.default_rng(seed)
    return Evidence(
        size,
        statistics=statistics(seed, size),
        gradients=rng.standard_normal((6, size)),
        singles={"loss": rng.standard_normal(size), "kl": rng.uniform(0, 1, size)},
    )


@st.composite
def problems(draw: st.DrawFn) -> Problem:
    """Any constraint on seven blocks that some state satisfies."""
    blocks = st.sets(st.integers(0, SIZE - 1), max_size=2)
    keep = draw(blocks)
    options: dict[str, Any] = {"keep": keep, "force": draw(blocks) - keep, "kinds": KINDS}
    choices = []
    for remove in (
        *range(SIZE + 1),
        *({"attention": a, "mlp": b} for a in range(5) for b in range(4)),
    ):
        try:
            choices.append(blank(remove, **options))
        except InputError:
            continue
    return draw(st.sampled_from(choices))


def states(problem: Problem) -> Iterator[tuple[int, ...]]:
    for removed in itertools.combinations(range(problem.num_blocks), problem.num_removed):
        if problem.is_feasible(problem.state(removed))[0]:
            yield removed


@given(problems(), st.lists(st.integers(-3, 3) | st.just(math.inf), min_size=SIZE, max_size=SIZE))
def test_the_lowest_scores_are_the_proven_minimum(problem: Problem, scores: list[float]) -> None:
    removed = lowest(problem, np.array(scores, np.float64))
    every = list(states(problem))
    assert removed in every

    def total(blocks: tuple[int, ...]) -> float:
        return sum(scores[block] for block in blocks)

    assert total(removed) == min(map(total, every))


@given(problems(), st.sampled_from(criterion_names()))
def test_every_criterion_obeys_the_constraint_or_says_why_not(problem: Problem, name: str) -> None:
    criterion, every = get_criterion(name), set(states(problem))
    if name == "angular-distance" and not any(map(is_run, every)):
        message = f"no run of {problem.num_removed} consecutive blocks"
        with pytest.raises(InputError, match=message):
            criterion.removal(problem, evidence())
        return
    assert criterion.removal(problem, evidence()) in every


def is_run(removed: tuple[int, ...]) -> bool:
    return all(b == a + 1 for a, b in itertools.pairwise(removed))


@given(problems(), st.integers(0, 50), st.sampled_from(["last", "all"]))
def test_the_best_window_is_the_best_of_all(problem: Problem, seed: int, tokens: Any) -> None:
    found = statistics(seed)
    runs = [each for each in states(problem) if is_run(each)]
    if not runs or not problem.num_removed:
        return
    distances = found.angular[tokens].mean(0)

    def distance(run: tuple[int, ...]) -> float:
        return float(distances[run[0], run[-1] + 1])

    criterion = get_criterion("angular-distance", tokens=tokens)
    removed = criterion.removal(problem, Evidence(SIZE, statistics=found))
    assert removed in runs
    assert distance(removed) == min(map(distance, runs))


def test_scores_are_what_their_names_say() -> None:
    given, found = evidence(3), statistics(3)
    gradients = given.gradients()
    expected = {
        "block-influence": 1 - found.similarity["all"].mean(0),
        "angular-distance": [found.angular["last"][:, i, i + 1].mean() for i in range(SIZE)],
        "norm-ratio": found.norm_ratio["all"].mean(0),
        "relative-magnitude": found.magnitude["all"].mean(0),
        "taylor": [abs(sum(column) / 6) for column in gradients.T],
        "hessian-diagonal": np.diagonal(gradients.T @ gradients / 6),
        "single-loss": given.singles("loss"),
        "single-kl": given.singles("kl"),
        "last": [6, 5, 4, 3, 2, 1, 0],
    }
    for name, scores in expected.items():
        assert get_criterion(name).scores(given) == pytest.approx(np.array(scores), abs=1e-12), name
    assert {*expected, "random"} == set(criterion_names())


def test_switches_are_official_behaviour_or_corrections() -> None:
    given, found = evidence(3), statistics(3)
    last = get_criterion("block-influence", tokens="last").scores(given)
    assert last == pytest.approx(1 - found.similarity["last"].mean(0))
    each = get_criterion("taylor", per_sample=True).scores(given)
    assert each == pytest.approx(np.abs(given.gradients()).mean(0))
    first, again, other = (get_criterion("random", seed=s).scores(given) for s in (1, 1, 2))
    assert (first == again).all()
    assert (first != other).any()


def test_the_last_blocks_go_last_first() -> None:
    assert get_criterion("last").removal(blank(2), Evidence(SIZE)) == (5, 6)
    kinds = blank({"attention": 1, "mlp": 2}, kinds=KINDS, keep=[6])
    assert get_criterion("last").removal(kinds, Evidence(SIZE)) == (3, 4, 5)


def test_block_influence_is_computed_again_without_what_went() -> None:
    asked: list[tuple[int, ...]] = []

    def of(removed: tuple[int, ...]) -> BlockStatistics:
        asked.append(removed)
        return statistics(sum(7**block for block in removed))

    given = Evidence(SIZE, statistics=of)
    problem = blank({"attention": 2, "mlp": 2}, kinds=KINDS, keep=[0], force=[3])
    removed = get_criterion("block-influence", recomputed=True).removal(problem, given)

    gone, steps = {3}, [(3,)]
    for _ in range(3):
        scores = 1 - of(tuple(sorted(gone))).similarity["all"].mean(0)
        open_kinds = {
            kind for kind in ("attention", "mlp") if sum(KINDS[b] == kind for b in gone) < 2
        }
        left = [b for b in range(1, SIZE) if b not in gone and KINDS[b] in open_kinds]
        gone.add(min(left, key=lambda block: scores[block]))
        steps.append(tuple(sorted(gone)))
    assert removed == tuple(sorted(gone))
    assert asked[:3] == steps[:3]


def test_evidence_is_computed_once() -> None:
    calls: list[str] = []

    def noted(name: str, value: Any) -> Any:
        calls.append(name)
        return value

    given = Evidence(
        SIZE,
        statistics=lambda removed: noted("statistics", statistics()),
        gradients=lambda: noted("gradients", np.ones((2, SIZE))),
        singles={"loss": lambda: noted("loss", [0.0] * SIZE)},
    )
    for _ in range(2):
        for name in criterion_names():
            if name != "single-kl":
                get_criterion(name).scores(given)
    assert sorted(calls) == ["gradients", "loss", "statistics"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("block-influence", "needs statistics of hidden states, which this evidence has not"),
        ("taylor", "needs gradients at the gates"),
        ("single-loss", "needs the loss of every single removal"),
        ("single-kl", "needs the kl of every single removal"),
    ],
)
def test_missing_evidence_is_named(name: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        get_criterion(name).removal(blank(), Evidence(SIZE))


@pytest.mark.parametrize(
    ("options", "name", "message"),
    [
        ({"gradients": np.ones((2, 4))}, "taylor", r"gradients must have shape \(samples, 7\)"),
        ({"gradients": np.ones(7)}, "taylor", r"not \(7,\)"),
        ({"singles": {"loss": [1.0]}}, "single-loss", r"singles\['loss'\] must have shape \(7,\)"),
        (
            {"gradients": np.full((2, 7), np.nan)},
            "taylor",
            "the score of block 0 is not a number",
        ),
    ],
)
def test_evidence_of_the_wrong_shape_is_refused(options: Any, name: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        get_criterion(name).removal(blank(), Evidence(SIZE, **options))


def test_another_models_evidence_is_refused() -> None:
    for each in CRITERIA:
        with pytest.raises(InputError, match="the evidence is of 7 blocks and the problem has 8"):
            each().removal(blank(size=8), evidence())
    with pytest.raises(InputError, match="only those of the whole model are there"):
        get_criterion("block-influence", recomputed=True).removal(blank(2, force=[0]), evidence())
    with pytest.raises(InputError, match=r"scores must have shape \(7,\)"):
        lowest(blank(), np.zeros(3))


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("entropy", {}, "there is no criterion 'entropy'; choose one of: block-influence"),
        ("taylor", {"tokens": "all"}, "'taylor' has no option 'tokens'; it has per_sample"),
        ("last", {"seed": 1}, "'last' has no option 'seed'; it has none"),
        ("block-influence", {"tokens": "first"}, "tokens must be 'all' or 'last', not 'first'"),
        ("block-influence", {"recomputed": 1}, "must be true or false, not 1"),
        ("random", {"seed": -1}, "seed must be at least 0, not -1"),
        ("random", {"seed": "a"}, "seed must be an integer"),
    ],
)
def test_options_that_are_refused(name: str, options: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        get_criterion(name, **options)


def test_every_criterion_says_what_it_is() -> None:
    assert len(set(criterion_names())) == len(CRITERIA)
    for each in CRITERIA:
        assert each.summary.endswith(".")
        assert each.citation


NAMES = [f"layers.{i}" for i in range(SIZE)]


def table(problem: Problem | None = None, given: Evidence | None = None) -> ScoreTable:
    return score_table(
        [each() for each in CRITERIA],
        given or evidence(),
        names=NAMES,
        kinds=KINDS,
        problem=problem,
    )


def test_the_table_has_all_scores_and_removals() -> None:
    found = table(blank({"attention": 2, "mlp": 2}, kinds=KINDS, keep=[1]))
    assert [each.name for each in found.criteria] == list(criterion_names())
    assert found.complete
    for criterion, row, removed in zip(found.criteria, found.scores, found.removals, strict=True):
        assert (row == criterion.scores(evidence())).all()
        assert removed is not None
    ranks = found.ranks()
    assert (np.sort(ranks, axis=1) == np.arange(SIZE)).all()
    assert ranks[criterion_names().index("last")].tolist() == [6, 5, 4, 3, 2, 1, 0]


def test_a_criterion_that_cannot_is_told_apart() -> None:
    found = table(blank(2, keep=[1, 3, 5]))
    refusals = {each.name: why for each, why in zip(found.criteria, found.refusals, strict=True)}
    assert refusals.pop("angular-distance", "").startswith("no run of 2 consecutive blocks")
    assert set(refusals.values()) == {None}


def test_a_table_that_was_stopped_holds_what_was_finished() -> None:
    def stopped() -> Any:
        raise StoppedError

    given = Evidence(
        SIZE,
        statistics=statistics(),
        gradients=stopped,
        singles={"loss": lambda: pytest.fail("not asked after the end")},
    )
    found = table(given=given)
    assert not found.complete
    # Those that take nothing and one forward pass come before those that take gradients.
    assert {each.name for each in found.criteria} == {
        "block-influence",
        "angular-distance",
        "norm-ratio",
        "relative-magnitude",
        "last",
        "random",
    }


def test_the_table_in_json_and_csv(tmp_path: Path) -> None:
    given = Evidence(
        SIZE,
        statistics=statistics(),
        gradients=np.ones((2, SIZE)),
        singles={"loss": [math.nan] + [0.5] * 6, "kl": [math.inf] + [0.5] * 6},
    )
    found = table(blank(2), given)
    document = json.loads(str(found))
    by_name = {each["name"]: each for each in document["criteria"]}
    assert by_name["single-loss"]["scores"] == [None] + [0.5] * 6
    assert by_name["single-loss"]["removed"] == [1, 2]
    assert document["remove"] == 2
    found.save_csv(tmp_path / "scores.csv")
    rows = list(csv.reader(io.StringIO((tmp_path / "scores.csv").read_text())))
    assert rows[0] == ["block", "name", "kind", *criterion_names()]
    assert [row[1] for row in rows[1:]] == NAMES
    values = np.array([row[3:] for row in rows[1:]], np.float64).T
    assert (values == found.scores).all()


@pytest.mark.parametrize("suffix", [".png", ".svg", ".pdf"])
def test_the_heat_map_is_written_and_the_same_every_time(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"map{suffix}"
    plot_criteria(table(blank(2)), path)
    first = path.read_bytes()
    plot_criteria(table(blank(2)), path)
    assert path.read_bytes() == first


def test_the_heat_map_marks_what_goes() -> None:
    axes = draw_criteria(table(blank(2))).axes[0]
    [marks] = axes.collections
    positions = {tuple(each) for each in np.asarray(marks.get_offsets()).tolist()}
    assert {(5.0, 8.0), (6.0, 8.0)} <= positions  # row 8 is `last`
    assert not draw_criteria(table()).axes[0].collections
    with pytest.raises(InputError, match=r"must end in \.png, \.pdf or \.svg"):
        plot_criteria(table(), "map.gif")


# Against a model, by loops that know nothing of hooks on branches, batches or padding


def tiny() -> Any:
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=64,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=5,
        num_attention_heads=4,
        num_key_value_heads=2,
        initializer_range=0.2,
    )
    return transformers.LlamaForCausalLM(config).eval()


def samples() -> Calibration:
    rng = np.random.default_rng(1)
    tokens = tuple(rng.integers(0, 64, length) for length in (9, 14, 5, 14, 11))
    targets = tuple(np.arange(len(each)) > 0 for each in tokens)
    return Calibration(tokens, targets, np.arange(5), {"source": "random"})


def states_of(model: Any, tokens: Any) -> Any:
    """h_0 ... h_N of one sample, (N + 1, T, size); the library's last entry is after the norm."""
    import torch

    before_norm: list[Any] = []
    handle = model.model.norm.register_forward_pre_hook(
        lambda module, args: before_norm.append(args[0])
    )
    with torch.no_grad():
        out = model(torch.tensor(tokens)[None], output_hidden_states=True, use_cache=False)
    handle.remove()
    return torch.stack([*out.hidden_states[:-1], before_norm[0]])[:, 0].double()


def loss_of(model: Any, sample: int, gates: Any = None) -> Any:
    """Mean cross-entropy of one sample with gates at the layers' outputs, by the definition."""
    import torch

    tokens = torch.tensor(samples().tokens[sample])

    def gated(gate: Any) -> Any:
        return lambda module, args, out: (
            (out[0] * gate, *out[1:]) if isinstance(out, tuple) else out * gate
        )

    handles = [
        branch.register_forward_hook(gated(gate))
        for layer, gate in zip(model.model.layers, () if gates is None else gates, strict=False)
        for branch in (layer.self_attn, layer.mlp)
    ]
    logits = model(tokens[None], use_cache=False).logits[0].double()
    for handle in handles:
        handle.remove()
    chances = torch.log_softmax(logits[:-1], -1)
    return -chances[range(len(tokens) - 1), tokens[1:]].mean(), logits


def test_scores_equal_naive_loops_over_a_model() -> None:
    model = tiny()
    import torch

    from qubo_prune.hessians.gates.gates import find_gates
    from qubo_prune.pruning.criteria.model_evidence import model_evidence

    given = model_evidence(model, find_gates(model), samples(), batch_size=2)
    found = {name: get_criterion(name).scores(given) for name in criterion_names()}

    influence, angles, ratios, magnitudes = (np.zeros(5) for _ in range(4))
    for tokens in samples().tokens:
        h = states_of(model, tokens)
        for i in range(5):
            cosines = torch.cosine_similarity(h[i], h[i + 1], dim=-1)
            influence[i] += float(1 - cosines.mean()) / 5
            angles[i] += math.acos(float(cosines[-1])) / math.pi / 5
            ratios[i] += float((h[i + 1].norm(dim=-1) / h[i].norm(dim=-1)).mean()) / 5
            added = (h[i + 1] - h[i]).norm(dim=-1) / h[i + 1].norm(dim=-1)
            magnitudes[i] += float(added.mean()) / 5
    rows = []
    losses, divergences = np.zeros(5), np.zeros(5)
    for sample in range(5):
        gates = torch.ones(5, requires_grad=True)
        loss, _ = loss_of(model, sample, gates)
        rows.append(torch.autograd.grad(loss, gates)[0].numpy().astype(np.float64))
        with torch.no_grad():
            loss, logits = loss_of(model, sample)
            for i in range(5):
                gates = torch.ones(5)
                gates[i] = 0
                without, others = loss_of(model, sample, gates)
                losses[i] += float(without - loss) / 5
                p, q = torch.log_softmax(logits[:-1], -1), torch.log_softmax(others[:-1], -1)
                divergences[i] += float((p.exp() * (p - q)).sum(-1).mean()) / 5
    gradients = np.stack(rows)
    expected = {
        "block-influence": influence,
        "angular-distance": angles,
        "norm-ratio": ratios,
        "relative-magnitude": magnitudes,
        "taylor": np.abs(gradients.mean(0)),
        "hessian-diagonal": (gradients**2).mean(0),
        "single-loss": losses,
        "single-kl": divergences,
    }
    for name, scores in expected.items():
        assert found[name] == pytest.approx(scores, rel=1e-4, abs=1e-5), name


def test_the_last_block_is_scored_before_the_final_norm() -> None:
    """With the library's own last entry, which is after the norm, the score would be another."""
    model = tiny()
    import torch

    from qubo_prune.hessians.gates.gates import find_gates
    from qubo_prune.pruning.criteria.model_evidence import model_evidence

    with torch.no_grad():
        model.model.norm.weight[:] = torch.linspace(-3, 3, 32)
    given = model_evidence(model, find_gates(model), samples())
    scores = get_criterion("block-influence").scores(given)
    expected, official, angles = 0.0, 0.0, np.zeros(5)
    for tokens in samples().tokens:
        h = states_of(model, tokens)
        expected += float(1 - torch.cosine_similarity(h[4], h[5], dim=-1).mean()) / 5
        with torch.no_grad():
            after = model(torch.tensor(tokens)[None], output_hidden_states=True).hidden_states[-1]
        cosines = torch.cosine_similarity(h[:5], after.double(), dim=-1)
        official += float(1 - cosines[4].mean()) / 5
        angles += np.arccos(cosines[:, -1].numpy()) / math.pi / 5
    assert scores[4] == pytest.approx(expected, rel=1e-5)
    assert abs(expected - official) > 0.1
    switched = get_criterion("block-influence", after_norm=True).scores(given)
    assert switched[4] == pytest.approx(official, rel=1e-5)
    assert switched[:4] == pytest.approx(scores[:4], abs=1e-12)
    # Every run that ends with the last block is another; all others are the same.
    for count in (1, 3):
        every = (
            angles[5 - count],
            *(
                get_criterion("angular-distance")._distances(given)[i, i + count]
                for i in range(5 - count)
            ),
        )
        chosen = get_criterion("angular-distance", after_norm=True).removal(
            blank(count, size=5), given
        )
        assert chosen[0] == (int(np.argmin(every)) - 1) % (6 - count)


def test_recomputed_influence_after_the_norm_is_of_the_last_block_left() -> None:
    with pytest.raises(InputError, match="after_norm needs the final hidden states"):
        get_criterion("block-influence", after_norm=True).scores(evidence())
    found = statistics()
    final = np.random.default_rng(0).uniform(0, 1, (3, SIZE + 1))
    given = Evidence(
        SIZE,
        statistics=lambda removed: dataclasses.replace(
            found, removed=removed, final_similarity={"all": final}
        ),
    )
    criterion = get_criterion("block-influence", after_norm=True, recomputed=True)
    assert criterion._without(given, (5, 6))[4] == 1 - final[:, 4].mean()
    assert criterion._without(given, ())[6] == 1 - final[:, 6].mean()
    assert criterion._without(given, ())[5] == 1 - found.similarity["all"][:, 5].mean()


def test_recomputed_influence_is_that_of_the_smaller_model() -> None:
    model = tiny()
    import torch

    from qubo_prune.hessians.gates.gates import find_gates
    from qubo_prune.pruning.criteria.model_evidence import model_evidence

    criterion = get_criterion("block-influence", recomputed=True)
    removed = criterion.removal(
        blank(3, size=5), model_evidence(model, find_gates(model), samples())
    )
    layers = list(model.model.layers)
    left = list(range(5))
    for _ in range(3):
        model.model.layers = torch.nn.ModuleList(layers[i] for i in left)
        model.config.num_hidden_layers = len(left)
        influence = np.zeros(len(left))
        for tokens in samples().tokens:
            h = states_of(model, tokens)
            for i in range(len(left)):
                influence[i] += float(1 - torch.cosine_similarity(h[i], h[i + 1], dim=-1).mean())
        del left[int(influence.argmin())]
    assert removed == tuple(sorted(set(range(5)) - set(left)))


def test_similarity_of_final_states_equals_a_loop_over_deleted_layers() -> None:
    model = tiny()
    import torch

    from qubo_prune.hessians.gates.gates import find_gates
    from qubo_prune.pruning.searches import SlidingWindow
    from qubo_prune.pruning.searches.final_states import FinalSimilarity

    similarity = FinalSimilarity(find_gates(model), samples(), batch_size=2)
    measured = {removed: similarity(removed) for removed in ((), (1,), (0, 3), (2, 3, 4))}
    chosen, _, _ = SlidingWindow(similarity).choose(blank(2, size=5))
    layers = list(model.model.layers)

    def final(tokens: Any) -> Any:
        with torch.no_grad():
            return model.model(torch.tensor(tokens)[None], use_cache=False)[0].double().flatten()

    originals = [final(tokens) for tokens in samples().tokens]
    for removed, value in measured.items():
        model.model.layers = torch.nn.ModuleList(
            layer for i, layer in enumerate(layers) if i not in removed
        )
        model.config.num_hidden_layers = len(model.model.layers)
        cosines = [
            float(torch.cosine_similarity(one, final(tokens), dim=0))
            for one, tokens in zip(originals, samples().tokens, strict=True)
        ]
        assert value == pytest.approx(np.mean(cosines), abs=1e-5)
    assert len(chosen) == 2


def test_a_model_is_measured_on_some_samples() -> None:
    model = tiny()

    from qubo_prune.hessians.gates.gates import find_gates
    from qubo_prune.pruning.measurement import ModelObjective
    from qubo_prune.pruning.searches import EvoPress, Sampled
    from qubo_prune.pruning.searches.sampled_model import SampledModel

    sampled = SampledModel(ModelObjective(model, find_gates(model), samples()))
    assert isinstance(sampled, Sampled)
    [whole] = sampled.measure([(1, 3)])
    [part] = sampled.subset([4, 0]).measure([(1, 3)])
    assert part.values == pytest.approx(whole.values[[4, 0]], abs=1e-5)
    search = EvoPress(generations=2, offspring=3, initial=2, stages=((0.2, 2), (0.4, 1)))
    result = search.run(sampled, blank(2, size=5))
    assert result.best is not None
    assert len(result.best.values) == 5
    assert {len(each.values) for each in result.measurements} == {1, 2, 5}


def test_a_stop_ends_the_evidence_of_a_model() -> None:
    model = tiny()

    from qubo_prune.core.stopping import Stop
    from qubo_prune.hessians.gates.gates import find_gates
    from qubo_prune.pruning.criteria.model_evidence import model_evidence

    stop = Stop()
    given = model_evidence(model, find_gates(model), samples(), stop=stop)
    before = given.statistics()
    stop.cancel()
    assert given.statistics() is before
    for ask in (given.gradients, lambda: given.singles("loss"), lambda: given.singles("kl")):
        with pytest.raises(StoppedError):
            ask()
