"""Access keys: made, found, disabled, removed; secrets open only with the cluster's own secret."""

import pytest

from ais.auth import keys
from ais.auth.keyservice import LocalKeys
from ais.base.errors import AlreadyExists, BadRequest, Conflict, CorruptMetadata, NotFound, NotReady


def test_life_of_a_key() -> None:
    """Each change is the next version; the value survives the wire."""
    secret = keys.new_secret()
    key, plain = keys.new_key("ann", secret, 7)
    all_keys = keys.AccessKeys().with_key(key)
    again = keys.AccessKeys.decode(all_keys.encode())
    assert again == all_keys
    found = again.get(key.id)
    assert found is not None
    assert keys.KeyRing(again, (secret,)).lookup(key.id) == ("ann", plain, False, False)
    assert plain not in all_keys.encode().decode()
    disabled = again.with_disabled(key.id, True)
    assert disabled.version == 2
    assert disabled.with_disabled(key.id, True) is disabled
    assert keys.KeyRing(disabled, (secret,)).lookup(key.id) == ("ann", plain, True, False)
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
        keys.KeyRing(keys.AccessKeys().with_key(one), (keys.new_secret(),)).lookup(one.id)
    swapped = keys.AccessKey(one.id, one.user, other.sealed)
    with pytest.raises(CorruptMetadata):
        keys.KeyRing(keys.AccessKeys().with_key(swapped), (secret,)).lookup(one.id)


def test_ring_without_the_cluster_secret() -> None:
    """A node that has the keys but not yet the secret says so; a key that does not exist is still just unknown."""
    key, _ = keys.new_key("ann", keys.new_secret(), 0)
    ring = keys.KeyRing(keys.AccessKeys().with_key(key), ())
    with pytest.raises(NotReady, match="has not received"):
        ring.lookup(key.id)
    assert ring.lookup("no-such-key") is None


def test_imported_keys() -> None:
    """A pair from another store works as it is; IDs and secrets outside the rules are refused, secrets unquoted."""
    secret = keys.new_secret()
    key = keys.import_key("ann", "AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", secret, 0)
    found = keys.KeyRing(keys.AccessKeys().with_key(key), (secret,)).lookup(key.id)
    assert found == ("ann", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", False, False)
    for key_id in ("", "ab", "x" * 129, "a/b", "a b", "abc\n"):
        with pytest.raises(BadRequest, match="invalid key ID"):
            keys.import_key("ann", key_id, "12345678", secret, 0)
    for text in ("", "1234567", "x" * 129, "with blank", "12345678\n", "übergross"):
        with pytest.raises(BadRequest, match="invalid key secret: use 8 to 128 printable"):
            keys.import_key("ann", "abc", text, secret, 0)


def test_number_of_keys_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    """One key more than a cluster can have is refused with a sentence."""
    monkeypatch.setattr(keys, "KEYS_MAX", 2)
    secret, found = keys.new_secret(), keys.AccessKeys()
    for _ in range(2):
        found = found.with_key(keys.new_key("ann", secret, 0)[0])
    with pytest.raises(Conflict, match="has 2 access keys, the most"):
        found.with_key(keys.new_key("ann", secret, 0)[0])


def test_nothing_prints_secrets() -> None:
    """The cluster secret and an opened credential can be logged by accident without harm."""
    cluster = keys.ClusterSecret.create("cluster01")
    assert keys.ClusterSecret.decode(cluster.encode()) == cluster
    assert (len(cluster.secret), repr(cluster)) == (32, "ClusterSecret(cluster='cluster01', version=1)")
    key, plain = keys.new_key("ann", cluster.secret, 0)
    assert plain not in repr(keys.KeyRing(keys.AccessKeys().with_key(key), cluster.all).lookup(key.id))


@pytest.mark.parametrize("kind", [keys.AccessKeys, keys.ClusterSecret])
@pytest.mark.parametrize("body", [b"", b"[]", b'{"keys": 5, "secret": 5}', b'{"version": "x"}', b"\xff"])
def test_damaged_values_are_refused(kind: type[keys.AccessKeys | keys.ClusterSecret], body: bytes) -> None:
    """Bytes that are not the JSON of a value are a `BadRequest`."""
    with pytest.raises(BadRequest):
        kind.decode(body)


def test_a_rotation_seals_again() -> None:
    """The new secret alone opens what was sealed again; what was sealed with one before is opened as well."""
    cluster = keys.ClusterSecret.create("uuid")
    key, plain = keys.new_key("ann", cluster.secret, 0)
    before = keys.AccessKeys().with_key(key)
    new = cluster.rotated(1_900_000_000)
    after = before.resealed(cluster.all, new.secret)
    assert (int(new.version), new.all[1:], int(after.version)) == (2, cluster.all, int(before.version) + 1)
    assert keys.KeyRing(after, (new.secret,)).lookup(key.id) == ("ann", plain, False, False)
    assert keys.KeyRing(before, new.all).lookup(key.id) == ("ann", plain, False, False)
    with pytest.raises(CorruptMetadata):
        keys.KeyRing(after, cluster.all).lookup(key.id)
    assert keys.ClusterSecret.decode(new.encode()) == new
    assert keys.ClusterSecret.decode(cluster.encode()) == cluster
    wrapped = LocalKeys(cluster.all).wrap(b"a data key", "id")
    assert LocalKeys(new.all).unwrap(wrapped, "id") == b"a data key"
    with pytest.raises(CorruptMetadata):
        LocalKeys((new.secret,)).unwrap(wrapped, "id")
    again = LocalKeys(new.all).rewrap(wrapped, "id")
    assert again is not None
    assert LocalKeys((new.secret,)).unwrap(again, "id") == b"a data key"
    assert LocalKeys(new.all).rewrap(again, "id") is None
