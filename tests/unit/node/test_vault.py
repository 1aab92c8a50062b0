"""Keys of Vault while the node is busy (`tests/s3/test_vault.py` has the rest)."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from harness import transit
from harness.transit import Transit

from ais.auth.keyservice import LocalKeys
from ais.config.sections import AuthVault
from ais.env.clock import SystemClock
from ais.node.vault import VaultKeys
from ais.target.keyring import with_keys

GIVE_UP_S = 30.0


def test_a_key_comes_while_every_thread_of_the_loop_waits_for_it(tmp_path: Path) -> None:
    """Threads that read encrypted objects wait for the loop: what it does for them must not wait for a thread."""
    (token := tmp_path / "token").write_text(Transit.token)
    done = threading.Event()

    async def scenario(vault: Transit) -> None:
        url = vault.url.replace("127.0.0.1", "localhost")
        keys = VaultKeys(AuthVault(url=url, token_file=str(token)), LocalKeys((b"s" * 32,)), SystemClock())
        loop = asyncio.get_running_loop()
        loop.set_default_executor(ThreadPoolExecutor(1))
        waiting = asyncio.ensure_future(asyncio.to_thread(done.wait))
        try:
            async with asyncio.timeout(GIVE_UP_S):
                wrapped = await with_keys(lambda: keys.wrap(b"k" * 32, "first"))
            assert keys.unwrap(wrapped, "first") == b"k" * 32
        finally:
            done.set()
            await waiting

    with transit.running() as vault:
        vault.rotate("first")
        asyncio.run(scenario(vault))
