# SPDX-License-Identifier: GPL-3.0-or-later
"""The fixed list of reasons why something did not work, and the one family of exceptions that carries them.

Every layer raises DbopsError with a Reason; modules put it into their result and the operator into conditions,
so that a playbook and a custom resource say the same. Pure: also imported by the operator.
"""

from __future__ import annotations

from enum import StrEnum


class ErrorClass(StrEnum):
    """What has to happen before another try makes sense."""

    WAIT = "wait"
    """Something else must become ready; its event wakes the object."""
    RETRY = "retry"
    """May pass by itself; tried again with growing pauses."""
    HUMAN = "human"
    """Somebody must change something; tried again on that change, and rarely otherwise."""


class Reason(StrEnum):
    """Why something did not work. The values are part of the API: conditions and results carry them."""

    CONNECTION_FAILED = "ConnectionFailed"
    AUTHENTICATION_FAILED = "AuthenticationFailed"
    TLS_FAILED = "TLSFailed"
    PRIVILEGE_MISSING = "PrivilegeMissing"
    DEPENDENCY_NOT_READY = "DependencyNotReady"
    ACCESS_DENIED = "AccessDenied"
    CONFLICT = "Conflict"
    NOT_ADOPTED = "NotAdopted"
    NOT_VERIFIABLE = "NotVerifiable"
    ACKNOWLEDGEMENT_NEEDED = "AcknowledgementNeeded"
    IMMUTABLE_FIELD = "ImmutableField"
    INVALID_SPEC = "InvalidSpec"
    UNSUPPORTED = "Unsupported"
    IN_USE = "InUse"
    BLOCKED = "Blocked"
    TIMEOUT = "Timeout"
    CANCELLED = "Cancelled"
    INTERNAL_ERROR = "InternalError"

    @property
    def error_class(self) -> ErrorClass:
        """What has to happen before another try makes sense."""
        return _CLASSES[self]


_CLASSES = {
    Reason.CONNECTION_FAILED: ErrorClass.RETRY,
    Reason.AUTHENTICATION_FAILED: ErrorClass.HUMAN,
    Reason.TLS_FAILED: ErrorClass.HUMAN,
    Reason.PRIVILEGE_MISSING: ErrorClass.HUMAN,
    Reason.DEPENDENCY_NOT_READY: ErrorClass.WAIT,
    Reason.ACCESS_DENIED: ErrorClass.HUMAN,
    Reason.CONFLICT: ErrorClass.HUMAN,
    Reason.NOT_ADOPTED: ErrorClass.HUMAN,
    Reason.NOT_VERIFIABLE: ErrorClass.RETRY,
    Reason.ACKNOWLEDGEMENT_NEEDED: ErrorClass.HUMAN,
    Reason.IMMUTABLE_FIELD: ErrorClass.HUMAN,
    Reason.INVALID_SPEC: ErrorClass.HUMAN,
    Reason.UNSUPPORTED: ErrorClass.HUMAN,
    Reason.IN_USE: ErrorClass.RETRY,
    Reason.BLOCKED: ErrorClass.HUMAN,
    Reason.TIMEOUT: ErrorClass.RETRY,
    Reason.CANCELLED: ErrorClass.WAIT,
    Reason.INTERNAL_ERROR: ErrorClass.RETRY,
}


class DbopsError(Exception):
    """Something did not work; `message` says what, where and what to do about it, and holds no secret."""

    def __init__(self, reason: Reason, message: str, *, field: str | None = None) -> None:
        """Take the REASON, a MESSAGE for people, and the option (in the collection's words) that is at fault."""
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.field = field
