# SPDX-License-Identifier: GPL-3.0-or-later
"""Passwords: verifiers are those that libpq makes and the server accepts, generated ones are what was asked for."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.dbprovision.dbops.plugins.module_utils.core import passwords


def libpq_verifier(password: str) -> str:
    """What the server's own client library makes of a password."""
    from psycopg import pq

    pgconn = pq.PGconn.connect_start(b"host=/nonexistent")
    return pgconn.encrypt_password(password.encode(), b"user", b"scram-sha-256").decode()


# Characters that SASLprep treats in some way, beside ordinary ones.
_ODD = (
    "\u00a0\u2000\u3000\u00ad\u200b\u200d\ufb01\u2163\u00aa"
    "\u0041\u030a\u0627\u0031\u05d0\u0378\u0221\ue000\ufffd\u0007é\u3377"
)


@pytest.mark.feature("U10")
@given(st.text(st.one_of(st.sampled_from(_ODD), st.characters(codec="utf-8", exclude_characters="\0")), min_size=1))
def test_a_password_matches_what_libpq_makes_of_it(password: str) -> None:
    verifier = libpq_verifier(password)
    assert passwords.is_verifier(verifier)
    assert passwords.matches(password, verifier)


@pytest.mark.feature("U10")
@given(st.text(min_size=1).filter(lambda text: "\0" not in text and not passwords.is_verifier(text)))
def test_a_verifier_matches_its_password_and_no_other(password: str) -> None:
    password = password.encode("utf-8", "replace").decode()
    verifier = passwords.scram_verifier(password, iterations=16)
    assert passwords.matches(password, verifier)
    assert not passwords.matches(f"{password}x", verifier)
    assert passwords.matches(verifier, verifier)
    assert passwords.scram_verifier(password, iterations=16) != verifier, "each one has a salt of its own"


def test_a_verifier_is_written_as_the_server_writes_it() -> None:
    salt = b"0123456789abcdef"
    text = passwords.scram_verifier("pencil", salt=salt)
    assert text.startswith("SCRAM-SHA-256$4096:MDEyMzQ1Njc4OWFiY2RlZg==$")
    assert str(passwords.Verifier.parse(text)) == text


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            "pencil",
            "md5" + "0" * 32,
            "SCRAM-SHA-256",
            "SCRAM-SHA-256$4096:c2FsdA==",
            "SCRAM-SHA-256$x:c2FsdA==$a:b",
        ),
        "SCRAM-SHA-256$4096:c2FsdA==$AAAA:AAAA",
        "SCRAM-SHA-256$0:c2FsdA==$" + "A" * 43 + "=:" + "A" * 43 + "=",
        "SCRAM-SHA-256$4096:!$" + "A" * 43 + "=:" + "A" * 43 + "=",
    ],
)
def test_what_is_no_verifier(text: str) -> None:
    assert not passwords.is_verifier(text)
    assert not passwords.matches("pencil", text)


@pytest.mark.parametrize("password", ["a\u00ad", "x\u0378", "\u0627a", "a\u0007é", "\u00ad"])
def test_what_saslprep_forbids_is_taken_as_it_is(password: str) -> None:
    assert passwords.matches(password, libpq_verifier(password))


CLASSES = [string.ascii_lowercase, string.ascii_uppercase, string.digits, "!@#$%^&*"]


@pytest.mark.feature("U03")
@given(st.integers(8, 128), st.booleans(), st.text(st.sampled_from(string.ascii_letters + string.digits + "!@#$%^&*")))
def test_a_generated_password(length: int, special: bool, exclude: str) -> None:
    password = passwords.generate(length=length, special=special, exclude=exclude)
    assert len(password) == length
    admitted = CLASSES if special else CLASSES[:3]
    kept = [set(group) - set(exclude) for group in admitted]
    if not any(kept):
        kept = [set(group) for group in CLASSES[:3]]
    assert set(password) <= set().union(*kept)
    for group in kept:
        assert not group or group & set(password), "one of each kind that is admitted"


@pytest.mark.feature("U03")
def test_generated_passwords_differ_and_use_all_characters() -> None:
    made = [passwords.generate() for _ in range(200)]
    assert len(set(made)) == 200
    assert set("".join(made)) == set("".join(CLASSES))
    assert len({one[0] for one in made}) > 20, "the guaranteed ones do not stand at fixed places"


def test_a_length_that_is_too_short() -> None:
    with pytest.raises(ValueError, match="at least 4"):
        passwords.generate(length=3)


def test_a_verifier_shows_nothing_of_itself() -> None:
    verifier = passwords.Verifier.parse(passwords.scram_verifier("pencil"))
    assert repr(verifier) == "Verifier(iterations=4096)"
