# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation of the options that every module shares: how to reach a server (argument_specs.CONNECTION)."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  engine:
    description:
      - What kind of server it is. Neither of V(mysql) and V(mariadb) is taken for the other.
    type: str
    choices: [postgres, mysql, mariadb]
    default: postgres
  login_host:
    description: Host name or address of the server.
    type: str
    default: localhost
    aliases: [host]
  login_port:
    description: Port of the server; without it the engine's own, 5432 or 3306.
    type: int
    aliases: [port]
  login_user:
    description: The account to work as; without it C(postgres), or C(root) on MySQL and MariaDB.
    type: str
  login_password:
    description:
      - The account's password. It is never sent in clear text.
    type: str
  login_db:
    description:
      - PostgreSQL, the database to log in to, C(postgres) if not given.
    type: str
  login_unix_socket:
    description: Folder of PostgreSQL's unix socket, or the socket of MySQL or MariaDB itself, instead of O(login_host).
    type: str
  ssl_mode:
    description:
      - How far TLS is insisted on, as libpq's C(sslmode).
      - V(verify-full) is the only one that protects against somebody in between.
    type: str
    choices: [disable, allow, prefer, require, verify-ca, verify-full]
    default: prefer
  ca_cert:
    description: The certificate authority to trust, as a path or as PEM text.
    type: str
    aliases: [ssl_rootcert]
  ssl_cert:
    description: The client's certificate, as a path or as PEM text.
    type: str
    aliases: [client_cert]
  ssl_key:
    description: The client certificate's private key, as a path or as PEM text.
    type: str
    aliases: [client_key]
  connect_timeout:
    description: Seconds to wait for a connection.
    type: int
    default: 10
  statement_timeout:
    description: Seconds that a single statement may take.
    type: int
    default: 60
  lock_timeout:
    description: Seconds to wait for a lock on the server.
    type: int
    default: 10
  application_name:
    description: The name under which the session shows in the server's list of sessions.
    type: str
    default: dbops
requirements:
  - psycopg >= 3.2 (PostgreSQL)
  - PyMySQL >= 1.2 (MySQL, MariaDB)
"""
