# SPDX-License-Identifier: GPL-3.0-or-later
"""PostgreSQL's errors as reasons: one table of SQLSTATEs, and what to do about each.

Called wherever a statement or a connection may fail. Decisions are made by SQLSTATE only, since the server's
text may be in any language; the text is shown to people behind ours.
https://www.postgresql.org/docs/current/errcodes-appendix.html
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import DbopsError, Reason

if TYPE_CHECKING:
    import psycopg

_SQLSTATES: dict[str, tuple[Reason, str]] = {
    "08": (Reason.CONNECTION_FAILED, "the connection was lost; it is tried again"),
    "08P01": (Reason.UNSUPPORTED, "what answers does not take our settings (a pooler?); connect to the server itself"),
    "0A": (Reason.UNSUPPORTED, "the server does not support it"),
    "0L000": (Reason.PRIVILEGE_MISSING, "the admin account may not grant it"),
    "0LP01": (Reason.INVALID_SPEC, "the grant makes no sense to the server"),
    "0P000": (Reason.INVALID_SPEC, "no such role, or a name that is no role's"),
    "22": (Reason.INVALID_SPEC, "the server does not take the value"),
    "23505": (Reason.CONFLICT, "somebody else made the same thing at the same time; it is looked at again"),
    "25006": (Reason.UNSUPPORTED, "the server is read-only (a replica?); point at the primary"),
    "26": (Reason.UNSUPPORTED, "session state got lost (a pooler?); connect to the server itself"),
    "28": (Reason.AUTHENTICATION_FAILED, "check the user name, and the server's pg_hba.conf for this host"),
    "28P01": (Reason.AUTHENTICATION_FAILED, "check user name and password"),
    "2BP01": (Reason.BLOCKED, "other objects depend on it"),
    "3B001": (Reason.INTERNAL_ERROR, "a savepoint got lost"),
    "3D000": (Reason.DEPENDENCY_NOT_READY, "the database does not exist"),
    "3F000": (Reason.DEPENDENCY_NOT_READY, "the schema does not exist"),
    "40": (Reason.CONFLICT, "another session got in the way; it is tried again"),
    "42": (Reason.INVALID_SPEC, "the server does not take the statement"),
    "42501": (Reason.PRIVILEGE_MISSING, "the admin account lacks a privilege"),
    "42704": (Reason.DEPENDENCY_NOT_READY, "something that is referred to does not exist"),
    "42710": (Reason.CONFLICT, "it exists already; somebody else made it meanwhile"),
    "42P04": (Reason.CONFLICT, "the database exists already; somebody else made it meanwhile"),
    "42P06": (Reason.CONFLICT, "the schema exists already; somebody else made it meanwhile"),
    "42622": (Reason.INVALID_SPEC, "the name is too long"),
    "42939": (Reason.INVALID_SPEC, "the name is reserved by the server"),
    "53": (Reason.CONNECTION_FAILED, "the server is out of resources; it is tried again"),
    "53300": (Reason.CONNECTION_FAILED, "the server has no connection left; raise max_connections or end sessions"),
    "54": (Reason.INVALID_SPEC, "a limit of the server is exceeded"),
    "55000": (Reason.IN_USE, "the object is in a state that forbids it"),
    "55006": (Reason.IN_USE, "somebody uses it; end the sessions or try later"),
    "55P03": (Reason.TIMEOUT, "a lock was not to be had within lock_timeout; it is tried again"),
    "57014": (Reason.TIMEOUT, "the statement was cancelled, or took longer than statement_timeout"),
    "57P01": (Reason.CONNECTION_FAILED, "the server ended the session; it is tried again"),
    "57P02": (Reason.CONNECTION_FAILED, "the server crashed; it is tried again"),
    "57P03": (Reason.CONNECTION_FAILED, "the server starts up, shuts down or recovers; it is tried again"),
    "57P05": (Reason.CONNECTION_FAILED, "the session was idle for too long; it is tried again"),
    "58": (Reason.INTERNAL_ERROR, "the server's operating system failed"),
    "XX": (Reason.INTERNAL_ERROR, "an error inside the server; its log says more"),
}
"""SQLSTATE, or its class of two characters, to the reason and what it means for the reader."""

_CONCURRENT_UPDATE = "XX000"
"""`tuple concurrently updated` has no SQLSTATE of its own; elog() shares this one, so a retry decides."""
RETRIED = frozenset({_CONCURRENT_UPDATE, "40001", "40P01"})
"""Worth another try at once: concurrent update of a catalog, serialisation failure, deadlock."""


def reason_of(sqlstate: str | None) -> tuple[Reason, str]:
    """Give the reason of SQLSTATE and the remedy; the whole code is looked up before its class."""
    if not sqlstate:
        return Reason.CONNECTION_FAILED, "the connection was lost; it is tried again"
    found = _SQLSTATES.get(sqlstate) or _SQLSTATES.get(sqlstate[:2])
    return found or (Reason.INTERNAL_ERROR, f"the server answered with SQLSTATE {sqlstate}")


def statement_error(
    error: psycopg.Error, *, doing: str, field: str | None = None, lacking: str | None = None
) -> DbopsError:
    """Say what went wrong while DOING something (such as `create role app`).

    LACKING says what a missing privilege means where it is not the admin account's.
    """
    sqlstate = error.sqlstate
    reason, remedy = reason_of(sqlstate)
    if lacking and reason is Reason.PRIVILEGE_MISSING:
        remedy = lacking
    # Only what the server says to its user: never str(error), which may quote the statement.
    text = error.diag.message_primary if sqlstate else None
    detail = error.diag.message_detail if reason in _DETAILED else None
    said = "; ".join(part for part in (text, detail) if part)
    message = f"{doing}: {remedy}" + (f" (server: {said})" if said else "")
    return DbopsError(reason, message[:1000], field=field)


_DETAILED = frozenset({Reason.PRIVILEGE_MISSING, Reason.BLOCKED, Reason.IN_USE})
"""Where the server's detail names objects and roles, and never a value that was sent."""
