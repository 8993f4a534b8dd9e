# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the API server is and who we are there: KUBECONFIG from a shell, the ServiceAccount in a cluster.

Called once by the operator's start; client.py uses the configuration, watch.py gives it to Kopf.
"""

from __future__ import annotations

import os
from pathlib import Path

import kopf
from kubernetes.aio import config
from kubernetes.aio.client import Configuration

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
TOKEN_LIFETIME = 60.0
"""Seconds after which Kopf asks again: the kubelet renews a ServiceAccount's token in its file."""


def in_cluster() -> bool:
    """Whether this process runs in a pod with a ServiceAccount."""
    return not os.environ.get("KUBECONFIG") and (SERVICE_ACCOUNT / "token").exists()


async def load() -> Configuration:
    """Read the configuration. Raises kubernetes.aio.config.ConfigException where there is none."""
    configuration = Configuration()
    if in_cluster():
        config.load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
    else:
        await config.load_kube_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
    return configuration


async def for_kopf(configuration: Configuration) -> kopf.ConnectionInfo:
    """The same as Kopf wants it."""
    token = await configuration.get_api_key_with_prefix("BearerToken")
    return kopf.ConnectionInfo(
        server=configuration.host,
        ca_path=configuration.ssl_ca_cert,
        insecure=not configuration.verify_ssl,
        certificate_path=configuration.cert_file,
        private_key_path=configuration.key_file,
        token=token.removeprefix("Bearer ") if token else None,
    )
