"""Settings for all tests."""

from __future__ import annotations

import hypothesis

# Kernels may be compiled inside an example, so time is no measure. The same examples are tried
# every time; `--hypothesis-profile=thorough` tries many others, before a release.
hypothesis.settings.register_profile("project", deadline=None, derandomize=True, max_examples=60)
hypothesis.settings.register_profile("thorough", deadline=None, max_examples=1000)
hypothesis.settings.load_profile("project")
