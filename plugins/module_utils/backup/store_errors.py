# SPDX-License-Identifier: GPL-3.0-or-later
"""What stores and the network answer, as errors of the one family.

obstore has few classes of exceptions and says the rest in their text: the status of HTTP, the code in the answer's
body, and the kind of an error of the client. This is the only file that reads such texts.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import DbopsError, Reason

_STATUS = re.compile(r"status code: (\d{3})|status: (\d{3})")
_CODE = re.compile(r"<Code>(\w{1,60})</Code>|\"reason\":\s*\"(\w{1,60})\"")
_KIND = re.compile(r"kind: (Connect|Timeout|Request|Decode|Interrupted)\b")

# Codes of S3 and Azure that say something about who asks, beside what the status says.
_WRONG_CREDENTIALS = {
    *("InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken", "AuthenticationFailed"),
    *("AuthorizationHeaderMalformed", "RequestTimeTooSkewed", "InvalidAuthenticationInfo", "TokenRefreshRequired"),
}
_NO_CONTAINER = {"NoSuchBucket", "ContainerNotFound", "ContainerBeingDeleted", "ContainerDisabled"}
_NO_OBJECT: set[str | None] = {None, "NoSuchKey", "BlobNotFound", "notFound"}
_TLS = re.compile(r"certificate|UnknownIssuer|tls handshake|NotValidForName|InvalidCertificate", re.IGNORECASE)
_LOCAL = (
    ("No space left on device", Reason.BLOCKED, "no space is left"),
    ("Disk quota exceeded", Reason.BLOCKED, "the quota is used up"),
    ("Read-only file system", Reason.PRIVILEGE_MISSING, "the file system is read-only"),
    ("Permission denied", Reason.PRIVILEGE_MISSING, "permission denied"),
    ("File name too long", Reason.INVALID_SPEC, "the path is too long for the file system"),
    ("Not a directory", Reason.INVALID_SPEC, "a file stands where the path needs a directory"),
    ("Input/output error", Reason.CONNECTION_FAILED, "input/output error"),
)


class ObjectMissingError(DbopsError):
    """There is no such object in the store (any more)."""

    def __init__(self, what: str) -> None:
        """Say WHAT is missing."""
        super().__init__(Reason.NOT_VERIFIABLE, f"{what}: there is no such object in the store", field="storage")


def error_of(what: str, error: Exception) -> DbopsError:
    """Make what obstore raised while doing WHAT an error with a reason, and a message without the answer's text."""
    from obstore.exceptions import NotSupportedError, PermissionDeniedError, UnauthenticatedError

    text = str(error)
    code = _first(_CODE, text)
    status = _first(_STATUS, text)
    told = " ".join(part for part in (f"HTTP {status}" if status else "", code or "") if part)
    if code in _NO_CONTAINER:
        return _failed(Reason.INVALID_SPEC, what, f"the bucket or container does not exist ({told})")
    if (isinstance(error, FileNotFoundError) or status == "404") and code in _NO_OBJECT:
        return ObjectMissingError(what)
    if isinstance(error, UnauthenticatedError) or code in _WRONG_CREDENTIALS or status == "401":
        return _failed(Reason.AUTHENTICATION_FAILED, what, f"the store does not accept the credentials ({told})")
    if isinstance(error, PermissionDeniedError) or status == "403":
        for pattern, reason, meaning in _LOCAL:
            if pattern in text:
                return _failed(reason, what, meaning)
        return _failed(Reason.PRIVILEGE_MISSING, what, f"the store refuses it to these credentials ({told})")
    if (status and status[0] == "5") or status == "429":
        return _failed(Reason.CONNECTION_FAILED, what, f"the store answered {told} again and again")
    if isinstance(error, NotSupportedError):
        return _failed(Reason.UNSUPPORTED, what, "the store cannot do this")
    return _by_text(what, text, told)


def _by_text(what: str, text: str, told: str) -> DbopsError:
    for pattern, reason, meaning in _LOCAL:
        if pattern in text:
            return _failed(reason, what, meaning)
    kind = _first(_KIND, text)
    if kind == "Timeout" or "operation timed out" in text:
        return _failed(Reason.TIMEOUT, what, "the store did not answer in time")
    if kind and _TLS.search(text):
        return _failed(Reason.TLS_FAILED, what, "the store's certificate is not trusted, or TLS failed otherwise")
    if kind == "Connect":
        return _failed(Reason.CONNECTION_FAILED, what, "the store cannot be reached")
    if kind:
        return _failed(Reason.CONNECTION_FAILED, what, "the connection to the store broke")
    if told:
        return _failed(Reason.INVALID_SPEC, what, f"the store answered {told}")
    # Something that nobody foresaw: its first line, which says what was done and holds no secret.
    return _failed(Reason.CONNECTION_FAILED, what, text.split("\n", 1)[0][:300])


def _failed(reason: Reason, what: str, meaning: str) -> DbopsError:
    return DbopsError(reason, f"{what}: {meaning}".replace(" ()", ""), field="storage")


def _first(pattern: re.Pattern[str], text: str) -> str | None:
    found = pattern.search(text)
    return next((group for group in found.groups() if group), None) if found else None


@contextmanager
def told(what: str) -> Iterator[None]:
    """Raise what obstore raises inside, while doing WHAT, as DbopsError."""
    from obstore.exceptions import BaseError

    try:
        yield
    except (BaseError, OSError, ValueError) as error:
        raise error_of(what, error) from error
