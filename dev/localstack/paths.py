# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the local stack keeps what it builds and which versions it builds. Standard library only.

Used by the set-up (dev/setup_venv.py) and by every other file of this package. The versions have one source:
the `require` lines of the go.mod in dev/controlplane, dev/helm, dev/kstatus and dev/s3server.
"""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
CONTROL_PLANE_MODULE = ROOT / "dev" / "controlplane"
HELM_MODULE = ROOT / "dev" / "helm"
KSTATUS_MODULE = ROOT / "dev" / "kstatus"
AZURITE_PACKAGE = ROOT / "dev" / "azurite"
S3_SERVER_MODULE = ROOT / "dev" / "s3server"


def cache_directory() -> Path:
    """The folder in the user's cache that everything here may be rebuilt into; it may not exist yet."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "dbops"


def module_version(module: str, folder: Path = CONTROL_PLANE_MODULE) -> str:
    """Version of MODULE that the programs of FOLDER are built from, such as `v1.37.2`.

    Raises LookupError when go.mod does not require it.
    """
    text = (folder / "go.mod").read_text(encoding="utf-8")
    found = re.search(rf"^(?:require)?\s+{re.escape(module)} (v\S+)$", text, re.MULTILINE)
    if not found:
        raise LookupError(f"go.mod does not require {module}")
    return found.group(1)


def kubernetes_version() -> str:
    """Version of the API server, the controller manager and kubectl."""
    return module_version("k8s.io/kubernetes")


def kubernetes_binary(name: str) -> Path:
    """Path of a Kubernetes command in the cache, built or not."""
    return cache_directory() / f"kubernetes-{kubernetes_version()}" / name


def etcd_binary() -> Path:
    """Path of etcd in the cache, built or not."""
    return cache_directory() / f"etcd-{module_version('go.etcd.io/etcd/server/v3')}" / "etcd"


def helm_binary() -> Path:
    """Path of helm in the cache, built or not."""
    return cache_directory() / f"helm-{module_version('helm.sh/helm/v3', HELM_MODULE)}" / "helm"


def kstatus_binary() -> Path:
    """Path of our program around kstatus in the cache, built or not; another one for each text of it."""
    text = hashlib.sha256((KSTATUS_MODULE / "main.go").read_bytes()).hexdigest()[:12]
    return cache_directory() / f"kstatus-{module_version('sigs.k8s.io/cli-utils', KSTATUS_MODULE)}-{text}" / "kstatus"


def s3_binary() -> Path:
    """Path of the S3 server in the cache, built or not."""
    version = module_version("github.com/versity/versitygw", S3_SERVER_MODULE)
    return cache_directory() / f"versitygw-{version}" / "versitygw"


def azurite_directory() -> Path:
    """Where dev/azurite is installed in the cache, or not; another folder for each lock file."""
    lock = hashlib.sha256((AZURITE_PACKAGE / "package-lock.json").read_bytes()).hexdigest()[:12]
    return cache_directory() / f"azurite-{lock}"
