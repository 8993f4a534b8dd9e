# SPDX-License-Identifier: GPL-3.0-or-later
"""A database with every type of object that its owner can make, out of shop.sql."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg.sql import SQL, Identifier

from localstack.postgresql import Login, PostgreSQLServer

SHOP = Path(__file__).with_name("shop.sql")


@dataclass(frozen=True)
class Shop:
    """A database with every type of object, and the roles that it names."""

    database: str
    owner: str
    reader: str
    writer: str


def make_shop(server: PostgreSQLServer, name: str, *, weak: Login) -> Shop:
    """Make the database NAME; its owner is a role that WEAK may act as."""
    shop = Shop(name, f"{name}_owner", f"{name}_reader", f"{name}_writer")
    for role in (shop.owner, shop.reader, shop.writer):
        server.query(SQL("CREATE ROLE {}").format(Identifier(role)))
    options = " WITH INHERIT TRUE, SET TRUE, ADMIN TRUE" if server.version >= 16 else " WITH ADMIN OPTION"
    server.query(SQL("GRANT {} TO {}" + options).format(Identifier(shop.owner), Identifier(weak.user)))
    server.query(SQL("CREATE DATABASE {} OWNER {}").format(Identifier(name), Identifier(shop.owner)))
    script = SHOP.read_text(encoding="utf-8").format(reader=shop.reader, writer=shop.writer)
    with psycopg.connect(server.admin.dsn(name)) as connection:
        connection.execute(SQL("SET ROLE {}").format(Identifier(shop.owner)))
        connection.execute(script.encode())
    return shop
