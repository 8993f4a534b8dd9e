# SPDX-License-Identifier: GPL-3.0-or-later
"""A process that does one thing with the pipeline of backups: takes an order on its input, prints what it needed.

Of its own, so that its memory can be told from that of the tests.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time

from ansible_collections.dbprovision.dbops.plugins.module_utils.backup.facts import StreamFacts
from ansible_collections.dbprovision.dbops.plugins.module_utils.backup.pipeline import DumpWriter, open_dump
from ansible_collections.dbprovision.dbops.plugins.module_utils.backup.stores import open_store


def main() -> None:
    """Write what a command prints into a store, or read it back."""
    order = json.load(sys.stdin)
    store = open_store(order["storage"])
    begin = time.perf_counter()
    facts = order.get("facts")
    if facts:
        with open_dump(
            store,
            "dump",
            compression="zstd",
            encryption="age",
            decryption={"identities": [order["identity"]]},
            expected=StreamFacts(**facts),
        ) as source:
            while source.read1(1 << 18):  # type: ignore[attr-defined]
                pass
    else:
        compression = {"algorithm": "zstd", "level": 3}
        writer = DumpWriter(store, "dump", compression=compression, encryption={"recipients": [order["recipient"]]})
        with subprocess.Popen(order["command"], stdout=subprocess.PIPE) as dump:
            assert dump.stdout
            while data := dump.stdout.read1(1 << 18):  # type: ignore[attr-defined]
                writer.write(data)
        facts = vars(writer.finish())
    seconds = time.perf_counter() - begin
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"seconds": seconds, "memory": memory, "facts": facts}))


if __name__ == "__main__":
    main()
