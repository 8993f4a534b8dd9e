# SPDX-License-Identifier: GPL-3.0-or-later
"""Where backups are stored, and how they are compressed and encrypted.

Used by the files of the backup, the schedule and the restore only.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from dbops_operator.api.common import SecretKeyRef
from dbops_operator.api.model import Block, Int32


class S3Keys(Block):
    """Which keys of the Secret hold what."""

    access_key: str = "AWS_ACCESS_KEY_ID"
    """Key of the access key's id."""
    secret_key: str = "AWS_SECRET_ACCESS_KEY"  # noqa: S105 - the name of a key
    """Key of the secret access key."""


class S3SecretRef(Block):
    """The Secret with the access key, in the namespace of the object that refers to it."""

    name: str
    """Name of the Secret."""
    keys: S3Keys | None = None
    """Names of the keys, if they are not AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY."""


class S3Storage(Block):
    """A bucket in S3 or a compatible store."""

    bucket: str
    """Name of the bucket."""
    region: str
    """Region of the bucket."""
    prefix: str | None = None
    """Folder in the bucket."""
    endpoint: str | None = None
    """URL of a compatible store."""
    force_path_style: bool | None = None
    """Whether the bucket's name stands in the path instead of the host, as many compatible stores need it."""
    secret_ref: S3SecretRef
    """Secret with the access key."""


class GCSStorage(Block):
    """A bucket in Google Cloud Storage."""

    bucket: str
    """Name of the bucket."""
    prefix: str | None = None
    """Folder in the bucket."""
    secret_ref: SecretKeyRef
    """Secret with a service account's key in JSON."""


class AzureSecretRef(Block):
    """The Secret with the storage account's key."""

    name: str
    """Name of the Secret; its key is AZURE_STORAGE_ACCOUNT_KEY, accountKey, storageAccountKey or key."""
    namespace: str | None = None
    """Namespace of the Secret; empty means the namespace of the object that refers to it."""


class AzureStorage(Block):
    """A container in Azure Blob Storage."""

    container: str
    """Name of the container."""
    storage_account: str
    """Name of the storage account."""
    prefix: str | None = None
    """Folder in the container."""
    secret_ref: AzureSecretRef
    """Secret with the storage account's key."""


class PVCStorage(Block):
    """A PersistentVolumeClaim."""

    claim_name: str
    """Name of the claim, in the namespace of the object that refers to it."""
    sub_path: str | None = None
    """Folder on the volume."""


class Storage(Block):
    """Where backups are stored."""

    type: Literal["gcs", "s3", "azure", "pvc"]
    """Which of the blocks below holds."""
    s3: S3Storage | None = None
    """A bucket in S3 or a compatible store."""
    gcs: GCSStorage | None = None
    """A bucket in Google Cloud Storage."""
    azure: AzureStorage | None = None
    """A container in Azure Blob Storage."""
    pvc: PVCStorage | None = None
    """A PersistentVolumeClaim."""


class Compression(Block):
    """How backups are compressed. Without this block they are not."""

    enabled: bool = True
    """Whether they are."""
    algorithm: Literal["gzip", "lz4", "zstd"] = "gzip"
    """How."""
    level: Annotated[Int32, Field(ge=1, le=9)] = 6
    """1 is the fastest, 9 the smallest."""


class Encryption(Block):
    """How backups are encrypted. Without this block they are not."""

    enabled: bool | None = None
    """Whether they are; recipients alone say so too."""
    algorithm: Literal["aes-256-gcm", "aes-256-cbc", "age"] = "aes-256-gcm"
    """How; aes-256-cbc is for reading backups of the published operator."""
    secret_ref: SecretKeyRef | None = None
    """Secret with the key: 32 bytes, or for reading what age encrypted an identity (AGE-SECRET-KEY-...)."""
    recipients: list[str] | None = None
    """Public keys of age (age1...) that can decrypt them: the operator needs no secret to write these."""
