"""Errors on the wire."""

import pytest

from ais.api import codec, errors
from ais.base import errors as tree
from ais.base.errors import AisError, BucketNotFound, ChecksumMismatch, ObjectNotFound


def _all_errors(kind: type[AisError] = AisError) -> list[type[AisError]]:
    return [one for child in kind.__subclasses__() for one in (child, *_all_errors(child))]


@pytest.mark.parametrize("kind", [one for one in _all_errors() if one.__module__ == tree.__name__])
def test_every_error_has_a_status(kind: type[AisError]) -> None:
    """No class of the tree is left without an HTTP status."""
    error = kind.__new__(kind)
    assert 400 <= errors.status_of(error) <= 507


def test_body_is_the_contract() -> None:
    """Field names, the quoted bucket and the status inside the body are what clients match on."""
    body = codec.parse_json(
        errors.encode_error(
            BucketNotFound("ais://abc"), method="GET", url_path="/v1/x", remote_addr="1.2.3.4:5", node="p[abcd]"
        )
    )
    assert body == {
        "tcode": "ErrBckNotFound",
        "message": 'bucket "ais://abc" does not exist',
        "method": "GET",
        "url_path": "/v1/x",
        "remote_addr": "1.2.3.4:5",
        "caller": "",
        "node": "p[abcd]",
        "status": 404,
    }


def test_plain_error_has_no_tcode() -> None:
    """A plain error leaves tcode out."""
    body = errors.encode_error(tree.BadRequest("no"), method="GET", url_path="/", remote_addr="", node="")
    assert "tcode" not in codec.parse_json(body)


@pytest.mark.parametrize(
    "error", [BucketNotFound("ais://b"), ObjectNotFound("ais://b/o"), ChecksumMismatch("md5", "a", "b", "ais://b/o")]
)
def test_client_rebuilds_the_class(error: AisError) -> None:
    """The error a node answers is the error the client raises, message unchanged."""
    body = errors.encode_error(error, method="GET", url_path="/", remote_addr="", node="t[x]")
    again = errors.decode_error(errors.status_of(error), body, "http://x")
    assert type(again) is type(error)
    assert str(again) == str(error)


def test_foreign_error_bodies_are_kept() -> None:
    """A body that is not ours still gives a sentence with status and URL."""
    error = errors.decode_error(418, b"<html>teapot", "http://x/y")
    assert isinstance(error, errors.RemoteError)
    assert "http://x/y answered 418: <html>teapot" in str(error)
