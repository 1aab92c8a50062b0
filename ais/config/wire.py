"""The JSON of settings as AIStore's clients know it: what it leaves out while it has its default, we leave out too.

Its clients print every key they find. Persisted configuration has all keys; this is only for showing.
"""

from typing import Any

import msgspec

from ais.api import codec
from ais.config import sections
from ais.config.cluster import ClusterConfig
from ais.config.local import LocalConfig
from ais.config.setting import Section

_ALL = frozenset({"*"})
OMITTED: dict[type[msgspec.Struct], frozenset[str]] = {
    ClusterConfig: frozenset({"tracing", "statsd", "limits"}),
    sections.Auth: frozenset({"enabled", "signature", "required_claims", "oidc", "vault", "intra_cluster"}),
    sections.Net: frozenset({"s3_domain", "s3_object_ownership", "s3_events", "s3_replicas", "hosts"}),
    LocalConfig: frozenset({"egress_networks", "mountpath_roots", "promote_roots", "workers"}),
    sections.BackendRate: frozenset({"per_op_max_tokens"}),
    sections.FrontendRate: frozenset({"per_op_max_tokens"}),
    sections.Chunks: frozenset({"checkpoint_every", "flags"}),
    sections.Extra: frozenset({"custom", "http"}),
    sections.ExtraAWS: _ALL,
    sections.ExtraGCP: _ALL,
    sections.ExtraOCI: _ALL,
}
"""Fields that are left out while they have their default, by section."""
CENSORED = "**********"
_SECRETS: dict[type[msgspec.Struct], frozenset[str]] = {sections.AuthSignature: frozenset({"key"})}
"""Fields that are shown as `CENSORED` when they are set."""


def shown(section: msgspec.Struct) -> dict[str, Any]:
    """A section (or any struct of sections) as its JSON reads, secrets replaced."""
    secret, omitted = _SECRETS.get(type(section), frozenset()), OMITTED.get(type(section), frozenset())
    tree: dict[str, Any] = {}
    for field in msgspec.structs.fields(section):
        value = getattr(section, field.name)
        if value is msgspec.UNSET or ((omitted is _ALL or field.name in omitted) and value == field.default):
            continue
        if field.name in secret and value:
            value = CENSORED
        tree[field.encode_name] = shown(value) if isinstance(value, Section) else codec.to_builtins(value)
    return tree
