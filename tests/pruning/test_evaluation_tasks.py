"""Tasks of lm-eval with local files: its own numbers, and plain ones beside."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("lm_eval")

from benchmarks.evaluation import write_pages, write_tasks  # noqa: E402
from qubo_prune.core.errors import InputError  # noqa: E402
from qubo_prune.core.stopping import Stop  # noqa: E402
from qubo_prune.pruning.evaluation.harness import Tasks  # noqa: E402
from qubo_prune.pruning.evaluation.metrics import Kind  # noqa: E402
from qubo_prune.pruning.evaluation.perplexity import (  # noqa: E402
    Text,
    measure_rolling,
    rolling,
)
from qubo_prune.pruning.evaluation.suites import SUITES, as_tasks, suite_dtype  # noqa: E402
from qubo_prune.pruning.evaluation.texts import read_documents  # noqa: E402
from qubo_prune.pruning.evaluation.watch import StoppedError, Watch  # noqa: E402
from tests.tiny_tokenizer import make_tokenizer, tiny_llama  # noqa: E402

CHOICES = [
    {
        "context": f"item {k} has the sum",
        "label": k % 4,
        "endings": [f"of {k + j}." for j in range(4)],
    }
    for k in range(12)
]
SUMS = [
    {
        "messages": [
            {"role": "user", "content": f"1 and {k}?"},
            {"role": "assistant", "content": f"#### {k + 1}"},
        ]
    }
    for k in range(6)
]
WIKI = " = one = \n \n the first page . \n \n = two = \n \n the second page is longer . \n"

ROLLING = """\
task: {name}
dataset_path: json
dataset_kwargs: {{data_files: {{test: {data}}}}}
test_split: test
output_type: loglikelihood_rolling
doc_to_text: ""
doc_to_target: "{{{{page}}}}"
metric_list:
  - metric: word_perplexity
  - metric: byte_perplexity
"""


def write_lines(path: Path, rows: list[Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The study's own files of tasks, with tiny data."""
    data = tmp_path_factory.mktemp("data")
    folder = data / "tasks"
    names = write_tasks(
        folder,
        write_lines(data / "hellaswag.jsonl", CHOICES),
        write_lines(data / "sums.jsonl", SUMS),
        items=6,
    )
    assert names == ["hellaswag_local", "gsm8k_local"]
    (data / "wiki.txt").write_text(WIKI)
    pages = write_pages(folder, data / "wiki.txt")
    (folder / "wiki.yaml").write_text(ROLLING.format(name="wiki_local", data=pages))
    (folder / "group.yaml").write_text(
        "group: both\ntask: [hellaswag_local, gsm8k_local]\n"
        "aggregate_metric_list: [{metric: acc, weight_by_size: true}]\n"
    )
    return folder


@pytest.fixture(autouse=True)
def offline(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path_factory.mktemp("cache"))


def run(folder: Path, task: str, model: Any, **options: Any) -> list[Any]:
    tasks = Tasks([task], include_path=folder, limit=options.pop("limit", None))
    settings = {"shots": None, "batch_size": 3, **options}
    return tasks.run(task, model, make_tokenizer(), **settings)


def test_multiple_choice_is_that_of_plain_likelihoods(folder: Path) -> None:
    model, tokenizer = tiny_llama(max_position_embeddings=256), make_tokenizer()
    right, normed = [], []
    for item in CHOICES:
        scores = []
        context = tokenizer(item["context"])["input_ids"]
        for ending in item["endings"]:
            ids = tokenizer(f"{item['context']} {ending}")["input_ids"]
            with torch.no_grad():
                log = torch.log_softmax(model(input_ids=torch.tensor([ids])).logits[0].double(), -1)
            scores.append(sum(float(log[k - 1, ids[k]]) for k in range(len(context), len(ids))))
        lengths = [len(ending) for ending in item["endings"]]
        right.append(float(np.argmax(scores) == item["label"]))
        normed.append(float(np.argmax(np.divide(scores, lengths)) == item["label"]))
    found = {each.name: each for each in run(folder, "hellaswag_local", model)}
    assert list(found) == ["hellaswag_local acc", "hellaswag_local acc_norm"]
    for name, expected in (("acc", right), ("acc_norm", normed)):
        metric = found[f"hellaswag_local {name}"]
        assert metric.kind is Kind.PROPORTION
        assert metric.samples.tolist() == expected
        share = np.mean(expected)
        # The error that lm-eval prints.
        assert metric.standard_error == pytest.approx(math.sqrt(share * (1 - share) / 11))
        assert metric.higher_is_better is True
        assert metric.facts["items"] == 12
        assert metric.facts["shots"] == 0


def test_errors_are_those_of_lm_eval(folder: Path) -> None:
    from lm_eval import simple_evaluate
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    model, tokenizer = tiny_llama(max_position_embeddings=256), make_tokenizer()
    expected = simple_evaluate(
        HFLM(pretrained=model, tokenizer=tokenizer),
        tasks=["hellaswag_local"],
        task_manager=TaskManager(include_path=str(folder), include_defaults=False),
        bootstrap_iters=10,
    )["results"]["hellaswag_local"]
    for metric in run(folder, "hellaswag_local", model):
        name = metric.name.split()[1]
        assert metric.value == expected[f"{name},none"]
        assert metric.standard_error == pytest.approx(expected[f"{name}_stderr,none"])


def test_rolling_perplexity_is_that_of_lm_eval(folder: Path) -> None:
    model = tiny_llama(max_position_embeddings=16)  # so windows are of 16 tokens
    pages = read_documents(folder / "pages.jsonl")
    assert len(pages) == 2
    assert "".join(pages) == WIKI
    found = {each.name: each for each in run(folder, "wiki_local", model)}
    text = Text(pages, make_tokenizer())
    per_token, per_word = measure_rolling(model, rolling(text, 16), batch_size=2)
    theirs = found["wiki_local word_perplexity"]
    assert theirs.kind is Kind.PERPLEXITY
    assert per_word.value == pytest.approx(theirs.value, rel=1e-5)
    count = per_token.weights.sum()
    assert count == len(WIKI)
    assert per_token.value == pytest.approx(math.exp(theirs.samples.sum() / count), rel=1e-5)
    assert found["wiki_local byte_perplexity"].value == pytest.approx(per_token.value, rel=1e-5)


def test_generated_answers(folder: Path) -> None:
    model = tiny_llama(max_position_embeddings=512)
    [metric] = run(folder, "gsm8k_local", model, shots=2)
    assert metric.name == "gsm8k_local exact_match (strict-match)"
    assert (metric.value, len(metric.samples)) == (0.0, 6)
    assert metric.facts["shots"] == 2
    # A model that says the right thing is right.
    answers = {f"1 and {k}?": k + 1 for k in range(6)}

    def generate(**arguments: Any) -> Any:
        rows = []
        for ids in arguments["input_ids"]:
            prompt = make_tokenizer().decode(ids, skip_special_tokens=True)
            question = prompt.rpartition("uestion: ")[2].partition("\n")[0]
            said = make_tokenizer()(f" #### {answers[question]}")["input_ids"]
            rows.append(torch.cat([ids, torch.tensor(said)]))
        return torch.stack(rows)

    model.generate = generate
    [metric] = run(folder, "gsm8k_local", model, shots=2)
    assert metric.value == 1.0


def test_a_group_is_compared_by_all_its_items(folder: Path) -> None:
    found = run(folder, "both", tiny_llama(max_position_embeddings=512))
    assert [each.name for each in found] == ["both acc"]
    assert len(found[0].samples) in {0, 12}
    assert found[0].facts["items"] == 18


def test_only_the_first_items(folder: Path) -> None:
    model = tiny_llama(max_position_embeddings=256)
    few = run(folder, "hellaswag_local", model, limit=5)
    many = run(folder, "hellaswag_local", model)
    assert few[0].samples.tolist() == many[0].samples[:5].tolist()


def test_what_there_is_not(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"there is no folder .* with tasks"):
        Tasks(["hellaswag"], include_path=tmp_path / "none")
    (tmp_path / "bad.yaml").write_text(ROLLING.format(name="bad", data=tmp_path / "none.jsonl"))
    with pytest.raises(InputError, match="lm-eval cannot run the task 'bad'"):
        run(tmp_path, "bad", tiny_llama())


def test_results_depend_on_the_files_of_tasks(folder: Path, tmp_path: Path) -> None:
    one = Tasks(["hellaswag_local"], include_path=folder).settings("hellaswag_local", None)
    assert one == Tasks(["hellaswag_local"], include_path=folder).settings("hellaswag_local", None)
    (tmp_path / "hellaswag.yaml").write_text((folder / "hellaswag.yaml").read_text() + "\n")
    other = Tasks(["hellaswag_local"], include_path=tmp_path).settings("hellaswag_local", None)
    assert one["files_sha256"] != other["files_sha256"]


def test_a_task_is_stopped_and_nothing_is_printed(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    stop = Stop()
    done = []

    class Counting(Watch):
        def __call__(self, done_: int, total: int | None = None) -> None:
            done.append(done_)
            if len(done) == 3:
                stop.cancel()
            super().__call__(done_, total)

    with pytest.raises(StoppedError):
        run(
            folder,
            "hellaswag_local",
            tiny_llama(max_position_embeddings=256),
            watch=Counting(stop, "task"),
        )
    assert done == [0, 3, 6]
    assert capfd.readouterr() == ("", "")


def test_the_paper_s_tasks() -> None:
    """Section 4: zero-shot, but BBH with 3 and GSM8K with 5 examples, in bfloat16."""
    tasks = as_tasks(["paper"], shots=7)
    assert tasks == {
        "hellaswag": 0, "winogrande": 0, "arc_challenge": 0, "mmlu": 0, "leaderboard_bbh": 3, "gsm8k": 5,
    }  # fmt: skip
    assert suite_dtype(["piqa", "paper"]) == SUITES["paper"].dtype == "bfloat16"
    assert suite_dtype(["piqa"]) is None
    with pytest.raises(InputError, match="shots must be at least 0"):
        as_tasks(["piqa"], -1)


def test_the_paper_s_tasks_are_tasks_of_lm_eval_and_others_are_not() -> None:
    with pytest.raises(
        InputError, match=r"there is no task 'helloswag' in lm-eval 0\.\d+\.\d+; see"
    ):
        Tasks([*SUITES["paper"].shots, "helloswag"])
