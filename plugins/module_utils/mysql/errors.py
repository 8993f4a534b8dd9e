# SPDX-License-Identifier: GPL-3.0-or-later
"""Errors of MySQL and MariaDB as reasons: one table of error numbers, and what to do about each.

Called wherever a statement or a connection may fail. Decisions are made by number only, since the server's text
may be in any language; the text is shown to people behind ours, but for numbers whose text quotes the statement.
https://dev.mysql.com/doc/mysql-errors/9.0/en/server-error-reference.html
https://mariadb.com/kb/en/mariadb-error-code-reference/
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import DbopsError, Reason

if TYPE_CHECKING:
    import pymysql

_LOST = (Reason.CONNECTION_FAILED, "the connection was lost; it is tried again")
_DENIED = (Reason.PRIVILEGE_MISSING, "the admin account lacks a privilege")
_MEANWHILE = (Reason.CONFLICT, "somebody else did the same at the same time; it is looked at again")
_READ_ONLY = (Reason.UNSUPPORTED, "the server is read-only (a replica?); point at the primary")
_NO_LOGIN = (Reason.AUTHENTICATION_FAILED, "check user name and password, and that the account is for this host")
_BUSY = (Reason.CONNECTION_FAILED, "the server has no connection left; raise max_connections or end sessions")
_SLOW = (Reason.TIMEOUT, "the statement was interrupted, or took longer than statement_timeout")
_MISSING = (Reason.DEPENDENCY_NOT_READY, "something that is referred to does not exist")
_CIRCLE = (Reason.INVALID_SPEC, "one role is a member of the other already; memberships cannot go in a circle")
_TAKEN = (Reason.INVALID_SPEC, "the server does not take the value")

_NUMBERS: dict[int, tuple[Reason, str]] = {
    0: _LOST,
    1007: (Reason.CONFLICT, "the database exists already; somebody else made it meanwhile"),
    1008: (Reason.CONFLICT, "the database is gone already; somebody else dropped it meanwhile"),
    1010: (Reason.BLOCKED, "the database's folder on the server holds files that are not the server's"),
    1021: (Reason.CONNECTION_FAILED, "the server's disk is full; it is tried again"),
    1040: _BUSY,
    1044: (Reason.PRIVILEGE_MISSING, "the admin account lacks a privilege on the database"),
    1045: _DENIED,
    1047: (Reason.CONNECTION_FAILED, "the server is not ready (a node of a cluster?); it is tried again"),
    1049: (Reason.DEPENDENCY_NOT_READY, "the database does not exist"),
    1050: _MEANWHILE,
    1053: (Reason.CONNECTION_FAILED, "the server shuts down; it is tried again"),
    1054: (Reason.DEPENDENCY_NOT_READY, "a column that is referred to does not exist"),
    1059: (Reason.INVALID_SPEC, "the name is too long"),
    1062: _MEANWHILE,
    1064: (Reason.INTERNAL_ERROR, "the server does not understand the statement; please report it"),
    1094: _MEANWHILE,
    1095: (
        Reason.PRIVILEGE_MISSING,
        "the admin account may not end the session: that takes CONNECTION_ADMIN, and SYSTEM_USER if its user has that",
    ),
    1102: (Reason.INVALID_SPEC, "the server does not take the name of the database"),
    1115: (Reason.INVALID_SPEC, "the server does not know the character set"),
    1129: (Reason.AUTHENTICATION_FAILED, "the server blocks this host after failed connections: FLUSH HOSTS there"),
    1130: (Reason.AUTHENTICATION_FAILED, "the server lets nobody in from this host"),
    1133: (Reason.DEPENDENCY_NOT_READY, "the account does not exist"),
    1141: _MEANWHILE,
    1142: _DENIED,
    1143: _DENIED,
    1144: (Reason.INVALID_SPEC, "the privilege does not exist at this level"),
    1146: (Reason.DEPENDENCY_NOT_READY, "the table does not exist"),
    1147: _MEANWHILE,
    1158: _LOST,
    1159: _LOST,
    1160: _LOST,
    1161: _LOST,
    1203: (Reason.CONNECTION_FAILED, "the account has no connection left (max_user_connections)"),
    1205: (Reason.TIMEOUT, "a lock was not to be had within lock_timeout; it is tried again"),
    1213: (Reason.CONFLICT, "a deadlock with another session; it is tried again"),
    1221: (Reason.INVALID_SPEC, "the privilege does not exist at this level"),
    1226: (Reason.CONNECTION_FAILED, "the account has used up a limit; it is tried again"),
    1227: _DENIED,
    1231: _TAKEN,
    1251: (Reason.AUTHENTICATION_FAILED, "the server wants a way of authentication that is not used"),
    1253: (Reason.INVALID_SPEC, "the collation does not belong to the character set"),
    1273: (Reason.INVALID_SPEC, "the server does not know the collation"),
    1290: _READ_ONLY,
    1300: (Reason.INVALID_SPEC, "a name holds characters that the server cannot keep in names"),
    1305: (Reason.DEPENDENCY_NOT_READY, "the procedure or function does not exist"),
    1317: _SLOW,
    1370: _DENIED,
    1396: (Reason.CONFLICT, "the account is not as it was; somebody else changed it meanwhile"),
    1403: _MEANWHILE,
    1410: (Reason.DEPENDENCY_NOT_READY, "the account does not exist"),
    1419: (
        Reason.PRIVILEGE_MISSING,
        "with the binary log on this takes SUPER, or log_bin_trust_function_creators on the server",
    ),
    1449: (Reason.DEPENDENCY_NOT_READY, "the definer's account does not exist"),
    1470: (Reason.INVALID_SPEC, "the name is too long"),
    1524: (Reason.UNSUPPORTED, "the server does not have the authentication plugin"),
    1698: (Reason.PRIVILEGE_MISSING, "the admin account may not give the role: that takes WITH ADMIN OPTION on it"),
    1792: _READ_ONLY,
    1819: (Reason.INVALID_SPEC, "the password does not satisfy the server's policy"),
    1820: (Reason.AUTHENTICATION_FAILED, "the password has expired; set a new one"),
    1827: (Reason.INVALID_SPEC, "the server does not take the hash of the password"),
    1836: _READ_ONLY,
    1862: (Reason.AUTHENTICATION_FAILED, "the password has expired; set a new one"),
    1927: _LOST,
    1949: (Reason.INVALID_SPEC, "the name is no role's"),
    1959: (Reason.DEPENDENCY_NOT_READY, "the role does not exist"),
    1961: _CIRCLE,
    1962: _MEANWHILE,
    1969: _SLOW,
    2002: _LOST,
    2003: _LOST,
    2006: _LOST,
    2013: _LOST,
    2026: (Reason.TLS_FAILED, "the server does not offer TLS"),
    2055: _LOST,
    2059: (Reason.AUTHENTICATION_FAILED, "the server wants a way of authentication that is not used"),
    3024: _SLOW,
    3101: (Reason.CONFLICT, "the cluster refused the change for another one; it is tried again"),
    3118: (Reason.AUTHENTICATION_FAILED, "the account is locked"),
    3159: (Reason.TLS_FAILED, "the server takes encrypted connections only; set ssl_mode"),
    3523: (Reason.DEPENDENCY_NOT_READY, "the account does not exist"),
    3530: (Reason.DEPENDENCY_NOT_READY, "the role was not granted"),
    3619: _DENIED,
    3955: (Reason.AUTHENTICATION_FAILED, "the account is locked after failed logins"),
    4006: (Reason.BLOCKED, "views, routines, triggers or events have the account as their definer"),
    4027: _CIRCLE,
    4151: (Reason.AUTHENTICATION_FAILED, "the account is locked"),
}
"""Error number to the reason and what it means for the reader; those below 1000 or above 2000 are the client's."""

AT_LOGIN: dict[int, tuple[Reason, str]] = {1045: _NO_LOGIN, 1698: _NO_LOGIN}
"""Where a number means something else while connecting: a password that is wrong, not a privilege that is missing."""

WRONG_PASSWORD = frozenset({1045, 1698})
"""The server says no before it says why: a wrong password, an unknown account, another host, TLS that is missing."""
PASSWORD_WAS_RIGHT = frozenset({1044, 1049, 1203, 1226, 1820, 1862, 3118, 4151})
"""Refusals that come only after the password had been found right."""
RETRIED = frozenset({1213, 3101})
"""Worth another try at once: a deadlock, a conflict in a cluster."""

SYNTAX = 1064

# Texts that quote the statement, or a value that was sent.
_QUOTING = frozenset({1064, 1149, 1231, 1292, 1300, 1366, 1406, 1411})


def number_of(error: pymysql.MySQLError) -> int:
    """Give the error's number; 0 where there is none (a session that was closed)."""
    found = error.args[0] if error.args else 0
    return found if isinstance(found, int) else 0


def reason_of(number: int, *, at_login: bool = False) -> tuple[Reason, str]:
    """Give the reason of an error NUMBER, and the remedy."""
    found = (AT_LOGIN.get(number) if at_login else None) or _NUMBERS.get(number)
    return found or (Reason.INTERNAL_ERROR, f"the server answered with error {number}")


def statement_error(error: pymysql.MySQLError, *, doing: str, field: str | None = None) -> DbopsError:
    """Say what went wrong while DOING something (such as `create user app`)."""
    number = number_of(error)
    reason, remedy = _SLOW if timed_out(error) else reason_of(number)
    message = f"{doing}: {remedy}" + said(error)
    return DbopsError(reason, message[:1000], field=field)


def said(error: pymysql.MySQLError) -> str:
    """Give what the server said, in brackets, unless it may quote what was sent."""
    number = number_of(error)
    # Numbers of 2000 and more up to 3000 are the driver's own; its texts hold addresses and exceptions.
    if not number or 2000 <= number < 3000 or number in _QUOTING or len(error.args) < 2:
        return ""
    return f" (server: {error.args[1]})"


def timed_out(error: BaseException) -> bool:
    """Whether no answer came in time: the statement may still run on the server."""
    return any(isinstance(one, TimeoutError) for one in causes(error))


def tls_error(error: BaseException) -> ssl.SSLError | None:
    """Give the failure of TLS behind ERROR, if that is what it was."""
    return next((one for one in causes(error) if isinstance(one, ssl.SSLError)), None)


def causes(error: BaseException) -> Iterator[BaseException]:
    """Give ERROR and what it was raised for, outermost first."""
    found: BaseException | None = error
    while found is not None:
        yield found
        found = getattr(found, "original_exception", None) or found.__cause__ or found.__context__
