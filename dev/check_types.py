# SPDX-License-Identifier: GPL-3.0-or-later
"""`make types`: mypy, strictly, over the engine, the operator, the local stack and the tools of development.

The collection is checked under its import name, through the link that the set-up made in `.collections`.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PLUGINS = ROOT / ".collections" / "ansible_collections" / "dbprovision" / "dbops" / "plugins"


def main() -> int:
    """Run mypy; give its status."""
    folders = [PLUGINS / "module_utils", PLUGINS / "action", PLUGINS / "modules"]
    paths = [*(path for path in folders if path.exists()), ROOT / "operator" / "dbops_operator", ROOT / "dev"]
    command = [sys.executable, "-m", "mypy", "--config-file", ROOT / "pyproject.toml", *paths]
    return subprocess.run([str(part) for part in command], check=False, cwd=ROOT).returncode


if __name__ == "__main__":
    sys.exit(main())
