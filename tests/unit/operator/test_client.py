# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the client's requests go: the environment is asked once, not for each request."""

from __future__ import annotations

import pytest
from kubernetes.aio.client import Configuration

from dbops_operator.client import Client


@pytest.mark.parametrize(
    ("environment", "host", "proxy"),
    [
        ({}, "https://api.example.com:6443", None),
        ({"HTTPS_PROXY": "http://proxy:3128"}, "https://api.example.com:6443", "http://proxy:3128"),
        ({"HTTPS_PROXY": "http://proxy:3128", "NO_PROXY": ".example.com"}, "https://api.example.com:6443", None),
        ({"HTTPS_PROXY": "http://proxy:3128", "NO_PROXY": "10.0.0.1"}, "https://10.0.0.1", None),
        ({"HTTP_PROXY": "http://proxy:3128"}, "https://api.example.com:6443", None),
    ],
)
async def test_a_proxy_of_the_environment_is_used(
    environment: dict[str, str], host: str, proxy: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    client = Client(Configuration(host=host))
    assert client.configuration.proxy == proxy
    await client.close()


async def test_a_proxy_of_the_kubeconfig_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy:3128")
    client = Client(Configuration(host="https://api.example.com", proxy="http://other:3128"))
    assert client.configuration.proxy == "http://other:3128"
    await client.close()
