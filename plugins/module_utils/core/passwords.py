# SPDX-License-Identifier: GPL-3.0-or-later
"""Passwords: making one up, and turning one into what a server stores, so that no text ever is in a statement.

Called by the planners of the engines and by the operator; pure. SCRAM-SHA-256 is that of RFC 5802 and 7677 in
PostgreSQL's way of writing it: `SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>`.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
import string
import stringprep
import unicodedata
from dataclasses import dataclass, field

SPECIAL = "!@#$%^&*"
ITERATIONS = 4096
_SALT_BYTES = 16
_KEY_BYTES = 32


def generate(*, length: int = 32, special: bool = True, exclude: str = "") -> str:
    """Make up a password of LENGTH characters: letters, digits and, if SPECIAL, `!@#$%^&*`, without those in EXCLUDE.

    Each class of which something is left is there at least once. An EXCLUDE that leaves nothing is not heeded.
    Raises ValueError when LENGTH is too short for that.
    """
    classes = [string.ascii_lowercase, string.ascii_uppercase, string.digits, *([SPECIAL] if special else [])]
    admitted = [kept for kept in ("".join(c for c in group if c not in exclude) for group in classes) if kept]
    if not admitted:
        admitted = [string.ascii_lowercase, string.ascii_uppercase, string.digits]
    if length < len(admitted):
        raise ValueError(f"a password with one character of each kind has at least {len(admitted)}")
    everything = "".join(admitted)
    characters = [secrets.choice(group) for group in admitted]
    characters += [secrets.choice(everything) for _ignored in range(length - len(admitted))]
    secrets.SystemRandom().shuffle(characters)
    return "".join(characters)


@dataclass(frozen=True)
class Verifier:
    """A SCRAM-SHA-256 verifier taken apart."""

    iterations: int
    salt: bytes = field(repr=False)
    stored_key: bytes = field(repr=False)
    server_key: bytes = field(repr=False)

    @classmethod
    def parse(cls, text: str) -> Verifier | None:
        """Read a verifier as the server does; None for anything else."""
        parts = text.split("$")
        if len(parts) != 3 or parts[0] != "SCRAM-SHA-256":
            return None
        iterations, colon, salt = parts[1].partition(":")
        stored, other_colon, server = parts[2].partition(":")
        if not (colon and other_colon and iterations.isascii() and iterations.isdigit()):
            return None
        try:
            decoded = [base64.b64decode(part, validate=True) for part in (salt, stored, server)]
        except (binascii.Error, ValueError):
            return None
        if len(decoded[1]) != _KEY_BYTES or len(decoded[2]) != _KEY_BYTES or not decoded[0] or int(iterations) < 1:
            return None
        return cls(int(iterations), *decoded)

    def __str__(self) -> str:
        """Write it as the server stores it."""
        salt, stored, server = (
            base64.b64encode(part).decode() for part in (self.salt, self.stored_key, self.server_key)
        )
        return f"SCRAM-SHA-256${self.iterations}:{salt}${stored}:{server}"


def scram_verifier(password: str, *, salt: bytes | None = None, iterations: int = ITERATIONS) -> str:
    """Make the verifier of PASSWORD, with a new SALT unless one is given."""
    return str(_verifier(password, salt or secrets.token_bytes(_SALT_BYTES), iterations))


def is_verifier(text: str) -> bool:
    """Whether TEXT is a verifier already, which the server would store as it is."""
    return Verifier.parse(text) is not None


def matches(password: str, verifier: str) -> bool:
    """Whether VERIFIER is that of PASSWORD; False for what is no SCRAM-SHA-256 verifier."""
    known = Verifier.parse(verifier)
    if known is None:
        return False
    if is_verifier(password):
        return hmac.compare_digest(password, verifier)
    return hmac.compare_digest(_verifier(password, known.salt, known.iterations).stored_key, known.stored_key)


def _verifier(password: str, salt: bytes, iterations: int) -> Verifier:
    salted = hashlib.pbkdf2_hmac("sha256", prepared(password), salt, iterations)
    client_key = hmac.digest(salted, b"Client Key", "sha256")
    return Verifier(iterations, salt, hashlib.sha256(client_key).digest(), hmac.digest(salted, b"Server Key", "sha256"))


def prepared(password: str) -> bytes:
    """Normalise as the server does before hashing: SASLprep (RFC 4013), or as it is where that forbids something.

    libpq and the server look for what is forbidden before they normalise (pg_saslprep in saslprep.c).
    """
    if password.isascii():
        return password.encode()
    mapped = "".join(" " if stringprep.in_table_c12(c) else c for c in password if not stringprep.in_table_b1(c))
    normal = unicodedata.normalize("NFKC", mapped)
    if not normal or any(_prohibited(c) for c in mapped) or not _direction_allowed(mapped):
        return password.encode()
    return normal.encode()


_PROHIBITED = (
    stringprep.in_table_a1,
    stringprep.in_table_c12,
    stringprep.in_table_c21_c22,
    stringprep.in_table_c3,
    stringprep.in_table_c4,
    stringprep.in_table_c5,
    stringprep.in_table_c6,
    stringprep.in_table_c7,
    stringprep.in_table_c8,
    stringprep.in_table_c9,
)


def _prohibited(character: str) -> bool:
    return any(table(character) for table in _PROHIBITED)


def _direction_allowed(text: str) -> bool:
    """RFC 3454, section 6: no mixture of right-to-left with left-to-right, and right-to-left at both ends."""
    if not any(stringprep.in_table_d1(c) for c in text):
        return True
    return (
        not any(stringprep.in_table_d2(c) for c in text)
        and stringprep.in_table_d1(text[0])
        and stringprep.in_table_d1(text[-1])
    )
