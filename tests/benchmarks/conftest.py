# SPDX-License-Identifier: GPL-3.0-or-later
"""What was measured, for all benchmarks of a run together, which is written into the page in the end."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from benchmarks.measures import Figures


@pytest.fixture(scope="session")
def figures() -> Iterator[Figures]:
    """Takes the figures; what was not measured keeps its row of the page, with its date."""
    figures = Figures()
    yield figures
    if figures.rows:
        figures.write()
