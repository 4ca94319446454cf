"""Settings for all tests."""

from __future__ import annotations

import os

import hypothesis

# Before anything loads torch: two test processes whose tiny models each start a thread per core
# wait for one another most of the time, and models' tests last six times as long.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Nothing is downloaded: a name that is no folder is not looked for again and again.
os.environ.setdefault("HF_HUB_OFFLINE", "1")

# Kernels may be compiled inside an example, so time is no measure. The same examples are tried
# every time; `--hypothesis-profile=thorough` tries many others, before a release.
hypothesis.settings.register_profile("project", deadline=None, derandomize=True, max_examples=60)
hypothesis.settings.register_profile("thorough", deadline=None, max_examples=1000)
hypothesis.settings.load_profile("project")
