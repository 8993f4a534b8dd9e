# SPDX-License-Identifier: GPL-3.0-or-later
"""Puts the Ansible collection into the wheel, so that `pip install` brings it beside the operator.

Called by hatchling (see pyproject.toml). A wheel gets `ansible_collections/dbprovision/dbops`, where
ansible-core finds collections on Python's path; an editable installation gets nothing, because there the
checkout itself is the collection (dev/setup_venv.py links it) and a copy would go stale.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

COLLECTION = "ansible_collections/dbprovision/dbops"
SHIPPED = (
    "LICENSE",
    "README.md",
    "changelogs/changelog.yaml",
    "galaxy.yml",
    "meta/runtime.yml",
    "playbooks",
    "plugins",
    "roles",
)


class CollectionHook(BuildHookInterface):  # type: ignore[type-arg]
    """Adds the collection's files to a wheel that is not editable."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Register SHIPPED for inclusion; a missing entry is an error of the checkout and stops the build."""
        if version == "editable":
            return
        root = Path(self.root)
        for name in SHIPPED:
            if not (root / name).exists():
                raise FileNotFoundError(f"{name} belongs into the wheel and is missing")
            build_data["force_include"][str(root / name)] = f"{COLLECTION}/{name}"
