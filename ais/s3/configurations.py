"""The configurations of a bucket that are kept and given back as they were put, and what each of them does here.

Source: Amazon S3 API reference, the document of each. What a document asks for and this cluster does not do is refused,
or the answer to its PUT says so in the header `Ais-Note`.
"""

from collections.abc import Callable
from typing import NamedTuple
from xml.etree.ElementTree import Element

from ais.s3 import notifications, replication, xml
from ais.s3.errors import S3Error
from ais.s3.operations import Op
from ais.s3.schema import Node, flag, group, number, one_of, text

NAMED_MAX = 100
"""Inventories (and so on) of one bucket. Amazon takes 1000; every node keeps them in memory."""


class Configuration(NamedTuple):
    """One kind of document. `root`: its element; `get`, `put`, `delete` (None: a PUT of an empty one) its operations.

    `unset`: the S3 code, or the whole document, that a bucket without one is answered with. `check` refuses what is
    well-formed and cannot be done. `note`: what is not done, though it is kept.
    """

    name: str
    root: str
    schema: Node
    get: Op
    put: Op
    delete: Op | None
    unset: str
    check: Callable[[Element], None] | None = None
    note: str = ""
    list: Op | None = None
    """Of documents of which a bucket has several, each with an ID: what lists them."""

    @property
    def is_named(self) -> bool:
        """Whether a bucket has several, told apart by the parameter `id`."""
        return self.list is not None

    def read(self, body: bytes) -> Element:
        """The document. Raise `S3Error` MalformedXML, or why it cannot be done."""
        root = xml.parse(body, self.root)
        self.schema.check(root)
        if self.check is not None:
            self.check(root)
        return root


def _tag() -> Node:
    return group(Key=text(r"[^\0]{1,128}").needed(), Value=text(r"[^\0]{0,256}").needed())


def _filter(**more: Node) -> Node:
    conditions = {"Prefix": text(r"[^\0]{0,1024}"), "Tag": _tag(), **more}
    both = {**conditions, "Tag": _tag().many()}
    return group(**conditions, And=group(**both))


def _grantee() -> Node:
    return group(ID=text(), URI=text(), DisplayName=text(), EmailAddress=text())


def _only_payer(root: Element) -> None:
    if xml.text(root, "Payer") not in ("BucketOwner", "Requester"):
        raise S3Error("MalformedXML")


def _website(root: Element) -> None:
    if root.find("RedirectAllRequestsTo") is None and root.find("IndexDocument") is None:
        raise S3Error("InvalidArgument", "A value for IndexDocument Suffix must be provided if RedirectAllRequestsTo is"
                      " empty")  # fmt: skip
    if root.find("RedirectAllRequestsTo") is not None and len(root) > 1:
        raise S3Error("MalformedXML", "RedirectAllRequestsTo stands alone")
    suffix = root.findtext("IndexDocument/Suffix", "x")
    if not suffix or "/" in suffix:
        raise S3Error("InvalidArgument", "The IndexDocument Suffix is not well formed")


def _abac(root: Element) -> None:
    if xml.text(root, "Status") == "Enabled":
        raise S3Error("NotImplemented", "Access by the tags of a bucket is not supported")


def _destination() -> Node:
    return group(
        S3BucketDestination=group(
            AccountId=text(),
            Bucket=text().needed(),
            BucketAccountId=text(),
            Format=one_of("CSV", "ORC", "Parquet").needed(),
            Prefix=text(r"[^\0]{0,1024}"),
            Encryption=group(**{"SSE-S3": group(), "SSE-KMS": group(KeyId=text().needed())}),
        ).needed()
    ).needed()


def _event(name: str) -> Node:
    filters = group(S3Key=group(FilterRule=group(Name=text().needed(), Value=text(r"[^\0]{0,1024}").needed()).many()))
    return group(Id=text(), Event=text().many(), Filter=filters, **{name: text().needed()}).many()


_LOGGING = group(
    LoggingEnabled=group(
        TargetBucket=text().needed(),
        TargetPrefix=text(r"[^\0]{0,1024}").needed(),
        TargetGrants=group(
            Grant=group(Grantee=_grantee(), Permission=one_of("FULL_CONTROL", "READ", "WRITE")).many(),
        ),
        TargetObjectKeyFormat=group(
            SimplePrefix=group(),
            PartitionedPrefix=group(PartitionDateSource=one_of("EventTime", "DeliveryTime")),
        ),
    )
)
_WEBSITE = group(
    IndexDocument=group(Suffix=text(r"[^\0]{0,1024}").needed()),
    ErrorDocument=group(Key=text().needed()),
    RedirectAllRequestsTo=group(HostName=text().needed(), Protocol=one_of("http", "https")),
    RoutingRules=group(
        RoutingRule=group(
            Condition=group(HttpErrorCodeReturnedEquals=text(r"[45][0-9]{2}"), KeyPrefixEquals=text(r"[^\0]{0,1024}")),
            Redirect=group(
                HostName=text(),
                HttpRedirectCode=text(r"3[0-9]{2}"),
                Protocol=one_of("http", "https"),
                ReplaceKeyPrefixWith=text(r"[^\0]{0,1024}"),
                ReplaceKeyWith=text(r"[^\0]{0,1024}"),
            ).needed(),
        ).many(50)
    ),
)
_STATUS = one_of("Enabled", "Disabled")
_REPLICATION = group(
    Role=text(r"[^\0]{0,2048}").needed(),
    Rule=group(
        ID=text(r"[^\0]{0,255}"),
        Priority=number(10),
        Prefix=text(r"[^\0]{0,1024}"),
        Filter=_filter(),
        Status=_STATUS.needed(),
        SourceSelectionCriteria=group(
            SseKmsEncryptedObjects=group(Status=_STATUS.needed()), ReplicaModifications=group(Status=_STATUS.needed())
        ),
        ExistingObjectReplication=group(Status=_STATUS.needed()),
        DeleteMarkerReplication=group(Status=_STATUS),
        Destination=group(
            Bucket=text().needed(),
            Account=text(),
            StorageClass=text(),
            AccessControlTranslation=group(Owner=one_of("Destination").needed()),
            EncryptionConfiguration=group(ReplicaKmsKeyID=text()),
            ReplicationTime=group(Status=_STATUS.needed(), Time=group(Minutes=number(4))),
            Metrics=group(Status=_STATUS.needed(), EventThreshold=group(Minutes=number(4))),
        ).needed(),
    )
    .many()
    .needed(),
)
_NOTIFICATION = group(
    TopicConfiguration=_event("Topic"),
    QueueConfiguration=_event("Queue"),
    CloudFunctionConfiguration=_event("CloudFunction"),
    EventBridgeConfiguration=group(),
)
_INVENTORY = group(
    Id=text(r"[A-Za-z0-9._-]{1,64}").needed(),
    Destination=_destination(),
    IsEnabled=flag().needed(),
    Filter=group(Prefix=text(r"[^\0]{0,1024}")),
    IncludedObjectVersions=one_of("All", "Current").needed(),
    OptionalFields=group(Field=text(r"[A-Za-z]{1,40}").many(50)),
    Schedule=group(Frequency=one_of("Daily", "Weekly").needed()).needed(),
)
_EXPORT = group(
    S3BucketDestination=group(
        Format=one_of("CSV").needed(), BucketAccountId=text(), Bucket=text().needed(), Prefix=text(r"[^\0]{0,1024}")
    ).needed()
)
_ANALYTICS = group(
    Id=text(r"[A-Za-z0-9._-]{1,64}").needed(),
    Filter=_filter(),
    StorageClassAnalysis=group(
        DataExport=group(OutputSchemaVersion=one_of("V_1").needed(), Destination=_EXPORT.needed())
    ).needed(),
)
_METRICS = group(Id=text(r"[A-Za-z0-9._-]{1,64}").needed(), Filter=_filter(AccessPointArn=text()))
_TIERING = group(
    Id=text(r"[A-Za-z0-9._-]{1,64}").needed(),
    Filter=_filter(),
    Status=_STATUS.needed(),
    Tiering=group(Days=number(5).needed(), AccessTier=one_of("ARCHIVE_ACCESS", "DEEP_ARCHIVE_ACCESS").needed())
    .many(2)
    .needed(),
)

CONFIGURATIONS = (
    Configuration(
        "accelerate",
        "AccelerateConfiguration",
        group(Status=one_of("Enabled", "Suspended").needed()),
        Op.GET_BUCKET_ACCELERATE,
        Op.PUT_BUCKET_ACCELERATE,
        None,
        "<AccelerateConfiguration/>",
        note="kept; this cluster has no accelerated endpoints",
    ),
    Configuration(
        "requestPayment",
        "RequestPaymentConfiguration",
        group(Payer=text().needed()),
        Op.GET_BUCKET_REQUEST_PAYMENT,
        Op.PUT_BUCKET_REQUEST_PAYMENT,
        None,
        "<RequestPaymentConfiguration><Payer>BucketOwner</Payer></RequestPaymentConfiguration>",
        _only_payer,
    ),
    Configuration(
        "logging",
        "BucketLoggingStatus",
        _LOGGING,
        Op.GET_BUCKET_LOGGING,
        Op.PUT_BUCKET_LOGGING,
        None,
        "<BucketLoggingStatus/>",
        note="kept; this cluster does not deliver access logs yet",
    ),
    Configuration(
        "notification",
        "NotificationConfiguration",
        _NOTIFICATION,
        Op.GET_BUCKET_NOTIFICATION,
        Op.PUT_BUCKET_NOTIFICATION,
        None,
        "<NotificationConfiguration/>",
        notifications.check,
    ),
    Configuration(
        "website",
        "WebsiteConfiguration",
        _WEBSITE,
        Op.GET_BUCKET_WEBSITE,
        Op.PUT_BUCKET_WEBSITE,
        Op.DELETE_BUCKET_WEBSITE,
        "NoSuchWebsiteConfiguration",
        _website,
        note="kept; this cluster has no website endpoint yet",
    ),
    Configuration(
        "replication",
        "ReplicationConfiguration",
        _REPLICATION,
        Op.GET_BUCKET_REPLICATION,
        Op.PUT_BUCKET_REPLICATION,
        Op.DELETE_BUCKET_REPLICATION,
        "ReplicationConfigurationNotFoundError",
        replication.check,
        note="the Role is kept and means nothing: what is replicated is written as the owner of this bucket",
    ),
    Configuration(
        "abac",
        "AbacStatus",
        group(Status=_STATUS.needed()),
        Op.GET_BUCKET_ABAC,
        Op.PUT_BUCKET_ABAC,
        None,
        "<AbacStatus><Status>Disabled</Status></AbacStatus>",
        _abac,
    ),
    Configuration(
        "inventory",
        "InventoryConfiguration",
        _INVENTORY,
        Op.GET_BUCKET_INVENTORY,
        Op.PUT_BUCKET_INVENTORY,
        Op.DELETE_BUCKET_INVENTORY,
        "NoSuchConfiguration",
        note="kept; this cluster writes no inventories yet",
        list=Op.LIST_BUCKET_INVENTORY,
    ),
    Configuration(
        "analytics",
        "AnalyticsConfiguration",
        _ANALYTICS,
        Op.GET_BUCKET_ANALYTICS,
        Op.PUT_BUCKET_ANALYTICS,
        Op.DELETE_BUCKET_ANALYTICS,
        "NoSuchConfiguration",
        note="kept; this cluster has one storage class and nothing to analyse",
        list=Op.LIST_BUCKET_ANALYTICS,
    ),
    Configuration(
        "metrics",
        "MetricsConfiguration",
        _METRICS,
        Op.GET_BUCKET_METRICS,
        Op.PUT_BUCKET_METRICS,
        Op.DELETE_BUCKET_METRICS,
        "NoSuchConfiguration",
        note="kept; the metrics of this cluster are at /metrics of each node",
        list=Op.LIST_BUCKET_METRICS,
    ),
    Configuration(
        "intelligent-tiering",
        "IntelligentTieringConfiguration",
        _TIERING,
        Op.GET_BUCKET_TIERING,
        Op.PUT_BUCKET_TIERING,
        Op.DELETE_BUCKET_TIERING,
        "NoSuchConfiguration",
        note="kept; this cluster has one storage class and moves nothing",
        list=Op.LIST_BUCKET_TIERING,
    ),
)


def listed(kind: Configuration, bodies: list[str]) -> bytes:
    """All documents of a kind. Amazon calls the list `ListInventoryConfigurationsResult` and the like."""
    inner = "".join(body.partition("?>")[2].strip() for body in bodies)
    root = f"List{kind.root}sResult"
    return xml.raw(root, f"<IsTruncated>false</IsTruncated>{inner}")
