"""Paths and queries of object requests."""

import pytest

from ais.base.errors import BadRequest, InvalidName, NotYetImplemented
from ais.target import address


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/v1/objects/b/o", ("b", "o")),
        ("/v1/objects/b/dir/o%20x%2Fy+z", ("b", "dir/o x/y+z")),
        ("/v1/objects/b/%C3%A9", ("b", "é")),
        ("/v1/objects/b/100%25", ("b", "100%")),
        ("/v1/objects/b", ("b", "")),
        ("/v1/objects/", ("", "")),
    ],
)
def test_a_path_names_bucket_and_object(path: str, expected: tuple[str, str]) -> None:
    """Percent-encoding is undone once, a plus stays a plus, slashes belong to the object."""
    assert address.split_path(path) == expected


def test_a_path_that_is_not_utf8_is_refused() -> None:
    """Bytes that are no text cannot be a name."""
    with pytest.raises(BadRequest):
        address.split_path("/v1/objects/b/%FF%FE")


def test_known_parameters_pass() -> None:
    """What proxies add and clients send is taken."""
    address.check_query("GET", {"provider": "ais", "pid": "p", "utm": "1", "latest-ver": "true"})
    address.check_query("PUT", {"provider": "ais", "append_type": "append", "append_handle": ""})
    address.check_query("HEAD", {"props": "size", "presence": "2", "sln": "true"})


@pytest.mark.parametrize("name", ["etl_name", "etl_pipeline"])
def test_features_to_come_are_not_taken_for_a_plain_put(name: str) -> None:
    """Such a PUT means something else than "store this": refused as not implemented."""
    with pytest.raises(NotYetImplemented):
        address.check_query("PUT", {"provider": "ais", name: "x"})


@pytest.mark.parametrize("name", ["tagging", "acl", "append-type", "props"])
def test_a_put_with_an_unknown_parameter_is_refused(name: str) -> None:
    """A parameter that we do not know never falls through to overwriting the object."""
    with pytest.raises(BadRequest):
        address.check_query("PUT", {name: ""})


def test_redirect_marks_are_two() -> None:
    """Both the proxy's ID and its time stamp are needed."""
    assert address.is_redirected({"pid": "p", "utm": "1"})
    assert not address.is_redirected({"pid": "p"})


def test_names_are_checked_and_probes_may_end_with_a_slash() -> None:
    """Only HEAD may ask for a name that ends with a slash."""
    address.check_name("dir/", is_probe=True)
    for name in ("", "dir/", "../x", "/x"):
        with pytest.raises((InvalidName, BadRequest)):
            address.check_name(name)
