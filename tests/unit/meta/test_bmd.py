"""Bucket metadata as a value, its JSON, and changes of properties."""

import json
from typing import Any

import pytest

from ais.api.bucket import Bck
from ais.api.codec import U64
from ais.base.errors import BadRequest, BucketExists, BucketNotFound, NotEnoughTargets, NotYetImplemented
from ais.config import sections
from ais.config.cluster import ClusterConfig
from ais.config.sections import EC, FrontendRate, RateLimit
from ais.meta.bmd import BMD, Bprops, apply_props, inherited_props, new_bid, with_coding

B = Bck("b")


def test_json_is_the_contracts() -> None:
    """Buckets are grouped by provider and namespace; numbers of 64 bits are strings."""
    bmd = BMD("uuid", 4).with_bucket(Bck.parse("b", "ais", "#ns"), Bprops(bid=new_bid("ais", 1, 5)))
    value = json.loads(bmd.encode())
    assert (value["version"], value["uuid"]) == ("5", "uuid")
    props = value["providers"]["ais"]["@#ns"]["b"]
    assert props["bid"] == str(1 << 63 | 1 << 32 | 5)
    assert props["access"] == "18446744073709551615"
    assert set(props) >= {"backend_bck", "write_policy", "Renamed", "checksum", "extra", "rate_limit", "ec", "chunks"}


def test_json_round_trip() -> None:
    """What we write we read, in every namespace."""
    bmd = BMD("uuid", 1)
    for bck in (B, Bck.parse("b", "ais", "#ns"), Bck.parse("c", "aws"), Bck.parse("d", "ais", "@remote#ns")):
        bmd = bmd.with_bucket(bck, Bprops(provider=bck.provider))
    assert BMD.decode(bmd.encode()) == bmd
    assert [bucket.uname for bucket in bmd][:2] == ["ais/@#/b/", "ais/@#ns/b/"]


def test_buckets_come_and_go() -> None:
    """Each change is a version of its own; unknown and existing buckets are named."""
    bmd = BMD("uuid", 1).with_bucket(B, Bprops())
    assert bmd.version == 2
    with pytest.raises(BucketExists, match="ais://b"):
        bmd.with_bucket(B, Bprops())
    gone = bmd.without_bucket(B)
    assert (gone.version, gone.get(B)) == (3, None)
    with pytest.raises(BucketNotFound, match='"ais://b" does not exist'):
        gone.require(B)


def test_bucket_ids_are_never_given_twice() -> None:
    """The term is part of the ID; ais buckets have the top bit."""
    ids = {new_bid("ais", term, version) for term in range(1, 5) for version in range(1, 50)}
    assert len(ids) == 4 * 49
    assert all(one >> 63 for one in ids)
    assert not new_bid("aws", 1, 1) >> 63


def test_new_buckets_copy_the_configuration() -> None:
    """Properties start as the cluster's; eviction is off for ais:// and cluster-only features are left out."""
    config = ClusterConfig(features=1 << 4 | 1 << 3)  # type: ignore[arg-type]
    props = inherited_props(B, config)
    assert (props.checksum, props.mirror, props.features) == (config.checksum, config.mirror, 1 << 4)
    assert (config.lru.enabled, props.lru.enabled) == (True, False)
    assert inherited_props(Bck("b", "aws"), config).lru.enabled


def test_properties_change_by_key_in_any_case() -> None:
    """Only what is named changes; identity is ignored, null means unchanged."""
    patch = {"Versioning": {"ENABLED": False}, "access": "15", "bid": "7", "checksum": None}
    changed = apply_props(Bprops(), patch, 3)
    assert (changed.versioning.enabled, changed.access, changed.bid) == (False, 15, 0)
    assert changed.checksum == Bprops().checksum
    assert apply_props(Bprops(), None, 3) == Bprops()


@pytest.mark.parametrize(
    ("patch", "message"),
    [
        ({"checksum": {"type": "sha3"}}, "checksum.type"),
        ({"checksum": "md5"}, '"checksum": expected an object'),
        ({"access": "-1"}, "64-bit"),
        ({"access": 1}, "not a string"),
        ({"lru": {"nosuch": 1}}, 'unknown field "lru.nosuch"'),
        ({"access": str(1 << 64)}, "64-bit"),
        ({"features": "8"}, "whole cluster"),
        ({"mirror": {"copies": 1, "enabled": True}}, "at least 2"),
        ({"mirror": {"enabled": True}, "chunks": {"objsize_limit": "1B"}}, "exclude each other"),
        ({"ec": {"enabled": True}}, "at least 5 targets"),
        ({"backend_bck": {"name": "something", "provider": "ais"}}, 'backend bucket "ais://something" must be remote'),
        ({"rate_limit": {"frontend": {"per_op_max_tokens": "list:5"}}}, "list:5"),
        ([], "JSON object"),
    ],
)
def test_bad_properties(patch: Any, message: str) -> None:
    """Every bad value is refused with a sentence that names it."""
    with pytest.raises(BadRequest, match=message):
        apply_props(Bprops(), patch, 3)


def test_a_bucket_at_a_backend_takes_the_settings_of_that_one_only() -> None:
    """What would have no effect is refused; one of ours may be linked to any later."""
    creds = {"extra": {"gcp": {"application_creds": "/etc/key.json"}}}
    for provider in ("gcp", "ais"):
        assert apply_props(Bprops(provider=provider), creds, 3).extra.gcp.application_creds == "/etc/key.json"
    with pytest.raises(BadRequest, match=r'extra\.gcp is for buckets of provider "gcp", this one has "azure"'):
        apply_props(Bprops(provider="azure"), creds, 3)
    for path in ("key.json", "/etc/../key.json", "/etc//key.json"):
        with pytest.raises(BadRequest, match="absolute path"):
            apply_props(Bprops(provider="gcp"), {"extra": {"gcp": {"application_creds": path}}}, 3)


@pytest.mark.parametrize(("provider", "part", "name"), [("aws", "aws", "endpoint"), ("ht", "http", "original_url")])
def test_urls_of_a_bucket(provider: str, part: str, name: str) -> None:
    """Whoever sees the bucket sees them: they have no password. Names follow them: they have no query. What was set
    before there was this rule stays."""

    def patch(url: str) -> dict[str, Any]:
        return {"extra": {part: {name: url}}}

    for url in ("http://host:9000", "https://host/some/path", ""):
        found = apply_props(Bprops(provider=provider), patch(url), 3)
        assert getattr(getattr(found.extra, part), name) == url
    for url in (
        "host",
        "ftp://host",
        "https://",
        "http://user:hidden@host",
        "http://host/?t=hidden",
        "http://host/#hidden",
    ):
        with pytest.raises(BadRequest, match=name) as refused:
            apply_props(Bprops(provider=provider), patch(url), 3)
        assert "hidden" not in str(refused.value)
    kept = sections.Extra(
        aws=sections.ExtraAWS(endpoint="http://a:b@c"), http=sections.ExtraHTTP(original_url="http://a:b@c")
    )
    before = Bprops(provider=provider, extra=kept)
    assert apply_props(before, {"lru": {"enabled": False}}, 3).extra == kept


def test_a_link_is_what_its_patch_says() -> None:
    """The gate asks for the right to the bucket that the patch names: nothing of the link before stays."""
    linked = Bprops(backend_bck=Bck("mine", "aws"))
    with pytest.raises(BadRequest, match='backend bucket "ais://other" must be remote'):
        apply_props(linked, {"Backend_Bck": {"NAME": "other"}}, 3)
    assert apply_props(linked, {"backend_bck": {"name": "other", "provider": "gs"}}, 3).backend_bck.name == "other"
    assert apply_props(linked, {"backend_bck": {"name": "", "provider": ""}}, 3).backend_bck == Bprops().backend_bck
    assert apply_props(linked, {"backend_bck": None}, 3) == linked


def test_what_we_cannot_keep_we_do_not_promise() -> None:
    """Remote backends are refused until they exist."""
    with pytest.raises(NotYetImplemented):
        apply_props(Bprops(), {"backend_bck": {"name": "b", "provider": "oci"}}, 3)


ALONE = {"ec": {"enabled": True, "data_slices": 2, "parity_slices": 1}, "protection": {"slices_only": True}}


@pytest.mark.parametrize(
    ("patch", "message"),
    [
        ({"protection": {"slices_only": True}}, "set ec.enabled too"),
        ({**ALONE, "mirror": {"enabled": True, "copies": 2}}, "exclude each other"),
    ],
)
def test_slices_alone_are_for_coded_buckets_without_copies(patch: Any, message: str) -> None:
    """What does not go together with slices alone is refused; they take D + P targets, a replica takes one more."""
    with pytest.raises(BadRequest, match=message):
        apply_props(Bprops(), patch, 3)
    props = apply_props(Bprops(), ALONE, 3)
    with pytest.raises(NotEnoughTargets):
        apply_props(Bprops(), ALONE, 2)
    off = apply_props(props, {"ec": {"enabled": False}, "protection": {"slices_only": False}}, 3)
    assert (props.is_coded, off.is_coded, Bprops().is_coded) == (True, True, False)


def test_unchanged_buckets_are_not_decoded_again() -> None:
    """Reading a version that differs in one bucket reuses the others."""
    old = BMD("uuid", 1).with_bucket(B, Bprops()).with_bucket(Bck("c"), Bprops())
    new = BMD.decode(old.with_props(B, Bprops(access=U64(1))).encode(), old)
    assert new.require(Bck("c")) is old.require(Bck("c"))
    assert new.require(B).props.access == 1


def test_a_limit_that_was_kept_when_it_had_no_effect_can_be_read() -> None:
    """Any text was taken for it: a cluster that has one starts, and its other properties change."""
    kept = Bprops(rate_limit=RateLimit(frontend=FrontendRate(per_op_max_tokens="head:5")))
    bmd = BMD("uuid", 1).with_bucket(B, kept)
    assert BMD.decode(bmd.encode()) == bmd
    assert apply_props(kept, {"access": "15"}, 3).rate_limit == kept.rate_limit


@pytest.mark.parametrize("body", [b"", b"[]", b'{"version":"x"}', b'{"providers":{"ais":{"@#":{"b":{"access":[]}}}}}'])
def test_bad_bucket_metadata(body: bytes) -> None:
    """What is not bucket metadata is refused."""
    with pytest.raises(BadRequest):
        BMD.decode(body)


def test_erasure_coding_that_is_switched_on_again_has_an_id_of_its_own() -> None:
    """Neither when it is on all the time, nor for a bucket that is made with it, nor of what clients ask for."""
    coded, plain = Bprops(ec=EC(enabled=True)), Bprops()
    assert with_coding(coded, coded, 1, 5) is coded
    assert with_coding(coded, plain, 1, 5) is plain
    again = with_coding(plain, coded, 1, 6)
    assert again.coding_id == new_bid("ais", 1, 6)
    assert apply_props(again, {"coding_id": "1", "ec": {"enabled": False}}, 5).coding_id == again.coding_id
