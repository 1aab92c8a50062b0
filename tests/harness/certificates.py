"""Certificates for tests: an authority, and what it signs for 127.0.0.1; new each time."""

import datetime
import ipaddress
import os
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from ais.playground.plan import TLS

_DAY = datetime.timedelta(days=1)


def make(folder: Path) -> TLS:
    """A certificate for 127.0.0.1 that is its own CA, and its key, written into `folder`."""
    files = TLS(str(folder / "cert.pem"), str(folder / "key.pem"), str(folder / "cert.pem"))
    authority = Authority("ais")
    _write(files.certificate, _pem(authority.certificate))
    _write(files.key, _private_pem(authority.key))
    return files


class Authority:
    """Signs certificates; its own names 127.0.0.1 too."""

    def __init__(self, name: str) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        self.certificate = self._signed(self.name, self.key, days=300, is_ca=True)

    def issue(self, files: TLS, *, days: float = 300, name: str = "node", host: str = "127.0.0.1") -> int:
        """Put a certificate for a host (an address or a name), and its key, in the place of `files`; its serial."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        certificate = self._signed(subject, key, days=days, is_ca=False, host=host)
        _write(files.key, _private_pem(key))
        _write(files.certificate, _pem(certificate))
        _write(files.ca, _pem(self.certificate))
        return certificate.serial_number

    def _signed(
        self,
        subject: x509.Name,
        key: ec.EllipticCurvePrivateKey,
        *,
        days: float,
        is_ca: bool,
        host: str = "127.0.0.1",
    ) -> x509.Certificate:
        now = datetime.datetime.now(datetime.UTC)
        is_address = host[0].isdigit()
        where = x509.IPAddress(ipaddress.ip_address(host)) if is_address else x509.DNSName(host)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - _DAY)
            .not_valid_after(now + days * _DAY)
            .add_extension(x509.SubjectAlternativeName([where]), critical=False)
            .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
            .sign(self.key, hashes.SHA256())
        )


def _write(path: str, content: bytes) -> None:
    """Replace a file at once."""
    Path(path + ".new").write_bytes(content)
    os.replace(path + ".new", path)


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _private_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
