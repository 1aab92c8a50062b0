"""What `what=tls_certificate` tells about this node's certificate."""

from cryptography import x509

from ais.base.errors import NotFound


def certificate_facts(path: str) -> dict[str, str]:
    """Facts of the first certificate in a PEM file, as text. Raise `NotFound` when there is none. Reads the file."""
    try:
        with open(path, "rb") as file:
            certificate = x509.load_pem_x509_certificate(file.read())
    except (OSError, ValueError) as error:
        raise NotFound(f"cannot read the TLS certificate {path}: {error}") from None
    algorithm = certificate.signature_hash_algorithm
    return {
        "subject": certificate.subject.rfc4514_string(),
        "issuer": certificate.issuer.rfc4514_string(),
        "serial-number": str(certificate.serial_number),
        "signature-algorithm": algorithm.name if algorithm else "none",
        "not-before": certificate.not_valid_before_utc.isoformat(),
        "not-after": certificate.not_valid_after_utc.isoformat(),
        "version": str(certificate.version.value + 1),
    }
