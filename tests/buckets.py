# SPDX-License-Identifier: GPL-3.0-or-later
"""A bucket of a test's own on the S3 server, as backups and restores name it, and a look at what is in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from localstack.object_store import S3Server


@dataclass(frozen=True)
class Bucket:
    """One bucket; what is in it is read from the server's files."""

    server: S3Server
    name: str

    @property
    def credentials(self) -> Mapping[str, str]:
        """Content of the Secret that a storage refers to."""
        return {"AWS_ACCESS_KEY_ID": self.server.access_key, "AWS_SECRET_ACCESS_KEY": self.server.secret_key}

    def storage(self, secret: str = "store", *, endpoint: str | None = None) -> dict[str, Any]:
        """`spec.storage`, with the Secret of this name."""
        s3 = {
            "bucket": self.name,
            "region": "us-east-1",
            "prefix": "team/app",
            "endpoint": endpoint or self.server.endpoint,
            "forcePathStyle": True,
            "secretRef": {"name": secret},
        }
        return {"type": "s3", "s3": s3}

    def objects(self) -> list[str]:
        """The keys of all objects."""
        return self.server.objects(self.name)

    def uploads(self) -> list[str]:
        """What is left of uploads that did not end."""
        return self.server.uploads(self.name)

    def read(self, key: str) -> bytes:
        """The content of an object."""
        return self.server.file(key, bucket=self.name).read_bytes()

    def write(self, key: str, content: bytes) -> None:
        """Change an object behind everybody's back."""
        self.server.file(key, bucket=self.name).write_bytes(content)

    def empty(self) -> None:
        """Take everything out of it."""
        self.server.remove_bucket(self.name)
        self.server.make_bucket(self.name)
