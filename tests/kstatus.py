# SPDX-License-Identifier: GPL-3.0-or-later
"""What kstatus, the library behind Flux and kpt, says of an object: asked through the program in dev/kstatus."""

from __future__ import annotations

import json
import subprocess
from typing import Any

from localstack import binaries


def kstatus(body: dict[str, Any]) -> str:
    """The status of an object as the API server gives it: Current, InProgress, Failed, Terminating or NotFound."""
    done = subprocess.run(
        [str(binaries.kstatus(print))], input=json.dumps(body), capture_output=True, text=True, check=True
    )
    return done.stdout.partition("\t")[0]
