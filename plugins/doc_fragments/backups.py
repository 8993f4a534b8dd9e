# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation of the options that the modules of backups share: the store, and where tools and room are."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  storage:
    description:
      - Where backups are kept. Credentials are always given here; those of the machine or of its environment are never
        used.
    type: dict
    required: true
    suboptions:
      type:
        description: What kind of store it is; its own options stand below the option of the same name.
        type: str
        choices: [file, s3, gcs, azure]
        required: true
      prefix:
        description: The folder in the bucket, container or directory that all paths are below.
        type: str
        default: ''
      file:
        description: A directory, such as a mounted volume.
        type: dict
        suboptions:
          path:
            description: The directory; it must exist.
            type: path
            required: true
      s3:
        description: A bucket of S3, or of a store that speaks its protocol.
        type: dict
        suboptions:
          bucket:
            description: Name of the bucket.
            type: str
            required: true
          region:
            description: Region of the bucket.
            type: str
            default: us-east-1
          endpoint:
            description: URL of a store that is not Amazon's.
            type: str
          force_path_style:
            description: Whether the bucket's name is part of the path, and not of the host's name.
            type: bool
            default: false
          access_key:
            description: Identifier of the access key.
            type: str
            required: true
          secret_key:
            description: The access key's secret.
            type: str
            required: true
      gcs:
        description: A bucket of Google Cloud Storage.
        type: dict
        suboptions:
          bucket:
            description: Name of the bucket.
            type: str
            required: true
          credentials:
            description: The JSON key of a service account, as text.
            type: str
            required: true
          endpoint:
            description: URL of another server with the same protocol.
            type: str
      azure:
        description: A container of Azure Blob Storage.
        type: dict
        suboptions:
          container:
            description: Name of the container.
            type: str
            required: true
          account:
            description: Name of the storage account.
            type: str
            required: true
          key:
            description: Key of the storage account.
            type: str
            required: true
          endpoint:
            description: URL of another server with the same protocol.
            type: str
requirements:
  - obstore, cryptography; and pyrage for age, lz4 and backports.zstd for these compressions
"""
    TOOLS = r"""
options:
  tools_path:
    description:
      - Folders with client tools (C(pg_dump), C(pg_restore), C(mysqldump), C(mariadb-dump)) to look into before
        the distribution's and those of E(PATH). Tools must be of the server's own major version.
    type: list
    elements: path
    default: []
  scratch_path:
    description: A folder with room for what cannot be streamed, as the directory format; the system's if not given.
    type: path
  deadline:
    description: Seconds that all of it may take. After that the tools are killed and nothing is left behind.
    type: int
"""
