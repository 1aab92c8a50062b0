"""Changing settings by dotted name and by JSON patch."""

import pytest

from ais.base.errors import BadRequest, Unsupported
from ais.config import change, features, sections
from ais.config.cluster import READ_ONLY, ClusterConfig

DEFAULT = ClusterConfig()


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("checksum.type", "md5", "md5"),
        ("Checksum.Type", "md5", "md5"),
        ("lru.enabled", "off", "false"),
        ("lru.enabled", "Yes", "true"),
        ("timeout.startup_time", "90s", "1m30s"),
        ("log.max_size", "1mib", "1MiB"),
        ("ec.objsize_limit", "1MiB", "1048576"),
        ("ec.objsize_limit", "-1", "-1"),
        ("keepalivetracker.proxy.interval", "500ms", "500ms"),
        ("features", "fsync-put, S3-API-via-Root", "24"),
        ("features", "none", "0"),
        ("auth.required_claims.aud", "one, two", "one,two"),
        ("tracing.attributes", '{"a": "b"}', '{"a":"b"}'),
    ],
)
def test_a_setting_changes_by_name(name: str, text: str, expected: str) -> None:
    """A dotted name in any case and a value as people write it change exactly that setting."""
    before, after = change.flatten(DEFAULT), change.flatten(change.set_values(DEFAULT, {name: text}))
    assert after[name.lower()] == expected
    assert {key for key in after if after[key] != before[key]} <= {name.lower()}


@pytest.mark.parametrize(
    ("name", "text", "part"),
    [
        ("checksum.typ", "md5", 'unknown setting "checksum.typ": did you mean "checksum.type"?'),
        ("nosuch.thing", "1", 'unknown setting "nosuch.thing"'),
        ("checksum", "md5", '"checksum" is a section'),
        ("checksum.type.deep", "1", '"checksum.type" has no parts'),
        ("checksum.type", "md6", 'invalid value "md6" for setting "checksum.type": must be one of'),
        ("lru.enabled", "maybe", "expected true or false"),
        ("ec.data_slices", "many", "expected a whole number"),
        ("ec.data_slices", "33", 'invalid value for setting "ec.data_slices": 33 is above the maximum 32'),
        ("timeout.max_keepalive", "1ms", '"timeout.max_keepalive": 1ms is below the minimum 100ms'),
        ("timeout.max_keepalive", "soon", 'invalid duration "soon"'),
        ("space.lowwm", "99", "cleanupwm <= lowwm <= highwm <= out_of_space"),
        ("net.http.use_https", "true", "use_https needs server_crt and server_key"),
        ("net.s3_domain", "*.example.com", 's3_domain="*.example.com" is no domain name'),
        ("log.level", "9", 'invalid value "9" for setting "log.level": must be one of'),
        ("uuid", "x", 'setting "uuid" is read-only'),
        ("features", "no-such", 'unknown feature flag "no-such"'),
        ("features", "Disable-Cold-GET,Streaming-Cold-GET", "exclude each other"),
        ("auth.client_auth_required", "true", "client_auth_required=true needs auth.signature.key"),
        ("rate_limit.frontend.per_op_max_tokens", "list:5", "list:5"),
    ],
)
def test_a_bad_setting_is_refused_by_name(name: str, text: str, part: str) -> None:
    """Every way a change can be wrong gets an error that names the setting and says what was expected."""
    with pytest.raises(BadRequest) as caught:
        change.set_values(DEFAULT, {name: text})
    assert part in str(caught.value)


def test_settings_that_need_each_other_change_together() -> None:
    """Values that are only valid together apply in one change."""
    changed = change.set_values(DEFAULT, {"space.lowwm": "96", "space.highwm": "97", "space.out_of_space": "98"})
    assert (changed.space.lowwm, changed.space.highwm, changed.space.out_of_space) == (96, 97, 98)


def test_nothing_to_change_is_an_error() -> None:
    """A change without settings is refused, as AIStore does."""
    with pytest.raises(BadRequest, match="no settings"):
        change.set_values(DEFAULT, {})


def test_flatten_and_set_values_are_inverse() -> None:
    """The text of every setting, set again, gives the same configuration."""
    texts = {name: text for name, text in change.flatten(DEFAULT).items() if name not in READ_ONLY}
    assert change.set_values(DEFAULT, texts) == DEFAULT


def test_a_patch_changes_what_it_names() -> None:
    """A JSON patch matches keys in any case, takes wire types, and leaves out what is null or absent."""
    patch = {"Checksum": {"TYPE": "md5", "validate_warm_get": None}, "lru": None, "log": {"max_size": "1MiB"}}
    expected = {"checksum.type": "md5", "log.max_size": "1MiB"}
    assert change.apply_patch(DEFAULT, patch) == change.set_values(DEFAULT, expected)
    assert list(change.changed_names(patch)) == ["checksum.type", "log.max_size"]


@pytest.mark.parametrize(
    "patch", [[], "x", {"checksum": 5}, {"checksum": {"type": 5}}, {"space": {"lowwm": "x"}}, {"nosuch": {}}]
)
def test_a_bad_patch_is_refused(patch: object) -> None:
    """A patch of the wrong shape or types is a `BadRequest`, never a crash."""
    with pytest.raises(BadRequest):
        change.apply_patch(DEFAULT, patch)


def test_a_patch_applies_to_one_section_alone() -> None:
    """Bucket properties use the same code on a section by itself."""
    assert change.apply_patch(sections.Mirror(), {"copies": 3}).copies == 3


def test_names_of_older_versions_still_work() -> None:
    """`auth.cluster_key` is what `auth.intra_cluster` used to be called."""
    changed = change.apply_patch(DEFAULT, {"auth": {"cluster_key": {"enabled": True, "ttl": "1h"}}})
    assert changed.auth.intra_cluster == sections.AuthIntraCluster(
        request_auth=True, ttl=changed.auth.intra_cluster.ttl
    )
    assert str(changed.auth.intra_cluster.ttl) == "1h0m"


@pytest.mark.parametrize("name", ["net.http.idle_conn_time", "timeout.max_keepalive", "keepalivetracker.num_retries"])
def test_some_settings_cannot_be_transient(name: str) -> None:
    """The sections of wire contract §12.7 are refused with a 501."""
    with pytest.raises(Unsupported):
        change.check_transient([name])


def test_other_settings_can_be_transient() -> None:
    """The rule covers exact settings of `timeout`, not all of them."""
    change.check_transient(["timeout.startup_time", "checksum.type", "network"])


def test_cluster_wide_settings_have_no_node_override() -> None:
    """A node cannot have its own bucket defaults."""
    with pytest.raises(BadRequest, match="belongs to the whole cluster"):
        change.check_node_override(["mirror.copies"])


def test_reset_keeps_the_identity() -> None:
    """Resetting brings back the initial settings, not the initial version or UUID."""
    changed = change.set_values(DEFAULT, {"checksum.type": "md5"}).next_version("now")
    back = change.reset(changed, DEFAULT)
    assert back.checksum.type == "xxhash2"
    assert (back.config_version, back.lastupdate_time) == (1, "now")


def test_feature_flags_have_their_bits() -> None:
    """Names and numbers of flags agree with AIStore's order."""
    assert features.parse("Fsync-PUT") == 1 << 4
    assert features.parse("S3-Redirect-Rebuild") == 1 << 27
    assert features.describe(features.parse("16")) == ["Fsync-PUT"]


def test_a_bucket_takes_bucket_flags_only() -> None:
    """Cluster-wide flags on a bucket and unknown bits are refused."""
    features.check(features.parse("Fsync-PUT"), of_bucket=True)
    for flags in (features.parse("S3-API-via-Root"), 1 << 40):
        with pytest.raises(BadRequest):
            features.check(flags, of_bucket=True)
