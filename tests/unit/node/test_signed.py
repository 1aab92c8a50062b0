"""Native requests that administrators sign: good for what was signed alone, by a key that is an administrator's."""

from collections.abc import Mapping

import pytest

from ais.auth import keys, signing
from ais.auth.keys import AccessKeys, KeyRing
from ais.base.errors import AccessDenied, AisError, Unauthenticated
from ais.node import signed

SECRET, NOW_S, HOST, TARGET = keys.new_secret(), 1_900_000_000, "node:8080", "/v1/buckets/b?provider=ais&a=b%20c"


@pytest.fixture(scope="module")
def made() -> dict[str, tuple[str, str]]:
    """ID and secret of the keys of the ring, by name."""
    return {}


@pytest.fixture(scope="module")
def ring(made: dict[str, tuple[str, str]]) -> KeyRing:
    """An administrator's key, one that is disabled, and one for S3."""
    found = AccessKeys()
    for name, admin in (("root", True), ("gone", True), ("ann", False)):
        key, secret = keys.new_key(name, SECRET, 0, admin=admin)
        found, made[name] = found.with_key(key), (key.id, secret)
    return KeyRing(found.with_disabled(made["gone"][0], True), (SECRET,))


def lines_of(key: tuple[str, str], body: bytes = b"{}", now_s: float = NOW_S) -> dict[str, str]:
    found = signing.lines_of("POST", HOST, TARGET, body, key_id=key[0], secret=key[1], now_s=now_s)
    return {"Host": HOST, **found}


def verify(ring: KeyRing, lines: Mapping[str, str], method: str = "POST", target: str = TARGET) -> signed.Signed:
    return signed.verify(method, target, lines.items(), ring, NOW_S)


def test_an_administrator(ring: KeyRing, made: dict[str, tuple[str, str]]) -> None:
    """Who it is, what the body hashes to, and that it ends: 15 minutes after it was signed, as verified."""
    found = verify(ring, lines_of(made["root"], b"body"))
    assert (found.claims.sub, found.claims.admin) == ("root", True)
    assert found.claims.exp + 60 == NOW_S + 900
    assert found.payload == signing.hashlib.sha256(b"body").hexdigest()


def test_what_was_not_signed(ring: KeyRing, made: dict[str, tuple[str, str]]) -> None:
    """Another method, path, query, host or header, an old one, a wrong secret, a key that is none: 401; for S3: 403."""
    good = lines_of(made["root"])
    refused: list[tuple[dict[str, str], str, str, type[AisError]]] = [
        (good, "DELETE", TARGET, Unauthenticated),
        (good, "POST", TARGET.replace("/b?", "/c?"), Unauthenticated),
        (good, "POST", TARGET.replace("ais", "aws"), Unauthenticated),
        (good, "POST", TARGET.partition("?")[0], Unauthenticated),
        ({**good, "Host": "other:8080"}, "POST", TARGET, Unauthenticated),
        ({**good, "x-amz-security-token": "more"}, "POST", TARGET, Unauthenticated),
        ({**good, "x-amz-content-sha256": signing.UNSIGNED}, "POST", TARGET, Unauthenticated),
        ({name: one for name, one in good.items() if name != "x-amz-content-sha256"}, "POST", TARGET, Unauthenticated),
        ({**good, "Authorization": good["Authorization"][:-1] + "g"}, "POST", TARGET, Unauthenticated),
        ({**good, "Authorization": "AWS4-HMAC-SHA256 nonsense"}, "POST", TARGET, Unauthenticated),
        (lines_of(made["root"], now_s=NOW_S - 901), "POST", TARGET, Unauthenticated),
        (lines_of((made["root"][0], "another secret")), "POST", TARGET, Unauthenticated),
        (lines_of(("NOBODY", "another secret")), "POST", TARGET, Unauthenticated),
        (lines_of(made["gone"]), "POST", TARGET, Unauthenticated),
        (lines_of((made["ann"][0], "another secret")), "POST", TARGET, Unauthenticated),
        (lines_of(made["ann"]), "POST", TARGET, AccessDenied),
    ]
    for lines, method, target, error in refused:
        with pytest.raises(error):
            verify(ring, lines, method, target)
