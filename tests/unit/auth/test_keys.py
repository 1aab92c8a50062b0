"""Access keys: made, found, disabled, removed; secrets open only with the cluster's own secret."""

import pytest

from ais.auth import keys
from ais.base.errors import AlreadyExists, BadRequest, CorruptMetadata, NotFound


def test_life_of_a_key() -> None:
    """Each change is the next version; the value survives the wire."""
    secret = keys.new_secret()
    key, plain = keys.new_key("ann", secret, 7)
    all_keys = keys.AccessKeys().with_key(key)
    again = keys.AccessKeys.decode(all_keys.encode())
    assert again == all_keys
    found = again.get(key.id)
    assert found is not None
    assert keys.unseal(found, secret) == plain
    assert plain not in all_keys.encode().decode()
    disabled = again.with_disabled(key.id, True)
    assert disabled.version == 2
    assert disabled.keys[key.id].disabled
    assert disabled.without_key(key.id).get(key.id) is None


def test_refusals() -> None:
    """A second key of the same ID, an unknown key, a bad user name."""
    key, _ = keys.new_key("ann", keys.new_secret(), 0)
    with pytest.raises(AlreadyExists):
        keys.AccessKeys().with_key(key).with_key(key)
    with pytest.raises(NotFound):
        keys.AccessKeys().without_key("x")
    for user in ("", "a b", "x" * 65, "ü"):
        with pytest.raises(BadRequest):
            keys.new_key(user, keys.new_secret(), 0)


def test_secret_is_bound_to_cluster_and_key() -> None:
    """Another cluster's secret, or the sealed secret of another key, opens nothing."""
    secret = keys.new_secret()
    (one, _), (other, _) = (keys.new_key("ann", secret, 0) for _ in range(2))
    with pytest.raises(CorruptMetadata):
        keys.unseal(one, keys.new_secret())
    with pytest.raises(CorruptMetadata):
        keys.unseal(keys.AccessKey(one.id, one.user, other.sealed), secret)
