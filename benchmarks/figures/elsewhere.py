"""Figures of the pages that come from no stored result of ours, and why each is right."""

from __future__ import annotations

from benchmarks.figures.pages import Other

_PAPER = "The paper says so (arXiv:2602.00161)."
_AIM = "An aim, set before anything was measured."
_SECTION = "A section, not a figure."
_VERSION = "A version."
_RULE = "A rule of the program, which its tests hold."
_DEFINITION = "Part of a definition."
_SHOWN = "What a terminal shows for a moment, as an example of the form."
_ARITHMETIC = "Follows from the numbers beside it."

BENCHMARKS = "docs/benchmarks.md"
COMMANDS = "docs/reference/command-line.md"
AGGREGATES = "docs/reference/aggregates.md"
GPU = "docs/how-to/enumerate-on-a-gpu.md"
BUDGET = "docs/how-to/remove-by-budget.md"
HEAL = "docs/how-to/heal-a-model.md"
HESSIANS = "docs/explanation/reference-hessians.md"

OTHERS = (
    *(
        Other(page, text, "A wish, as an example.")
        for page, text in (
            ("README.md", "qubo-prune solve hessian.npy --budget 20% --out spectrum.json"),
            ("docs/tutorial.md", "at least 20 % of the parameters, by any number of blocks."),
            (BUDGET, "Make my model 20 % smaller with the least harm"),
            (BUDGET, "--budget 20% --out selection.json"),
            (BUDGET, "--budget 20% --weights milliseconds.json"),
        )
    ),
    Other(BUDGET, "so that 0.1 and 0.2 reach 0.3,", _ARITHMETIC),
    Other("README.md", "With Python 3.11 or later,", _VERSION),
    Other("docs/install.md", "with Python 3.11 or later,", _VERSION),
    Other(
        BENCHMARKS,
        "The paper reports 3.5 hours for C(40,12) and about 2 days for C(80,8) on an H200.",
        _PAPER,
    ),
    Other(BENCHMARKS, "The aims were 0.3 s, 1 s and 10 s for the three columns.", _AIM),
    Other(BENCHMARKS, "10 % + 0.5 s above the limit:", _RULE),
    Other(
        BENCHMARKS,
        "(section 4.1: matrix products on an H200, minutes below 10⁹ states, 3.5 hours for"
        " C(40,12), about 2 days for C(80,8))",
        _PAPER,
    ),
    Other(BENCHMARKS, "dwave-samplers 1.8.", _VERSION),
    Other(
        BENCHMARKS,
        "The aims were less than 0.78 for six layers within 40 measurements and less than 1.28 for"
        " nine within 60.",
        _AIM,
    ),
    Other(BENCHMARKS, "chance 0.25)", "One of four endings."),
    Other(COMMANDS, "A search for a proof says what it knows, ... limit in ... s", _SHOWN),
    Other(
        COMMANDS, "time nodes/s best up to bound gap proven left ... s ... s ... s ... s", _SHOWN
    ),
    Other("docs/explanation/encodings.md", "in section 4.1 of the paper.", _SECTION),
    Other(
        "docs/explanation/qaoa.md",
        "2.7 million for 12 of 24 instead of 16.8 million,",
        "Binomial coefficients, and powers of two.",
    ),
    Other("docs/explanation/qaoa.md", "memory stays at 64 bytes per state,", _RULE),
    Other(HESSIANS, "in its order (section 4.5),", _SECTION),
    Other(HESSIANS, "on 1,024 windows of 128 bytes from files", "A setting of the training."),
    Other(HESSIANS, "on random windows of 128 bytes,", "A setting of the training."),
    Other(HESSIANS, "2,048 windows of 128 bytes from the calibration", "A setting."),
    Other(GPU, "a launch takes about 50 ms.", _RULE),
    Other(GPU, "(sm_90, CUDA 13.0)", _VERSION),
    Other(
        GPU,
        "With 132 multiprocessors at 1.98 GHz, the former is 1.5e13 states/s.",
        "A ceiling, counted from the machine code; the page says that nothing was measured.",
    ),
    Other(
        GPU,
        "C(80,8) would reach 5e12 states/s, C(40,12) 4e12 and C(80,12) 5e12.",
        "A ceiling, counted from the machine code; the page says that nothing was measured.",
    ),
    *(
        Other(
            "docs/how-to/enumerate-on-many-machines.md",
            text,
            "A plan at assumed speeds, which the block below it prints again in the tests.",
        )
        for text in (
            "| 2,351 | 1.0 s |",
            "| 38,508 | 9.4 s |",
            "| 1,106,885 | 421.3 s |",
            "| 17,203,547 | 4,212.2 s |",
        )
    ),
    Other("docs/how-to/evaluate-a-model.md", "0.4 on the model in memory,", _VERSION),
    Other("docs/how-to/evaluate-a-model.md", "with a 95 % interval", _DEFINITION),
    Other("docs/how-to/evaluate-a-model.md", "at the level 5 %:", _DEFINITION),
    Other(
        "docs/how-to/extract-a-hessian.md",
        "1 to 5 % is usual,",
        "A rule of thumb for what the command says of the model at hand.",
    ),
    Other(HEAL, "| 1e-4, 1.0 |", _PAPER),
    Other(HEAL, "| quantised to 4 bits (NF4) |", _PAPER),
    Other(HEAL, "16 bytes for each weight of the smaller model,", "Four float32 for each weight."),
    Other(
        "docs/how-to/reproduce-the-paper.md", "C(80,8) = 2.9e10 states", "A binomial coefficient."
    ),
    Other(
        "docs/how-to/reproduce-the-paper.md",
        "the thresholds of the paper are 0.36 and 0.12 for the 8B model (M = 8 and 16), 0.77 and"
        " 0.64 for the 14B model",
        _PAPER,
    ),
    Other("docs/how-to/run-a-benchmark.md", "(at least 5 s) is killed,", _RULE),
    Other("docs/how-to/run-qaoa.md", "64 bytes in all.", _RULE),
    Other(
        "docs/how-to/verify-a-proof.md",
        "C(80, 8) = 2.9·10¹⁰ states,",
        "A binomial coefficient.",
    ),
    Other(
        "docs/how-to/write-a-backend.md",
        "descent (descent-backend 1.0):",
        "What tests/test_example_backend.py installs and runs.",
    ),
    Other(
        "docs/how-to/write-a-backend.md",
        "of 7.69e7 that remove 8 of 40 blocks; lowest energy 0.000780061818",
        "What tests/test_example_backend.py installs and runs.",
    ),
    Other(AGGREGATES, "with shift `s` = 1 s,", _DEFINITION),
    Other(AGGREGATES, "has the ground state with 99 %.", _DEFINITION),
    Other(AGGREGATES, "of the Wilson interval of `p` (95 %),", _DEFINITION),
    Other(AGGREGATES, "percentiles 2.5 and 97.5:", _DEFINITION),
    Other(AGGREGATES, "Times below 1 ms are alike.", _DEFINITION),
    Other(AGGREGATES, "tied (within 5 %, or both not there)", _DEFINITION),
    Other(AGGREGATES, "Three of three is no proof of being faster: p = 0.25.", _ARITHMETIC),
    Other(AGGREGATES, "one file of less than 1 MB", _RULE),
    Other("docs/how-to/report.md", "one file of less than 1 MB", _RULE),
)
