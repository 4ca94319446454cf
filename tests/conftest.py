"""Settings for all tests."""

from __future__ import annotations

import hypothesis

# Kernels may be compiled inside an example, so time is no measure; the same examples are tried
# every time.
hypothesis.settings.register_profile("project", deadline=None, derandomize=True, max_examples=150)
hypothesis.settings.load_profile("project")
