# SPDX-License-Identifier: GPL-3.0-or-later
"""Who may read /metrics, and over which certificate: what `--metrics-secure` stands for.

Used by health.py. Whoever asks shows a token; the API server says whose it is (TokenReview) and whether that account
may `get` the path (SubjectAccessReview). The certificate is the mounted one, or one made for this process.
"""

from __future__ import annotations

import datetime
import hashlib
import ssl
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

Review = Callable[[Mapping[str, Any]], Awaitable[Mapping[str, Any]]]
"""Sends a TokenReview or a SubjectAccessReview, and gives the answer."""

REMEMBERED_SECONDS = 60.0
_REMEMBERED = 100


@dataclass(frozen=True)
class Files:
    """A certificate and its key, as a Secret is mounted."""

    certificate: Path
    key: Path


class Scrapers:
    """Answers for the tokens that are shown; a good one is good for a minute, so scraping costs few requests."""

    def __init__(self, review: Review, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Ask by REVIEW."""
        self._review = review
        self._clock = clock
        self._admitted: dict[bytes, float] = {}

    async def refusal(self, authorization: str, path: str) -> int:
        """The HTTP status to refuse a request for PATH with; 0: admitted. Raises client.ApiError."""
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            return 401
        # The token itself is not kept.
        digest = hashlib.sha256(f"{path} {token}".encode()).digest()
        if self._admitted.get(digest, 0.0) > self._clock():
            return 0
        user = await self._user(token.strip())
        if user is None:
            return 401
        if not await self._may_get(user, path):
            return 403
        if len(self._admitted) >= _REMEMBERED:
            self._admitted.clear()
        self._admitted[digest] = self._clock() + REMEMBERED_SECONDS
        return 0

    async def _user(self, token: str) -> Mapping[str, Any] | None:
        answer = await self._review(
            {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": token}}
        )
        found: Mapping[str, Any] = answer["status"]
        return dict(found["user"]) if found.get("authenticated") else None

    async def _may_get(self, user: Mapping[str, Any], path: str) -> bool:
        who = {"user": user["username"], **{name: user[name] for name in ("uid", "groups", "extra") if user.get(name)}}
        spec = {**who, "nonResourceAttributes": {"path": path, "verb": "get"}}
        answer = await self._review(
            {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": spec}
        )
        return bool(answer["status"].get("allowed"))


class Certificate:
    """The server's side of TLS; a mounted certificate that was renewed is taken for the next connection."""

    def __init__(self, files: Files | None) -> None:
        """Read FILES, or make a certificate. Raises OSError and ssl.SSLError for files that are none."""
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.minimum_version = ssl.TLSVersion.TLSv1_2
        self._files = files
        self._seen: tuple[int, ...] = ()
        if files is None:
            with tempfile.TemporaryDirectory(prefix="dbops-metrics-") as folder:
                made = _self_signed(Path(folder))
                self.context.load_cert_chain(made.certificate, made.key)
        else:
            self.refresh()

    def refresh(self) -> None:
        """Take the files again if they changed."""
        if self._files is None:
            return
        now = tuple(file.stat().st_mtime_ns for file in (self._files.certificate, self._files.key))
        if now != self._seen:
            self.context.load_cert_chain(self._files.certificate, self._files.key)
            self._seen = now


def _self_signed(folder: Path) -> Files:
    """A key and a certificate in FOLDER, which nobody else can read. Scrapers cannot verify it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "dbops-operator-metrics")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=5))
        .not_valid_after(now + datetime.timedelta(days=3650))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    files = Files(folder / "tls.crt", folder / "tls.key")
    files.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    files.key.touch(mode=0o600)
    files.key.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return files
