"""Ray reads its settings when it is imported, so our module that makes them comes before any test's import."""

from __future__ import annotations

import orchestration.sweep  # noqa: F401
