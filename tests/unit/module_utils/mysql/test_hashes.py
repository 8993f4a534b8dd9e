# SPDX-License-Identifier: GPL-3.0-or-later
"""Hashes of passwords in the servers' own forms; the examples were made by servers."""

from __future__ import annotations

import sys
import types

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import DbopsError
from ansible_collections.dbprovision.dbops.plugins.module_utils.mysql import hashes
from ansible_collections.dbprovision.dbops.plugins.module_utils.mysql.dialects import (
    CACHING_SHA2,
    ED25519,
    NATIVE,
    SHA256,
)

# Made by MySQL 9.7.4 and MariaDB 11.8.9.
BY_SERVERS = [
    (CACHING_SHA2, "pw1", "$A$00A$ \x06\t0;\x08!d[b4t6*<**jv\x06EUCa0cTkvg1y7Y7HZShC2BG6ERs1Su0Ynjz/VFvbOq3"),
    (NATIVE, "pw1", "*2B602296A79E0A8784ACC5C88D92E46588CCA3C3"),
]


@pytest.mark.feature("U10")
@pytest.mark.parametrize(("plugin", "password", "stored"), BY_SERVERS)
def test_what_servers_made(plugin: str, password: str, stored: str) -> None:
    assert hashes.is_known(stored, plugin)
    assert hashes.matches(password, stored, plugin)
    assert not hashes.matches(password + "x", stored, plugin)
    assert hashes.given_hash(stored, plugin) == stored
    assert hashes.given_hash("0x" + stored.encode().hex(), plugin) == stored
    assert hashes.matches(stored, stored, plugin)
    other = NATIVE if plugin == CACHING_SHA2 else CACHING_SHA2
    assert hashes.given_hash(stored, other) is None
    assert not hashes.matches(password, stored, other)


@settings(max_examples=25, deadline=None)
@given(st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=60))
def test_what_we_made(password: str) -> None:
    for plugin in (CACHING_SHA2, SHA256, NATIVE):
        stored = hashes.make(password, plugin)
        assert stored.isascii()
        assert stored.isprintable()
        assert hashes.is_known(stored, plugin)
        assert hashes.matches(password, stored, plugin)
        assert not hashes.matches(password + "x", stored, plugin)
    assert len(hashes.make(password, CACHING_SHA2)) == 70


def test_the_rounds_are_the_servers() -> None:
    assert hashes.make("x", CACHING_SHA2, rounds=10000).startswith("$A$00A$")
    assert hashes.make("x", CACHING_SHA2, rounds=10**9).startswith("$A$FFF$")


def test_salts_differ() -> None:
    assert hashes.make("x", CACHING_SHA2) != hashes.make("x", CACHING_SHA2)


@pytest.mark.parametrize("stored", ["", "nonsense", "$A$005$short", "*2B60", "$5$x$y", "$A$00G$" + "x" * 63])
def test_what_is_no_hash(stored: str) -> None:
    for plugin in (CACHING_SHA2, SHA256, NATIVE, ED25519, "auth_socket"):
        assert hashes.given_hash(stored, plugin) is None
        assert not hashes.matches("x", stored, plugin)
        assert hashes.is_known(stored, plugin) is (stored == "")


def test_a_password_that_is_too_long() -> None:
    with pytest.raises(DbopsError) as caught:
        hashes.make("ü" * 129, CACHING_SHA2)
    assert (caught.value.reason, caught.value.field) == ("InvalidSpec", "password")


def test_ed25519_needs_its_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "nacl.bindings", None)
    with pytest.raises(DbopsError) as caught:
        hashes.make("secret", ED25519)
    assert (caught.value.reason, caught.value.field) == ("Unsupported", "plugin")


def test_ed25519(monkeypatch: pytest.MonkeyPatch) -> None:
    """With arithmetic of our own in the library's place; the example is that of MariaDB's documentation."""
    bindings = types.SimpleNamespace(crypto_scalarmult_ed25519_base_noclamp=_times_base)
    monkeypatch.setitem(sys.modules, "nacl", types.ModuleType("nacl"))
    monkeypatch.setitem(sys.modules, "nacl.bindings", bindings)  # type: ignore[arg-type]
    stored = hashes.make("secret", ED25519)
    assert stored == "ZIgUREUg5PVgQ6LskhXmO+eZLS0nC8be6HPjYWR4YJY"
    assert hashes.matches("secret", stored, ED25519)
    assert not hashes.matches("another", stored, ED25519)


_P = 2**255 - 19
_D = -121665 * pow(121666, -1, _P) % _P


def _times_base(scalar: bytes) -> bytes:
    """Multiply the base point of edwards25519, RFC 8032, section 5.1."""
    y = 4 * pow(5, -1, _P) % _P
    square = (y * y - 1) * pow(_D * y * y + 1, -1, _P) % _P
    x = pow(square, (_P + 3) // 8, _P)
    if (x * x - square) % _P:
        x = x * pow(2, (_P - 1) // 4, _P) % _P
    point, base = (0, 1), (_P - x if x & 1 else x, y)
    for bit in reversed(range(256)):
        point = _plus(point, point)
        if int.from_bytes(scalar, "little") >> bit & 1:
            point = _plus(point, base)
    return (point[1] | (point[0] & 1) << 255).to_bytes(32, "little")


def _plus(one: tuple[int, int], other: tuple[int, int]) -> tuple[int, int]:
    (a, b), (c, d) = one, other
    product = _D * a * b * c * d % _P
    return (
        (a * d + b * c) * pow(1 + product, -1, _P) % _P,
        (b * d + a * c) * pow(1 - product, -1, _P) % _P,
    )
