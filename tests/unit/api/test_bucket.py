"""Bucket identity and its spellings."""

import pytest

from ais.api.bucket import GLOBAL, Bck, Namespace, parse_provider
from ais.base.errors import AisError, BadRequest


def test_uname_and_cname() -> None:
    """What HRW hashes and what people read."""
    assert Bck("b").uname == "ais/@#/b/"
    assert Bck("b", "aws").cname("x/y") == "s3://b/x/y"
    remote = Bck("b", namespace=Namespace("uuid", "ns"))
    assert (remote.uname, remote.cname("o")) == ("ais/@uuid#ns/b/", "ais://@uuid#ns/b/o")
    assert Bck("b", namespace=Namespace("", "ns")).cname() == "ais://#ns/b"


@pytest.mark.parametrize("bck", [Bck("b"), Bck("b", "aws"), Bck("b", namespace=Namespace("u", "n"))])
def test_every_spelling_reads_back(bck: Bck) -> None:
    """URI, uname and query forms name the same bucket."""
    assert Bck.parse_uri(bck.cname("o/p")) == (bck, "o/p")
    assert Bck.parse_uname(bck.uname + "o/p") == (bck, "o/p")
    assert Bck.parse(bck.name, bck.provider, bck.namespace.uname) == bck


def test_aliases() -> None:
    """URI schemes are accepted as providers; nothing means ais."""
    assert [parse_provider(one) for one in ("", "s3", "GS", "az", "oc")] == ["ais", "aws", "gcp", "azure", "oci"]
    assert Namespace.parse("@#") is GLOBAL


@pytest.mark.parametrize("text", ["ais://", "ais:///o", "ftp://b/o", "ais://a b/o", "@u#n", "ais://@u!/b"])
def test_bad_uris(text: str) -> None:
    """A URI without a legal bucket is refused."""
    with pytest.raises(AisError):
        Bck.parse_uri(text)


def test_unknown_provider_lists_the_known() -> None:
    """The message is AIStore's, which clients match on."""
    with pytest.raises(BadRequest) as caught:
        parse_provider("xyz")
    assert str(caught.value) == (
        'invalid backend provider "xyz": must be one of [ais, aws (s3://), gcp (gs://), azure (az://), oci (oc://)]'
    )


@pytest.mark.parametrize("text", ["", "ais", "ais/@#", "ais/b/o", "zzz/@#/b/o", "ais/@#//o"])
def test_bad_unames(text: str) -> None:
    """`bck_to` and `object_to` are checked."""
    with pytest.raises(BadRequest):
        Bck.parse_uname(text)
