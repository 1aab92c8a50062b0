"""Loaded by every node of a cluster under faults (this folder is on its PYTHONPATH): what the harness does inside it.

`harness.json` beside the node's local configuration says where to listen instead of the advertised control port, which
the relay has. `HARNESS_PLANT` names a bug to put in (`plants`). In the process that forks nodes both wait for the fork.
Nothing here is part of the product.
"""

import json
import os
import sys
from dataclasses import replace
from pathlib import Path


def _settings(words: list[str]) -> dict:
    path = Path(words[words.index("--local-config") + 1]).with_name("harness.json")
    return json.loads(path.read_text()) if path.exists() else {}


def _listen_behind_relays(ports: dict[str, int]) -> None:
    from ais_node import listeners

    from ais.net.server import HttpServer

    start, bind = HttpServer.start, listeners.bind

    async def started(self, host, port, *arguments, **options):
        await start(self, host, ports.get(str(port), port), *arguments, **options)
        return port

    HttpServer.start = started
    listeners.bind = lambda listener: bind(replace(listener, port=ports.get(str(listener.port), listener.port)))


def _inject(words: list[str]) -> None:
    if "--local-config" not in words:
        return
    if ports := _settings(words).get("listen"):
        _listen_behind_relays(ports)
    if plant := os.environ.get("HARNESS_PLANT"):
        import plants

        plants.put_in(plant)


def _inject_into_forks() -> None:
    from ais_node import main as program

    run = program.main

    def main(argv: list[str] | None = None) -> int:
        _inject(sys.argv)
        return run(argv)

    program.main = main


if "ais_node.forkserver" in sys.orig_argv:
    _inject_into_forks()
else:
    _inject(sys.orig_argv)
