# SPDX-License-Identifier: GPL-3.0-or-later
"""Where backups are kept, how they are compressed and encrypted: the options that the modules of backups share.

Ansible argument specs, taken into the specs of `database_backup`, `database_restore` and `database_backup_info`. What
the options mean is in `stores`, `compression` and `encryption`.
"""

from __future__ import annotations

from ansible_collections.dbprovision.dbops.plugins.module_utils.core.argument_specs import Spec

STORAGE: Spec = {
    "type": {"type": "str", "choices": ["file", "s3", "gcs", "azure"], "required": True},
    "prefix": {"type": "str", "default": ""},
    "file": {"type": "dict", "options": {"path": {"type": "path", "required": True}}},
    "s3": {
        "type": "dict",
        "options": {
            "bucket": {"type": "str", "required": True},
            "region": {"type": "str", "default": "us-east-1"},
            "endpoint": {"type": "str"},
            "force_path_style": {"type": "bool", "default": False},
            "access_key": {"type": "str", "required": True, "no_log": False},
            "secret_key": {"type": "str", "required": True, "no_log": True},
        },
    },
    "gcs": {
        "type": "dict",
        "options": {
            "bucket": {"type": "str", "required": True},
            "credentials": {"type": "str", "required": True, "no_log": True},
            "endpoint": {"type": "str"},
        },
    },
    "azure": {
        "type": "dict",
        "options": {
            "container": {"type": "str", "required": True},
            "account": {"type": "str", "required": True},
            "key": {"type": "str", "required": True, "no_log": True},
            "endpoint": {"type": "str"},
        },
    },
}
"""A store. Credentials are always given: those of the machine or of its environment are never used."""

COMPRESSION: Spec = {
    "algorithm": {"type": "str", "choices": ["none", "gzip", "lz4", "zstd"], "default": "gzip"},
    "level": {"type": "int", "choices": [1, 2, 3, 4, 5, 6, 7, 8, 9], "default": 6},
}

ENCRYPTION: Spec = {
    "recipients": {"type": "list", "elements": "str"},
    "key": {"type": "str", "no_log": True},
}
"""For writing: age recipients (public keys), or 32 bytes in base64 for AES-256-GCM."""

DECRYPTION: Spec = {
    "identities": {"type": "list", "elements": "str", "no_log": True},
    "key": {"type": "str", "no_log": True},
    "algorithm": {"type": "str", "choices": ["age", "aes-256-gcm", "aes-256-cbc"]},
}
"""For reading. `algorithm` is of files that somebody else wrote: what has a manifest, says it there."""


def storage_argument(*, required: bool = True) -> Spec:
    """Give the option `storage`."""
    return {"storage": {"type": "dict", "required": required, "options": STORAGE}}


def writing_arguments() -> Spec:
    """Give the options `storage`, `compression` and `encryption` of what writes backups."""
    return storage_argument() | {
        "compression": {"type": "dict", "options": COMPRESSION},
        "encryption": {"type": "dict", "options": ENCRYPTION},
    }


def reading_arguments() -> Spec:
    """Give the options `storage`, `compression` and `encryption` of what reads backups."""
    # What has a manifest says there how it is compressed.
    compression: Spec = {"algorithm": COMPRESSION["algorithm"] | {"default": None}}
    return storage_argument() | {
        "compression": {"type": "dict", "options": compression},
        "encryption": {"type": "dict", "options": DECRYPTION},
    }
