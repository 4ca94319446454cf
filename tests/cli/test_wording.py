"""Errors are in the words of the command line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from qubo_prune import InputError, Problem
from qubo_prune.cli.wording import reworded

BRANCH = "bytelm-40-branch"
SOLVE = ["solve", BRANCH, "--remove", "2"]
PLAN = ["plan", BRANCH, "--remove", "2"]
SAID = {
    "states": ([*SOLVE, "--states", "0"], "--states must be at least 1, not 0; ask for one"),
    "time": ([*SOLVE, "--time-limit", "0"], "--time-limit must be more than 0 seconds"),
    "evaluations": ([*SOLVE, "--max-evaluations", "-1"], "--max-evaluations must be at least 1"),
    "seed": ([*SOLVE, "--seed", "-1"], "--seed must be at least 0, not -1"),
    "threads": ([*SOLVE, "--threads", "0"], "--threads must be at least 1"),
    "threads as an option": ([*SOLVE, "--option", "threads=0"], "--option threads must be"),
    "an option": ([*SOLVE, "--option=max-steps=0"], "--option max_steps must be at least 1"),
    "too many": (["solve", BRANCH, "--remove", "81"], f"{BRANCH}: --remove must be between 0"),
    "too many of a kind": (
        ["solve", BRANCH, "--remove", "mlp=41"],
        "--remove mlp must be between 0 (blocks forced) and 40 (blocks that may be removed), not"
        " 41; change it, or --keep, --force and --only.",
    ),
    "keep": ([*SOLVE, "--keep", "x"], f"{BRANCH}: --keep names an unknown block 'x'"),
    "force": ([*SOLVE, "--force", "99"], f"{BRANCH}: --force holds block 99"),
    "both": ([*SOLVE, "--keep", "3", "--force", "3"], "block 3 is in --keep and in --force"),
    "only": ([*SOLVE, "--only", "z"], "--only names an unknown kind 'z'"),
    "beta": ([*SOLVE, "--beta", "1"], "--beta 1.0 weights the first-order term"),
    "skewed": (["solve", "skewed.npy", "--remove", "2"], "skewed.npy: hessian is not symmetric"),
    "symmetrize": (["export", "skewed.npy", "--remove", "2", "--out", "a.lp"], "pass --symmetrize"),
    "no count": (
        ["solve", "plain.npy"],
        "plain.npy does not say how many blocks to remove; give it by --remove M.",
    ),
    "no count to plan": (["plan", "plain.npy"], "; give it by --remove M."),
    "no count to export": (
        ["export", "plain.npy", "--out", "a.lp"],
        "; give it by --remove M.",
    ),
    "devices": ([*PLAN, "--devices", "0"], "--devices must be at least 1"),
    "rate": ([*PLAN, "--rate", "0"], "--rate must be more than 0 states per second"),
    "tasks": ([*PLAN, "--rate", "1", "--task-states", "0"], "--task-states must be at least 1"),
    "letters in a count": (
        [*SOLVE, "--states", "1e3"],
        "--states takes a whole number, not '1e3'; write e.g. --states 100.",
    ),
    "letters in a time": (
        [*SOLVE, "--time-limit", "1m"],
        "--time-limit takes a number, not '1m'; write e.g. --time-limit 60.",
    ),
    "a comma": ([*SOLVE, "--beta", "0,5"], "--beta takes a number, not '0,5'"),
    "a fraction": ([*SOLVE, "--seed", "1.5"], "--seed takes a whole number, not '1.5'"),
    "letters in a limit": (["verify", "c.json", "--max-states", "many"], "--max-states takes a"),
}


@pytest.mark.parametrize("case", SAID)
def test_errors_name_what_the_user_wrote(
    case: str, run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    np.save("skewed.npy", np.arange(16.0).reshape(4, 4))
    np.save("plain.npy", np.eye(4))
    arguments, words = SAID[case]
    code, out, err = run(*arguments)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert words in err
    assert err.endswith(".\n")


@pytest.mark.parametrize(
    ("message", "words"),
    [
        ("num_samples must be at least 1, not 0.", "--samples must be at least 1, not 0."),
        ("mask_prompt needs chats, but x is text.", "--mask-prompt needs chats, but x is text."),
        ("a.jsonl has no 'text'; name one with text_field.", "; name one with --text-field."),
        ("batch_size must be at least 1, not 0.", "--batch-size must be at least 1"),
        ("row 3 of /data/text_field.jsonl is text", "/data/text_field.jsonl is text"),
        ("'sequence_length' of a.json differs", "'sequence_length' of a.json"),
    ],
)
def test_every_argument_of_an_extraction_is_an_option(message: str, words: str) -> None:
    options = ["samples", "mask-prompt", "text-field", "batch-size", "sequence-length", "data"]
    assert words in reworded(message, options, [])


def test_errors_in_python_name_arguments_and_the_file(tmp_path: Path) -> None:
    path = tmp_path / "skewed.npy"
    np.save(path, np.arange(16.0).reshape(4, 4))
    for arguments, words in (
        ({"remove": 2}, r"skewed\.npy: hessian is not symmetric.*pass symmetrize=True"),
        ({"remove": 5, "symmetrize": True}, r"skewed\.npy: remove must be between"),
        ({"remove": 2, "symmetrize": True, "keep": ["x"]}, r"skewed\.npy: keep names an unknown"),
        ({}, "give that number as remove"),
    ):
        with pytest.raises(InputError, match=words):
            Problem.load(path, **arguments)  # type: ignore[arg-type]
