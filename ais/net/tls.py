"""TLS contexts from the files that the `net.http` section names. Everybody speaks TLS 1.2 or newer."""

import ssl

from ais.base.errors import BadRequest

_VERIFY_MODE = {0: ssl.CERT_NONE, 1: ssl.CERT_NONE, 2: ssl.CERT_REQUIRED, 3: ssl.CERT_OPTIONAL, 4: ssl.CERT_REQUIRED}
"""Go's `tls.ClientAuthType`, as AIStore's setting has it: 0 none, 1 asked, 2 any demanded, 3 verified if given,
4 demanded and verified. Python's ssl cannot take a certificate without verifying it, so 1 does not ask, and 2 is 4.
"""


def server_context(certificate: str, key: str, client_ca: str = "", client_auth: int = 0) -> ssl.SSLContext:
    """What a listener shows and demands. Paths of PEM files. Raise `BadRequest` naming the file that cannot be used."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    _load(context, certificate, key)
    if client_ca:
        _trust(context, client_ca)
    context.verify_mode = _VERIFY_MODE[client_auth]
    if context.verify_mode is not ssl.CERT_NONE and not client_ca:
        raise BadRequest(f"net.http.client_auth_tls={client_auth} needs a CA file in net.http.client_ca_tls")
    return context


class _Named(ssl.SSLContext):
    """Expects one name in all certificates, whatever the address."""

    name: str = ""

    def wrap_bio(
        self,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server_side: bool = False,
        server_hostname: str | bytes | None = None,
        session: ssl.SSLSession | None = None,
    ) -> ssl.SSLObject:
        """See `ssl.SSLContext`."""
        return super().wrap_bio(incoming, outgoing, server_side, self.name or server_hostname, session)


def client_context(
    certificate: str = "", key: str = "", ca: str = "", *, skip_verify: bool = False, name: str = ""
) -> ssl.SSLContext:
    """What a node or client shows to servers, and whom it trusts: `ca` alone, else the system's. Raise `BadRequest`.

    `name` is expected in the certificates of servers instead of the host that was asked for.
    """
    context = _Named(ssl.PROTOCOL_TLS_CLIENT)
    context.name = name
    if not ca:
        context.load_default_certs()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if certificate:
        _load(context, certificate, key)
    if ca:
        _trust(context, ca)
    if skip_verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _load(context: ssl.SSLContext, certificate: str, key: str) -> None:
    try:
        context.load_cert_chain(certificate, key or None)
    except OSError as error:
        raise BadRequest(
            f'cannot use certificate "{certificate}" with key "{key}": {error.strerror or error};'
            " check net.http.server_crt and net.http.server_key"
        ) from None


def _trust(context: ssl.SSLContext, ca: str) -> None:
    try:
        context.load_verify_locations(ca)
    except OSError as error:
        raise BadRequest(f'cannot use CA file "{ca}": {error.strerror or error}') from None
