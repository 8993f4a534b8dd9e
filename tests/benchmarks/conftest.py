# SPDX-License-Identifier: GPL-3.0-or-later
"""What was measured, for all benchmarks together; the page is written when all of it was."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from benchmarks.measures import Figures

FIGURES = 17


@pytest.fixture(scope="session")
def figures() -> Iterator[Figures]:
    """Takes the figures; the page is left alone when some were not measured."""
    figures = Figures()
    yield figures
    if len(figures.rows) == FIGURES:
        figures.write()
