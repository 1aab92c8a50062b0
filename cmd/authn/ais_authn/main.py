"""The program `authn`: start, say in a sentence why it cannot run, serve until told to stop."""

import argparse
import asyncio
import os
import signal
import ssl
import sys

import structlog
import uvloop
from aiohttp import web

from ais.base.errors import AisError, BadRequest
from ais_authn import settings
from ais_authn.clusters import ClusterClient
from ais_authn.http import make_app
from ais_authn.service import Service
from ais_authn.signing import Signer
from ais_authn.store import Store

_EPILOG = """\
Settings come from the environment: AIS_AUTHN_SU_PASS (the administrator's password, needed at the first start),
AIS_AUTHN_SU_NAME, AIS_AUTHN_PORT, AIS_AUTHN_HOST, AIS_AUTHN_CONF_DIR, AIS_AUTHN_SECRET_KEY (HS256) or
AIS_AUTHN_PRIVATE_KEY_FILE and _PASS (RS256; without either, a key is made), AIS_AUTHN_TTL, AIS_AUTHN_EXTERNAL_URL,
AIS_AUTHN_USE_HTTPS with AIS_SERVER_CRT and AIS_SERVER_KEY, AIS_AUTHN_SKIP_VERIFY_CRT.
"""


def main(argv: list[str] | None = None) -> int:
    """Serve; the exit status."""
    parser = argparse.ArgumentParser(
        "authn", description=__doc__, epilog=_EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--config", "-config", metavar="DIR", default="", help="where users and keys are kept")
    parser.add_argument("--port", type=int, help="0: a free one, which the log tells")
    given = parser.parse_args(argv)
    os.umask(0o077)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_run(settings.read(given.config, given.port)))
    except (AisError, ValueError) as error:
        sys.stderr.write(f"authn: {error}\n")
        return 1
    except OSError as error:
        sys.stderr.write(f"authn: {error.strerror or error}: {error.filename or ''}\n")
        return 1
    return 0


async def _run(found: settings.Settings) -> None:
    os.makedirs(found.directory, mode=0o700, exist_ok=True)
    signer = Signer(found.secret, key_file=found.key_file, passphrase=found.key_passphrase, directory=found.directory)
    store, clusters = Store(found.directory), ClusterClient(skip_verify=found.skip_verify)
    try:
        service = Service(found, store, signer)
        await service.found()
        runner = web.AppRunner(make_app(service, clusters), access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, found.host, found.port, ssl_context=_tls(found))
        await site.start()
        port = runner.addresses[0][1]
        structlog.get_logger().info("authn ready", port=port, directory=found.directory, method=signer.method.value)
        await _stopped()
        await runner.cleanup()
    finally:
        await clusters.close()
        store.close()


def _tls(found: settings.Settings) -> ssl.SSLContext | None:
    if not found.use_https:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(found.certificate, found.certificate_key)
    except (OSError, ssl.SSLError) as error:
        raise BadRequest(f"cannot use certificate {found.certificate}: {error}") from None
    return context


async def _stopped() -> None:
    told = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, told.set)
    await told.wait()


if __name__ == "__main__":
    sys.exit(main())
