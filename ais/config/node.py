"""The configuration as one node sees it: the cluster's, with this node's own values laid over it."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ais.base.errors import BadRequest
from ais.config import change, wire
from ais.config.cluster import ClusterConfig
from ais.config.local import LocalConfig


@dataclass(frozen=True)
class NodeConfig:
    """An immutable value; every change gives a new one.

    `shared` is what the cluster agreed on, and what the primary versions and persists. `cluster` is what this node acts
    on: `shared`, then this node's `overrides` (persisted by the node), then `transient` ones (lost on restart), then
    those of the environment. All three map dotted names to text.
    """

    shared: ClusterConfig = field(default_factory=ClusterConfig)
    local: LocalConfig = field(default_factory=LocalConfig)
    overrides: Mapping[str, str] = field(default_factory=dict)
    transient: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    cluster: ClusterConfig = field(init=False)

    def __post_init__(self) -> None:
        values = {**self.overrides, **self.transient, **self.environment}
        object.__setattr__(self, "cluster", change.set_values(self.shared, values) if values else self.shared)

    def with_shared(self, shared: ClusterConfig) -> "NodeConfig":
        """Take a new version of the cluster's configuration.

        A transient value gives way to a newer version that sets the same thing; own values that contradict the new
        version (say a watermark above the next one) are dropped rather than refuse what the cluster agreed on.
        """
        before, after = change.flatten(self.shared), change.flatten(shared)
        transient = {name: text for name, text in self.transient.items() if before.get(name) == after.get(name)}
        try:
            return replace(self, shared=shared, transient=transient)
        except BadRequest:
            return replace(self, shared=shared, overrides={}, transient={})

    def with_overrides(self, values: Mapping[str, str], *, transient: bool = False) -> "NodeConfig":
        """Set values for this node only. Raise `BadRequest`, or `Unsupported` for what cannot be transient."""
        change.check_node_override(values)
        return self.with_transient(values) if transient else replace(self, overrides={**self.overrides, **values})

    def with_transient(self, values: Mapping[str, str]) -> "NodeConfig":
        """Set values until the next restart or the next change of the same setting."""
        change.check_transient(values)
        return replace(self, transient={**self.transient, **values})

    def without_overrides(self) -> "NodeConfig":
        """Back to what the cluster agreed on."""
        return replace(self, overrides={}, transient={})

    def wire(self) -> dict[str, Any]:
        """The answer to `what=config`: cluster and local settings in one flat object, secrets replaced."""
        merged = wire.shown(self.cluster)
        merged |= wire.shown(self.local)
        return merged
