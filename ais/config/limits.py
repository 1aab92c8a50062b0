"""What one node takes from its clients: the section `limits`. AIStore has no such section; its clients ignore it."""

from typing import Annotated

from ais.base.units import Duration, Size
from ais.config.setting import Section, setting

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30


class Limits(Section, frozen=True):
    """What one node takes from its clients, so that none of them keeps the others out."""

    connections: Annotated[
        int,
        setting(
            "Open connections of a listener; one more is answered 503. Each takes a descriptor and some KiB.",
            ge=16,
            le=1_000_000,
        ),
    ] = 10_000
    connections_per_address: Annotated[
        int,
        setting(
            "Of one client address; for one more the idlest gives way. Half of all, so that one address leaves room.",
            ge=8,
            le=1_000_000,
        ),
    ] = 5000
    handshakes_per_address: Annotated[
        int,
        setting(
            "TLS handshakes in progress of one address: each takes some 300 KiB and up to a millisecond of CPU time.",
            ge=1,
            le=10_000,
        ),
    ] = 64
    handshakes_waiting: Annotated[
        int,
        setting("Connections of one address that wait for theirs: a rack may start at once.", ge=1, le=100_000),
    ] = 1024
    handshake_stalled: Annotated[
        Duration,
        setting("A handshake of this age ends where another waits: a thousand times what it takes.", ge=0.05, le=60),
    ] = Duration(1)
    handshake_timeout: Annotated[
        Duration, setting("The same where none waits: a client on a bad line sends again after seconds.", ge=1, le=300)
    ] = Duration(10)
    body_memory: Annotated[
        Size,
        setting(
            "Request bodies in memory at a time, of all listeners; more wait, then get 503 and Retry-After. One address"
            " gets half. Decoded, a body takes several times as much.",
            ge=4 * MIB,
            le=64 * GIB,
        ),
    ] = Size(256 * MIB)
    body_wait: Annotated[
        Duration, setting("How long a body waits for that: less than what clients wait for an answer.", ge=0, le=300)
    ] = Duration(10)
    body_timeout: Annotated[
        Duration,
        setting("How long such a body may take to arrive: who is slower holds memory for nothing.", ge=1, le=3600),
    ] = Duration(300)
    message_size: Annotated[
        Size,
        setting("A control message; more is 413. No client of AIStore's needs as much.", ge=64 * KIB, le=64 * MIB),
    ] = Size(MIB)
    list_size: Annotated[
        Size,
        setting("A message that may name many objects: a million names of 60 bytes.", ge=MIB, le=GIB),
    ] = Size(64 * MIB)
    list_names: Annotated[
        int,
        setting(
            "Names in such a list; a template or prefix names any number. Each takes some 100 bytes.",
            ge=1000,
            le=10_000_000,
        ),
    ] = 1_000_000
    document_size: Annotated[
        Size,
        setting("An S3 document (XML, JSON) whose size S3 does not state.", ge=16 * KIB, le=16 * MIB),
    ] = Size(64 * KIB)
    keys_document_size: Annotated[
        Size,
        setting("DeleteObjects and CompleteMultipartUpload: 1000 keys of 1 KiB, escaped.", ge=MIB, le=64 * MIB),
    ] = Size(4 * MIB)
    account_metadata: Annotated[
        Size,
        setting(
            "Of one account: buckets with their documents, 1.5 KiB each without; and as much of users, groups, roles,"
            " policies. Every node has all in memory; all accounts together get 75% of `list_size`, and no more.",
            ge=64 * KIB,
            le=GIB,
        ),
    ] = Size(16 * MIB)
    json_depth: Annotated[int, setting("Levels of JSON: four times what any message has.", ge=16, le=512)] = 64
    json_values: Annotated[
        int,
        setting("Values in a JSON message: two for each name of a list. Each takes 50 to 100 bytes.", ge=10_000),
    ] = 2_500_000
    xml_depth: Annotated[int, setting("Levels of XML: twice what any document of S3 has.", ge=8, le=512)] = 16
    xml_tags: Annotated[
        int, setting("Tags of XML: those of 10,000 parts with every checksum, twice over.", ge=40_000, le=10_000_000)
    ] = 250_000

    def check(self) -> None:
        if self.connections_per_address > self.connections:
            raise ValueError("connections_per_address exceeds connections: it would limit nobody")
        if self.body_memory < 2 * max(self.list_size, self.keys_document_size, self.message_size):
            raise ValueError("body_memory has to be twice list_size at least: one client may hold half of it")
        if self.list_size < self.message_size:
            raise ValueError("list_size is below message_size: lists are the longer messages")
        if self.json_values < self.list_names:
            raise ValueError("json_values is below list_names: no list could be that long")
