"""Loaded by every node of a cluster under faults (this folder is on its PYTHONPATH): what the harness does inside it.

`harness.json` beside the node's local configuration says where to listen instead of the advertised control port, which
the relay has. `HARNESS_PLANT` names a bug to put in (`plants`). Nothing here is part of the product.
"""

import json
import os
import sys
from pathlib import Path


def _settings() -> dict:
    if "--local-config" not in sys.orig_argv:
        return {}
    local = Path(sys.orig_argv[sys.orig_argv.index("--local-config") + 1])
    path = local.with_name("harness.json")
    return json.loads(path.read_text()) if path.exists() else {}


def _listen_behind_relays(ports: dict[str, int]) -> None:
    from ais.net.server import HttpServer

    start = HttpServer.start

    async def started(self, host, port, *arguments, **options):
        await start(self, host, ports.get(str(port), port), *arguments, **options)
        return port

    HttpServer.start = started


def _inject() -> None:
    if ports := _settings().get("listen"):
        _listen_behind_relays(ports)
    plant = os.environ.get("HARNESS_PLANT")
    if plant and "--local-config" in sys.orig_argv:
        import plants

        plants.put_in(plant)


_inject()
