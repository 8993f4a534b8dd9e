# SPDX-License-Identifier: GPL-3.0-or-later
"""Statements of a dump that name roles become those of the place where it is restored."""

from __future__ import annotations

import pytest

from ansible_collections.dbprovision.dbops.plugins.module_utils.backup.postgresql.roles import Roles
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import DbopsError

pytestmark = [pytest.mark.feature("T05"), pytest.mark.feature("T07")]


def _roles() -> Roles:
    return Roles(owner="shop", mapping={"old": 'new"1', "Ü x": "other"}, existing={"shop", "reader", "TO"})


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("ALTER TABLE public.a OWNER TO old;", 'ALTER TABLE public.a OWNER TO "new""1";'),
        ('ALTER TABLE public." OWNER TO x" OWNER TO "Ü x";', 'ALTER TABLE public." OWNER TO x" OWNER TO "other";'),
        # Nobody becomes an owner because the dump says so.
        ("ALTER FUNCTION public.f(integer) OWNER TO reader;", None),
        ("ALTER LARGE OBJECT 16400 OWNER TO old;", 'ALTER LARGE OBJECT 16400 OWNER TO "new""1";'),
        ("ALTER TABLE ONLY public.a ADD CONSTRAINT x CHECK ((b <> 'OWNER TO y;'));", "same"),
        ("ALTER SUBSCRIPTION s OWNER TO old;", None),
        ("GRANT SELECT ON TABLE public.a TO reader;", 'GRANT SELECT ON TABLE public.a TO "reader";'),
        ("GRANT SELECT ON TABLE public.a TO PUBLIC;", "same"),
        ("GRANT SELECT ON TABLE public.a TO absent;", None),
        ('GRANT ALL ON TABLE public." TO " TO "TO" WITH GRANT OPTION;', "same"),
        ("REVOKE ALL ON TABLE public.a FROM old;", 'REVOKE ALL ON TABLE public.a FROM "new""1";'),
        (
            "ALTER DEFAULT PRIVILEGES FOR ROLE old IN SCHEMA s GRANT SELECT ON TABLES TO reader;",
            'ALTER DEFAULT PRIVILEGES FOR ROLE "new""1" IN SCHEMA s GRANT SELECT ON TABLES TO "reader";',
        ),
        (
            "ALTER DEFAULT PRIVILEGES FOR ROLE absent REVOKE ALL ON TABLES FROM PUBLIC;",
            'ALTER DEFAULT PRIVILEGES FOR ROLE "shop" REVOKE ALL ON TABLES FROM PUBLIC;',
        ),
        (
            "CREATE POLICY p ON public.a FOR SELECT TO old, reader USING ((b = 'TO old'));",
            'CREATE POLICY p ON public.a FOR SELECT TO "new""1", reader USING ((b = \'TO old\'));',
        ),
        ("CREATE POLICY p ON public.a USING ((to_old(b) = 1));", "same"),
        ("SET SESSION AUTHORIZATION old;", None),
        ("SET default_tablespace = fast;", None),
        ("COMMENT ON EXTENSION hstore IS 'x';", None),
        ("COMMENT ON TABLE a IS 'COMMENT ON EXTENSION x';", "same"),
        ("CREATE SUBSCRIPTION s CONNECTION 'x' PUBLICATION p;", None),
        ("ALTER TABLE public.a DISABLE TRIGGER ALL;", "ALTER TABLE public.a DISABLE TRIGGER USER;"),
    ],
)
def test_statement(statement: str, expected: str | None) -> None:
    """One statement as it is sent."""
    fitted = _roles().fitted(statement.encode())
    assert (fitted.decode() if fitted is not None else None) == (statement if expected == "same" else expected)


def test_what_was_left_out_is_told() -> None:
    """A role that is missing is named once."""
    roles = _roles()
    for statement in (b"GRANT SELECT ON TABLE a TO absent;", b"GRANT SELECT ON TABLE b TO absent;"):
        roles.fitted(statement)
    roles.fitted(b"CREATE SUBSCRIPTION s CONNECTION 'x' PUBLICATION p;")
    assert roles.summary() == [
        "subscriptions are not restored",
        "privileges of absent were left out: there is no such role",
    ]


def test_an_encoding_that_hides_quotes() -> None:
    """In some encodings a quote may be the half of a character."""
    with pytest.raises(DbopsError, match="SJIS"):
        _roles().fitted(b"SET client_encoding = 'SJIS';")
