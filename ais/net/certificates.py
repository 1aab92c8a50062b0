"""The TLS contexts of a process, and the certificate that it shows: read again when its files change.

Connections that are open go on with what they began with; each new one gets the contexts of that moment. Files that
cannot be used change nothing but what the node says about its certificate.
"""

import os
import ssl
from datetime import UTC, datetime
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import dsa, ec, rsa
from cryptography.x509.oid import NameOID

from ais.base.errors import BadRequest
from ais.net import tls

WARN_S = 30 * 24 * 3600
"""How long before its end a certificate is reported: enough for who renews by hand."""


class Files(NamedTuple):
    """Paths of PEM files, and what goes with them: see `ais.net.tls`."""

    certificate: str
    key: str
    ca: str = ""
    client_auth: int = 0
    skip_verify: bool = False
    name: str = ""

    def stamps(self) -> tuple[tuple[int, int, int], ...]:
        """What changes when one of them does: inode, size, time. Raise `OSError`."""
        found = [os.stat(path) for path in (self.certificate, self.key, self.ca) if path]
        return tuple((one.st_ino, one.st_size, one.st_mtime_ns) for one in found)


class Certificates:
    """One per process. Methods read files: call them beside the event loop."""

    def __init__(self, files: Files) -> None:
        """Raise `BadRequest` naming the file that cannot be used."""
        self._files = files
        self._stamps: tuple[tuple[int, int, int], ...] = ()
        self.problem = ""
        """Why the files of now are not used; empty: they are."""
        self.load()
        self.listener = self._server
        """For listeners: each connection gets the server's context of that moment."""
        self.listener.sni_callback = self._choose

    def load(self) -> None:
        """Use the files as they are now. Raise `BadRequest`: then those before stay in use."""
        files = self._files
        try:
            self._stamps = files.stamps()
            with open(files.certificate, "rb") as file:
                leaf = x509.load_pem_x509_certificate(file.read())
            server = tls.server_context(files.certificate, files.key, files.ca, files.client_auth)
            client = tls.client_context(
                files.certificate, files.key, files.ca, skip_verify=files.skip_verify, name=files.name
            )
        except (OSError, ValueError) as error:
            self.problem = f"cannot use certificate {files.certificate}: {error}"
            raise BadRequest(self.problem) from None
        except BadRequest as error:
            self.problem = str(error)
            raise
        self._server, self.client, self.leaf, self.problem = server, client, leaf, ""

    def load_if_changed(self) -> bool:
        """Tell whether the files have changed and are in use now. Raise `BadRequest` when they cannot be used."""
        try:
            if self._files.stamps() == self._stamps:
                return False
        except OSError as error:
            self.problem = f"cannot read the files of the TLS certificate: {error}"
            raise BadRequest(self.problem) from None
        self.load()
        return True

    def _choose(self, connection: ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> None:
        connection.context = self._server

    @property
    def end_s(self) -> float:
        """When the certificate that is shown ends (Unix seconds)."""
        return self.leaf.not_valid_after_utc.timestamp()

    def facts(self, now_s: float) -> dict[str, str]:
        """What it is, under AIStore's names and ours; what is wrong with it, as `warning` or `error`."""
        leaf = self.leaf
        start, end = leaf.not_valid_before_utc, leaf.not_valid_after_utc
        issuer = leaf.issuer.get_attributes_for_oid(NameOID.COMMON_NAME)
        algorithm, kind = leaf.signature_hash_algorithm, _kind(leaf)
        found = {
            "version": str(leaf.version.value + 1),
            "issued-by (CN)": str(issuer[0].value) if issuer else "",
            "signature-algorithm": f"{algorithm.name.upper()}-{kind}" if algorithm else kind,
            "public-key-algorithm": kind,
            "serial-number": str(leaf.serial_number),
            "valid": f"from {_moment(start)} to {_moment(end)}",
            "subject": leaf.subject.rfc4514_string(),
            "issuer": leaf.issuer.rfc4514_string(),
            "not-before": start.isoformat(),
            "not-after": end.isoformat(),
        }
        if self.problem:
            found["error"] = f"tls-cert-invalid: {self.problem}"
        elif now_s >= self.end_s:
            found["error"] = "tls-cert-expired"
        elif self.end_s - now_s < WARN_S:
            found["warning"] = "tls-cert-will-soon-expire"
        return found


def _moment(when: datetime) -> str:
    return f"{when.astimezone(UTC):%Y-%m-%d %H:%M:%S}"


def _kind(leaf: x509.Certificate) -> str:
    match leaf.public_key():
        case rsa.RSAPublicKey():
            return "RSA"
        case ec.EllipticCurvePublicKey():
            return "ECDSA"
        case dsa.DSAPublicKey():
            return "DSA"
    return "Ed25519"
