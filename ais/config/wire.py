"""The JSON of settings as AIStore's clients know it: what it leaves out while it has its default, we leave out too.

Its clients print every key they find. Persisted configuration has all keys; this is only for showing.
"""

from collections.abc import Callable
from typing import Any

import msgspec

from ais.api import codec
from ais.config import receivers, sections
from ais.config.cluster import ClusterConfig
from ais.config.local import LocalConfig
from ais.config.receivers import CENSORED
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
_SECRETS: dict[tuple[type[msgspec.Struct], str], Callable[[Any], Any]] = {
    (sections.AuthSignature, "key"): lambda key: CENSORED if key else key,
    (sections.Net, "s3_events"): lambda found: [_receiver(one) for one in found],
}
"""How fields are shown in which something is secret."""


def shown(section: msgspec.Struct) -> dict[str, Any]:
    """A section (or any struct of sections) as its JSON reads, secrets replaced."""
    omitted = OMITTED.get(type(section), frozenset())
    tree: dict[str, Any] = {}
    for field in msgspec.structs.fields(section):
        value = getattr(section, field.name)
        if value is msgspec.UNSET or ((omitted is _ALL or field.name in omitted) and value == field.default):
            continue
        if (hide := _SECRETS.get((type(section), field.name))) is not None:
            value = hide(value)
        tree[field.encode_name] = shown(value) if isinstance(value, Section) else codec.to_builtins(value)
    return tree


def _receiver(setting: str) -> str:
    """`NAME=URL`."""
    name, mark, url = setting.partition("=")
    return f"{name}{mark}{receivers.shown(url)}"
