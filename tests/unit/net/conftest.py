"""Certificates for the tests of TLS."""

from typing import NamedTuple

import pytest
from harness import certificates


class Files(NamedTuple):
    """Paths of PEM files: a certificate for 127.0.0.1 that signed itself (so it is its own CA), and its key."""

    certificate: str
    key: str


@pytest.fixture(scope="session")
def pem(tmp_path_factory: pytest.TempPathFactory) -> Files:
    """A certificate and its key."""
    made = certificates.make(tmp_path_factory.mktemp("tls"))
    return Files(made.certificate, made.key)
