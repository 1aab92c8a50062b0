"""Session tokens: only the cluster reads them, and they end with what they were given for."""

import pytest
from msgspec.structs import replace

from ais.api.codec import U64
from ais.auth import keys as access_keys
from ais.auth import sessions
from ais.auth.iam import Iam, Role
from ais.auth.keys import AccessKeys, KeyRing
from ais.auth.sessions import Session
from ais.s3 import identity
from ais.s3.errors import S3Error
from ais.s3.principals import Principals

SECRET, OTHER = b"s" * 32, b"o" * 32


def test_a_token_is_opened_by_its_cluster_alone() -> None:
    """Another secret, or one changed character, opens nothing; the secret does not stand in it."""
    key, secret = sessions.new_credentials()
    session = Session(key, secret, "ann", 1, 2, user="ann")
    token = sessions.seal(session, SECRET)
    assert sessions.unseal(token, SECRET) == session
    assert sessions.unseal(token, OTHER) is None
    assert secret not in token
    assert secret not in repr(session)
    for place in range(len(sessions.PREFIX), len(token) - 4, 7):
        changed = token[:place] + ("A" if token[place] != "A" else "B") + token[place + 1 :]
        assert sessions.unseal(changed, SECRET) is None


def test_a_session_ends_with_its_key() -> None:
    """When the access key is disabled, removed, or belongs to somebody else, the session is over; so it is in time."""
    key, _ = access_keys.new_key("ann", SECRET, 1)
    known = AccessKeys().with_key(key)
    session = Session("ASIAX", "secret", "ann", 100, 200, user="ann", parent=key.id)
    token = sessions.seal(session, SECRET)
    assert KeyRing(known, (SECRET,)).session(token) == session
    assert KeyRing(known.with_disabled(key.id, True), (SECRET,)).session(token) is None
    assert KeyRing(known.without_key(key.id), (SECRET,)).session(token) is None
    principals = Principals(Iam())
    assert identity.credential(KeyRing(known, (SECRET,)), principals, "ASIAX", token, 199)[1].user == "ann"
    for key_id, now_s, code in (("ASIAX", 200, "ExpiredToken"), ("ASIAY", 150, "InvalidToken")):
        with pytest.raises(S3Error) as caught:
            identity.credential(KeyRing(known, (SECRET,)), principals, key_id, token, now_s)
        assert caught.value.code == code


def test_a_session_of_a_role_is_of_that_role() -> None:
    """A later role of the same name is another one."""
    role = Role(name="r", account="ann", id="AROA1", trust="{}")
    known = AccessKeys().with_iam(Iam().with_entity(role))
    token = sessions.seal(Session("ASIAX", "secret", "ann", 1, 2, role="r", role_id="AROA1", name="job"), SECRET)
    assert KeyRing(known, (SECRET,)).session(token) is not None
    again = known.with_iam(known.iam.with_entity(replace(role, id="AROA2")))
    assert KeyRing(again, (SECRET,)).session(token) is None


def test_sessions_outlive_the_secret_for_a_moment() -> None:
    """In the grace after a rotation the secret before opens a session, later not; one before that never does."""
    key, _ = access_keys.new_key("ann", SECRET, 1)
    known, in_grace = AccessKeys().with_key(key), [True]
    token = sessions.seal(Session("ASIAX", "secret", "ann", 100, 200, user="ann", parent=key.id), OTHER)
    ring = KeyRing(known, (SECRET, OTHER), lambda: in_grace[0])
    assert ring.session(token) is not None
    assert KeyRing(known, (SECRET, b"x" * 32, OTHER), lambda: True).session(token) is None
    assert KeyRing(known.without_key(key.id), (SECRET, OTHER), lambda: True).session(token) is None
    in_grace[0] = False
    assert ring.session(token) is None


def test_kept_as_json() -> None:
    """Users, groups and roles come back from what is kept; what was kept before there were any is read as none."""
    known = AccessKeys().with_iam(
        Iam().with_entity(Role(name="r", account="ann", id="AROA1", trust="{}", created=U64(7)))
    )
    assert AccessKeys.decode(known.encode()) == known
    assert AccessKeys.decode(b'{"version":"3","keys":{},"revoked":{}}').iam == Iam()
