# SPDX-License-Identifier: GPL-3.0-or-later
"""Passwords as MySQL and MariaDB store them, so that no text is ever in a statement; pure.

Called by the planners of users and by mysql/login.py. Forms by plugin:
- `caching_sha2_password`: `$A$`, thousands of rounds as three hexadecimal digits, `$`, salt (20), digest (43)
- `sha256_password`: `$5$`, salt (20), `$`, digest (43); or with `rounds=N$` before the salt
- `mysql_native_password`: `*` and 40 hexadecimal digits
- `ed25519`: the public key in base64, 43 characters
The digest of the first two is that of https://www.akkadia.org/drepper/SHA-crypt.txt, with a longer salt.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import importlib
import re
import secrets
import string

from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import DbopsError, Reason
from ansible_collections.dbprovision.dbops.plugins.module_utils.mysql.dialects import (
    CACHING_SHA2,
    ED25519,
    NATIVE,
    SHA256,
)

DEFAULT_ROUNDS = 5000
_SALT_CHARACTERS = 20
_MOST_BYTES = 256
"""The server's plugins take no longer password."""

_FORMS = {
    # The server makes salts of any characters of ASCII but NUL and `$`.
    CACHING_SHA2: re.compile(r"\$A\$([0-9A-Fa-f]{3})\$([^\0$]{20})([./0-9A-Za-z]{43})", re.ASCII | re.DOTALL),
    SHA256: re.compile(r"\$5\$(?:rounds=([0-9]{4,6})\$)?([^\0$]{20})\$([./0-9A-Za-z]{43})", re.ASCII | re.DOTALL),
    NATIVE: re.compile(r"\*[0-9A-Fa-f]{40}"),
    ED25519: re.compile(r"[A-Za-z0-9+/]{43}"),
}
PLUGINS = frozenset(_FORMS)
_HEXADECIMAL = re.compile(r"0x(?:[0-9A-Fa-f]{2})+")
_ALPHABET = "./" + string.digits + string.ascii_uppercase + string.ascii_lowercase
_ORDER = (
    *((0, 10, 20), (21, 1, 11), (12, 22, 2), (3, 13, 23), (24, 4, 14), (15, 25, 5), (6, 16, 26), (27, 7, 17)),
    *((18, 28, 8), (9, 19, 29)),
)


def given_hash(password: str, plugin: str) -> str | None:
    """Give a declared PASSWORD that is a hash of PLUGIN already, which the server would store as it is.

    What SHOW CREATE USER prints in hexadecimal digits is taken as well. Passwords that look like a public key of
    ed25519 are passwords.
    """
    text = password
    if _HEXADECIMAL.fullmatch(password):
        text = bytes.fromhex(password[2:]).decode("ascii", "replace")
    return text if plugin != ED25519 and plugin in _FORMS and _FORMS[plugin].fullmatch(text) else None


def is_known(stored: str, plugin: str) -> bool:
    """Whether `matches` can tell something about what is STORED."""
    return not stored or (plugin in _FORMS and bool(_FORMS[plugin].fullmatch(stored)))


def make(password: str, plugin: str, *, rounds: int = DEFAULT_ROUNDS) -> str:
    """Make what the server stores for PASSWORD, with a new salt. Raises DbopsError."""
    if len(password.encode()) > _MOST_BYTES:
        raise DbopsError(Reason.INVALID_SPEC, f"the password is longer than {_MOST_BYTES} bytes", field="password")
    if plugin == NATIVE:
        return _native(password)
    if plugin == ED25519:
        return _ed25519(password)
    salt = "".join(secrets.choice(string.ascii_letters + string.digits) for _ignored in range(_SALT_CHARACTERS))
    if plugin == SHA256:
        return f"$5${salt}${_sha256_crypt(password, salt, DEFAULT_ROUNDS)}"
    if plugin == CACHING_SHA2:
        thousands = max(1, min(rounds // 1000, 0xFFF))
        return f"$A${thousands:03X}${salt}{_sha256_crypt(password, salt, 1000 * thousands)}"
    raise AssertionError("the caller has looked")


def matches(password: str, stored: str, plugin: str) -> bool:
    """Whether what is STORED is the hash of PASSWORD; False for what is no hash of PLUGIN."""
    if not stored:
        return False
    hashed = given_hash(password, plugin)
    if hashed:
        return hmac.compare_digest(hashed.encode(), stored.encode())
    found = _FORMS[plugin].fullmatch(stored) if plugin in _FORMS else None
    if not found:
        return False
    if plugin == NATIVE:
        return hmac.compare_digest(_native(password), stored.upper())
    if plugin == ED25519:
        return hmac.compare_digest(_ed25519(password), stored)
    rounds = 1000 * int(found[1], 16) if plugin == CACHING_SHA2 else int(found[1] or DEFAULT_ROUNDS)
    return hmac.compare_digest(_sha256_crypt(password, found[2], rounds), found[3])


def _native(password: str) -> str:
    once = hashlib.sha1(password.encode(), usedforsecurity=False).digest()
    return "*" + hashlib.sha1(once, usedforsecurity=False).hexdigest().upper()


def _ed25519(password: str) -> str:
    """https://mariadb.com/kb/en/authentication-plugin-ed25519/: the public key whose secret is the password's hash."""
    try:
        bindings = importlib.import_module("nacl.bindings")
    except ImportError:
        text = "for the plugin ed25519 the Python package PyNaCl is needed"
        raise DbopsError(Reason.UNSUPPORTED, text, field="plugin") from None
    secret = bytearray(hashlib.sha512(password.encode()).digest()[:32])
    secret[0] &= 248
    secret[31] = secret[31] & 127 | 64
    return base64.b64encode(bindings.crypto_scalarmult_ed25519_base_noclamp(bytes(secret))).decode().rstrip("=")


def _sha256_crypt(password: str, salt_text: str, rounds: int) -> str:
    key, salt = password.encode(), salt_text.encode()
    sha256, length = hashlib.sha256, len(key)
    second = sha256(key + salt + key).digest()
    first = sha256(key + salt + _stretched(second, length))
    bits = length
    while bits:
        first.update(second if bits & 1 else key)
        bits >>= 1
    digest = first.digest()
    keys = _stretched(sha256(key * length).digest(), length)
    salts = _stretched(sha256(salt * (16 + digest[0])).digest(), len(salt))
    for number in range(rounds):
        digest = sha256(
            (keys if number & 1 else digest)
            + (salts if number % 3 else b"")
            + (keys if number % 7 else b"")
            + (digest if number & 1 else keys)
        ).digest()
    groups = [_in_alphabet(digest[a] << 16 | digest[b] << 8 | digest[c], 4) for a, b, c in _ORDER]
    return "".join([*groups, _in_alphabet(digest[31] << 8 | digest[30], 3)])


def _stretched(block: bytes, length: int) -> bytes:
    return (block * (length // len(block) + 1))[:length]


def _in_alphabet(value: int, characters: int) -> str:
    return "".join(_ALPHABET[value >> 6 * place & 63] for place in range(characters))
