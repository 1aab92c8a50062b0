"""The entrance of S3 requests, on any node: what is asked, who asks, may they, and which node answers.

A node that does not own an object sends the request on as it came, with a note (`ais.s3.via`); the owner verifies the
signature itself. So each request is authenticated once, by the node that executes it, before anything happens.
"""

import contextlib
import os
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Protocol, TypeVar

import msgspec

from ais.api import access
from ais.api.access import Access
from ais.api.bucket import Bck
from ais.auth.keyservice import KeyService, LocalKeys
from ais.auth.nodes import Nonces, Seen
from ais.auth.tokens import Claims
from ais.base.errors import AccessDenied, AisError, BadRequest, NotReady, Unauthenticated
from ais.config.limits import Limits
from ais.config.node import NodeConfig
from ais.config.sections import AuthVault
from ais.iam import answers as iam_answers
from ais.meta.bmd import BMD, Bprops
from ais.meta.placement import Placement
from ais.meta.smap import Smap, Snode
from ais.net.http import Forward, Peer, Reply, Request, header_lines
from ais.node import clients
from ais.node.browsers import Browsers
from ais.node.clients import Clients
from ais.node.vault import VaultKeys
from ais.s3 import acl, actions, answers, cors, facts, front, identity, lock, new_object, permissions, policy, via
from ais.s3.acl import OWNER_ID
from ais.s3.buckets import S3Bucket, S3Buckets
from ais.s3.errors import S3Error
from ais.s3.facts import Facts
from ais.s3.front import S3Request
from ais.s3.identity import Identity
from ais.s3.operations import Op
from ais.s3.policy import Verdict
from ais.s3.principals import Principals
from ais.s3.signers import SECURITY, Signers
from ais.s3.via import Via

_VIA = via.HEADER.lower()
BYPASS_GOVERNANCE = "s3:BypassGovernanceRetention"
LINE_AGE_S_MAX = 10
"""How long reads of one target and address are passed on with the same note, a sixth of what it is good for."""
NOTES_MAX = 8192
NOTED_LEN_MAX = 2048
"""Of a request target whose note is kept: anybody may send longer ones, and all would be in memory."""
K = TypeVar("K")
V = TypeVar("V")
_READS = ("GET", "HEAD")
_CHANGES = ("PUT", "POST", "DELETE")
Said = Mapping[str, str | None]
NOTHING: Said = {}
NO_LISTING: Said = dict.fromkeys(("s3:prefix", "s3:delimiter", "s3:max-keys", "s3:versionid"))
"""Of what is not what the request names: its parameters say nothing of that."""
_MAKES_OBJECTS = frozenset((Op.PUT_OBJECT, Op.COPY_OBJECT, Op.CREATE_MULTIPART_UPLOAD))


def of_version(version_id: str | None) -> Said:
    """Of a version that is not what the request names."""
    return {**NO_LISTING, "s3:versionid": version_id}


class Host(clients.Host, Protocol):
    """What the gate needs of the node. The values are replaced, never changed."""

    @property
    def bmd(self) -> BMD: ...
    @property
    def placement(self) -> Placement: ...
    @property
    def sure_ns(self) -> int: ...


class Coded(Protocol):
    """A bucket of which may be read while the owner of an object is away."""

    @property
    def uname(self) -> str: ...
    @property
    def props(self) -> Bprops: ...


class _Line(NamedTuple):
    """A header line by which reads are passed on, and what it was made with."""

    line: bytes
    key: bytes
    smap: Smap
    made_s: float


class Gate:
    """One per node."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self.clients = Clients(host)
        """Who sends a request, by its token."""
        self._browsers = Browsers(host)
        self._ids = answers.RequestIds(host.env.rng)
        self._buckets = S3Buckets(host.bmd)
        self._keys: tuple[tuple[tuple[bytes, ...], AuthVault], KeyService] | None = None
        self._principals = Principals(host.keyring.iam, host.keyring.admins)
        self._config: NodeConfig | None = None
        self._needs_proof: bool | None = None
        self._signers = Signers()
        self._bearers = Signers()
        """What is signed beside a token, which nobody compares."""
        self._lines: dict[tuple[str, str, str, str, str, int], _Line] = {}
        self._notes_read: dict[tuple[str, str, str], tuple[tuple[bytes, ...], Via]] = {}
        self.notes: Seen = Nonces(lambda: self.now_s)
        """Changes that other nodes passed on."""

    @property
    def domain(self) -> str:
        """Domain of virtual-host style requests; empty when there are none."""
        return self._host.config.cluster.net.s3_domain

    @property
    def limits(self) -> Limits:
        """What clients may send."""
        return self._host.config.cluster.limits

    @property
    def buckets(self) -> S3Buckets:
        """The buckets of the present BMD."""
        if self._buckets.bmd is not self._host.bmd:
            self._buckets = S3Buckets(self._host.bmd)
        return self._buckets

    @property
    def keys(self) -> KeyService:
        """What wraps the data keys of encrypted objects."""
        secrets, vault = self._host.cluster_secrets, self._host.config.cluster.auth.vault
        if self._keys is None or self._keys[0] != (secrets, vault):
            own = LocalKeys(secrets)
            self._keys = ((secrets, vault), VaultKeys(vault, own, self._host.env.clock) if vault.url else own)
        return self._keys[1]

    @property
    def waits_for_keys(self) -> bool:
        """Whether `keys` may raise `KeyPending`."""
        return bool(self._host.config.cluster.auth.vault.url)

    @property
    def principals(self) -> Principals:
        """Users and roles of the present access keys, with their policies."""
        ring, known = self._host.keyring, self._principals
        if known.iam is not ring.iam or known.admins is not ring.admins:
            self._principals = Principals(ring.iam, ring.admins)
        return self._principals

    @property
    def now_s(self) -> float:
        """Unix seconds."""
        return self._host.env.clock.now_ns() / 1e9

    @property
    def sure_s(self) -> float:
        """Unix seconds that have come by other clocks too: what a retention ends by."""
        return self._host.sure_ns / 1e9

    def needs_proof(self, request: Request) -> bool | None:
        """Whether its client has to prove that it may; None unless the path alone says what a request is: neither a
        node nor a browser sends it, and no `Host` is a bucket's."""
        if self._host.config is not self._config:
            self._follow_config()
        return self._needs_proof if request.headers.is_direct else None

    def is_admitted(self, request: Request) -> bool:
        """Whether its path alone says what a request is, and everybody may send it, or a gateway has admitted it: then
        its mark is taken off."""
        if self._host.config is not self._config:
            self._follow_config()
        if self._needs_proof is None or not request.headers.is_direct:
            return False
        return not self._needs_proof or self.clients.take_mark(request)

    def _follow_config(self) -> None:
        self._config = config = self._host.config
        self._needs_proof = None if self.domain else config.cluster.auth.is_closed

    def is_never_native(self, request: Request) -> bool:
        """Whether a request is S3's whatever its path says: a node passed it on as such, or its `Host` is a bucket's.

        Ask this before anything else on every node: both roles must take a request for the same thing.
        """
        domain = self._host.config.cluster.net.s3_domain
        return self.is_passed_on(request) or (bool(domain) and front.is_virtual(request, domain))

    def is_s3(self, request: Request) -> bool:
        """Whether a request is S3's."""
        return _VIA in request.headers or front.is_s3(request, self.domain)

    def check_page(self, request: Request) -> None:
        """Raise `AccessDenied` for what a page of another site has a browser send; over S3 while nobody has to sign.

        There reads pass, as other sites may show what is public, and what the bucket's CORS rules allow. A GET may
        change accounts, so that none of a browser's passes there.
        """
        if not self.is_s3(request):
            self._browsers.check(request)
            return
        if self._is_closed or self.is_passed_on(request):
            return
        self._browsers.check_name(request, self.domain)
        if self.is_query(request) and (request.headers.is_foreign or request.method == "GET"):
            raise AccessDenied("a browser's page cannot change accounts")
        if request.headers.is_foreign and request.method in _CHANGES:
            bucket_name, _ = self.address(request)
            if not self._cross_origin(request, bucket_name):
                raise AccessDenied(
                    "a page of another site cannot change this cluster: let the bucket's CORS rules allow it"
                )

    def is_passed_on(self, request: Request) -> bool:
        """Whether a node says that it has taken the request before."""
        return _VIA in request.headers

    def address(self, request: Request) -> tuple[str, str]:
        """Bucket and key of an S3 request; both may be empty. Raise `BadRequest` for bytes that are not UTF-8."""
        return front.address(request, self.domain)

    def is_query(self, request: Request) -> bool:
        """Whether a request is one of IAM or STS."""
        return front.is_query(request, self.domain)

    def open(self, request: Request) -> S3Request:
        """Read the head. Raise `S3Error` for what cannot be an S3 request."""
        request, note = self.received(request)
        return front.parse(request, self.domain, self._ids.new(), note)

    def received(self, request: Request) -> tuple[Request, Via | None]:
        """A request as its client sent it, and what another node said that passed it on. Raise `S3Error`."""
        note = self.note_of(request)
        if note is not None:
            peer = Peer(note.remote, request.networks, note.scheme)
            request = Request(request.method, request.target, request.headers, peer, request.is_http10)
        return request, note

    def note_of(self, request: Request) -> Via | None:
        """What another node said that passed a request on; None when a client sent it. Raise `S3Error`."""
        text = request.headers.get(_VIA)
        if text is None:
            return None
        if request.method not in _READS:
            return self._read_new_note(request)
        asked = (text, request.method, request.target)
        if (known := self._notes_read.get(asked)) is not None and self._is_good(*known):
            return known[1]
        note = self._read_new_note(request)
        if note is not None and note.user is None and len(request.target) <= NOTED_LEN_MAX:
            _keep(self._notes_read, asked, (self._host.wire_keys(note.by), note))
        return note

    def _is_good(self, keys: tuple[bytes, ...], note: Via) -> bool:
        """Whether a note that was good under these keys still is."""
        try:
            return abs(self.now_s - note.time_s) <= via.WINDOW_S and self._host.wire_keys(note.by) == keys
        except AisError:
            return False

    def _read_new_note(self, request: Request) -> Via | None:
        note = via.read(request, self._host.wire_keys, self._host.snode.id, self.now_s)
        is_vouched_for = note is not None and note.user is not None
        if note is not None and is_vouched_for and self._host.snode.is_proxy and not self.clients.is_gateway(note.by):
            raise S3Error("AccessDenied", f"{note.by} is a target: it vouches for nobody to gateways")
        if note is not None and request.method not in _READS and not request.is_known:
            try:
                self.notes.take(f"{note.by} {note.nonce.hex()}", note.time_s)
            except AccessDenied as error:
                raise S3Error("AccessDenied", str(error)) from None
            request.is_known = True
        return note

    def new_id(self) -> str:
        """Names a request."""
        return self._ids.new()

    def new_stamp(self) -> bytes:
        """The header lines of an answer to a request that needs no name before."""
        return answers.stamp(self._ids.new())

    @property
    def has_domain(self) -> bool:
        """Whether a bucket may be named by the `Host`."""
        return bool(self.domain)

    def identify(self, request: S3Request) -> Identity:
        """Who sends it. Raise `S3Error` when the signature is wrong."""
        if request.via is not None and request.via.user is not None:
            return self._vouched(request.via)
        if (known := self.recognize(request.http)) is not None:
            return known
        if self.clients.must_prove and (token := _token_of(request)) and not identity.is_session_token(token):
            return self._bearer(request, token)
        found = self._authenticate(request, required=self._is_closed)
        self._signers.learn(request, found, self._host.keyring, required=self._is_closed)
        return found

    def recognize(self, http: Request) -> Identity | None:
        """Who signed a request, found out the short way; None: `identify` finds out, and says what is wrong."""
        return self._signers.recognize(http, self._host.keyring, required=self._is_closed, now_s=self.now_s)

    def bearer(self, http: Request, bucket: S3Bucket, needed: Access) -> Claims | None:
        """Who may do this with the bucket's objects by a token of AuthN, found out the short way; None: see `identify`.

        What is signed besides has been read too.
        """
        token = http.headers.get(SECURITY)
        if not token or not self.clients.must_prove or identity.is_session_token(token):
            return None
        claims = self.clients.known(token)
        if claims is None or not claims.permits(needed, self._host.smap.uuid, bucket.bucket.bck):
            return None
        return claims if "authorization" not in http.headers or self._signed_beside(http) is not None else None

    def _signed_beside(self, http: Request) -> Identity | None:
        return self._bearers.recognize(http, self._host.keyring, required=False, now_s=self.now_s)

    @property
    def is_closed(self) -> bool:
        """Whether who sends requests must be known."""
        return self._is_closed

    def _authenticate(self, request: S3Request, *, required: bool) -> Identity:
        return identity.authenticate(request, self._host.keyring, self.principals, required=required, now_s=self.now_s)

    def credential(self, key_id: str, token: str) -> tuple[str, Identity]:
        """The secret of an access key, or of a session with its token, and whose they are. Raise `S3Error`."""
        return identity.credential(self._host.keyring, self.principals, key_id, token, self.now_s)

    def _vouched(self, note: Via) -> Identity:
        """Who another node says it is. It has looked at the token's end."""
        known = Identity(note.user or None, trusted=not self._is_closed)
        if known.trusted or known.user is None:
            return known
        if note.is_permitted:
            caller = self.principals.caller_of_root(known.user)
            return known._replace(caller=caller, trusted=True, is_bearer=True)
        if note.token:
            session = self._host.keyring.session(note.token)
            if session is None:
                raise S3Error("InvalidToken")
            return known.as_holder(session, note.token, self.principals)
        return known.as_user(note.name or known.user, self.principals)

    @property
    def _is_closed(self) -> bool:
        return self._host.config.cluster.auth.is_closed

    def _bearer(self, request: S3Request, token: str) -> Identity:
        """Who holds a token, which says itself what it permits; what a client signed besides is not looked at."""
        try:
            claims = self.clients.of_token(token, 'header "X-Amz-Security-Token"')
            if (needed := permissions.of_cluster(request)) is not None:
                self.clients.require(claims, needed)
            else:
                for wanted, name in permissions.of_buckets(request):
                    self._require_on_bucket(claims, name, wanted)
        except Unauthenticated as error:
            raise S3Error("InvalidToken", str(error)) from None
        except AccessDenied as error:
            raise S3Error("AccessDenied", str(error)) from None
        found = self._signed_beside(request.http)
        if found is None:
            found = self._authenticate(request, required=False)
            self._bearers.learn(request, found, self._host.keyring, required=False)
        caller = self.principals.caller_of_root(claims.sub)
        return found._replace(user=claims.sub, caller=caller, is_bearer=True)

    def require_by_token(self, request: S3Request, bucket: str, needed: Access) -> None:
        """Raise `S3Error` unless the token of a bearer permits this on a bucket that only the body names."""
        try:
            claims = self.clients.of_token(_token_of(request), 'header "X-Amz-Security-Token"')
            self._require_on_bucket(claims, bucket, needed)
        except (AccessDenied, Unauthenticated) as error:
            raise S3Error("AccessDenied", str(error)) from None

    def _require_on_bucket(self, claims: Claims, name: str, needed: Access) -> None:
        bucket = self.buckets.get(name)
        self.clients.require(claims, needed, bucket.bck if bucket else Bck(name))

    def is_user(self, name: str) -> bool:
        """Whether there is an account of that name; while nobody has to authenticate, any name is one."""
        if not self._is_closed:
            return True
        return self._host.keyring.has_user(name) and name not in self._host.keyring.iam.users

    def admit(self, request: S3Request, caller: Identity, found: Callable[[], Facts | None] | None = None) -> S3Bucket:
        """The bucket, if the caller may do what the request says. `found` reads the facts of the object there is.

        Raise `S3Error`.
        """
        bucket = self.require_bucket(request)
        if caller.trusted:
            return bucket
        action = actions.action_of(request.op, versioned="versionId" in request.params)
        is_judged = self.asks_for_tags(caller, bucket) or (bucket.uses_acls and acl.is_about_object(action))
        there = found() if found and is_judged else None
        first, *others = lock.SAYS.get(request.op, ({},))
        try:
            self.require(request, caller, bucket, action, request.key, there, first)
        except S3Error:
            if not any(self._may(request, caller, bucket, action, there, said) for said in others):
                raise
        if lock.BYPASS in request.headers and request.key and lock.asks_to_bypass(request):
            self.require(request, caller, bucket, BYPASS_GOVERNANCE, request.key)
        if request.op in _MAKES_OBJECTS:
            self._admit_extras(request, caller, bucket)
        return bucket

    def _may(
        self, request: S3Request, caller: Identity, bucket: S3Bucket, action: str, found: Facts | None, said: Said
    ) -> bool:
        """Whether the caller may do it, if the document says this: what it does say is looked at when it is here."""
        try:
            self.require(request, caller, bucket, action, request.key, found, said)
        except S3Error:
            return False
        return True

    @staticmethod
    def asks_for_tags(caller: Identity, bucket: S3Bucket) -> bool:
        """Whether a policy decides by the tags an object has: then only its owner can authorize."""
        return bucket.asks_for_tags or (caller.principal is not None and caller.principal.asks_for_tags)

    def _admit_extras(self, request: S3Request, caller: Identity, bucket: S3Bucket) -> None:
        """Tags, a list, a lock that a new object is given at once need the rights to give them."""
        if "x-amz-object-lock-mode" in request.headers:
            self.require(request, caller, bucket, "s3:PutObjectRetention", request.key)
        if "x-amz-object-lock-legal-hold" in request.headers:
            self.require(request, caller, bucket, "s3:PutObjectLegalHold", request.key)
        if "x-amz-tagging" in request.headers:
            self.require(request, caller, bucket, "s3:PutObjectTagging", request.key)
        if acl.is_asked(request.headers):
            own = {new_object.OWNER: caller.user} if bucket.uses_acls and caller.user else None
            self.require(request, caller, bucket, "s3:PutObjectAcl", request.key, own)

    def require_bucket(self, request: S3Request) -> S3Bucket:
        """The bucket. Raise `S3Error` NoSuchBucket, or AccessDenied when the caller expects another owner."""
        bucket = self.buckets.require(request.bucket)
        if request.via is not None and request.via.bid not in (0, bucket.bucket.bid):
            raise S3Error("NoSuchBucket", BucketName=request.bucket)
        _expect_owner(bucket, request.headers.get("x-amz-expected-bucket-owner"))
        if bucket.bucket.props.access != access.ALL:
            _expect_access(bucket, permissions.of_bucket(request))
        return bucket

    def require_source(self, request: S3Request, name: str) -> S3Bucket:
        """The bucket that a request copies from. Raise `S3Error` as `require_bucket`."""
        bucket = self.buckets.require(name)
        _expect_owner(bucket, request.headers.get("x-amz-source-expected-bucket-owner"))
        _expect_access(bucket, Access.GET)
        return bucket

    def require(
        self,
        request: S3Request,
        caller: Identity,
        bucket: S3Bucket,
        action: str,
        key: str,
        found: Facts | None = None,
        said: Said = NOTHING,
    ) -> None:
        """Raise `S3Error` AccessDenied unless the caller may do `action` (`s3:GetObject`) with the bucket or key.

        `found`: facts of the object there is, None when there is none. `said`: condition keys that have other values
        than the head of the request gives, None: they have none.
        """
        if caller.trusted:
            return
        rights = bucket.rights
        if bucket.requester_pays and not rights.is_owned_by(caller):
            _expect_payer(request, caller)
        tags = facts.tags_of(found) if found else {}
        has_policies = bool(rights.statements) or caller.principal is not None
        asked = identity.condition_context(request, caller, tags, self.now_s) if has_policies else {}
        for name, value in said.items():
            if value is not None:
                asked[name] = value
            else:
                asked.pop(name, None)
        existing = new_object.acl_of(found, bucket) if found is not None and bucket.uses_acls else None
        identity.authorize(caller, rights, action, bucket.name, key, asked, existing)

    def require_of_account(self, request: S3Request, caller: Identity, action: str, bucket: str) -> None:
        """Raise `S3Error` AccessDenied unless the caller's own policies allow what is about no bucket there is yet."""
        principal = caller.principal
        if caller.trusted or principal is None:
            return
        asked = identity.condition_context(request, caller, {}, self.now_s)
        resource = policy.arn_of(bucket, "") if bucket else "*"
        if principal.verdict(action, resource, asked) is not Verdict.ALLOW:
            raise S3Error("AccessDenied", f"{caller.described} is not allowed to perform {action}")

    def owner(self, bucket_uname: str, key: str) -> Snode:
        """The target that owns an object. Raise `NotReady` when there is none."""
        return self._host.placement.owner(bucket_uname + key)

    def reader(self, view: Coded, key: str, method: str) -> Snode:
        """The target that answers a request on an object: its owner; for a read, who stands in for it while it is away.

        Raise `NotReady`.
        """
        is_read = method in _READS
        return self._host.placement.reader(view.uname + key, is_coded=is_read and view.props.is_coded)

    def is_here(self, node: Snode) -> bool:
        """Whether that is this node."""
        return node.id == self._host.snode.id

    def forward(self, request: S3Request, node: Snode) -> Forward:
        """Have another node answer. Raise `NotReady` when it was passed on too often: the maps differ for a moment."""
        bucket = self.buckets.get(request.bucket) if request.bucket else None
        return self._pass_on(request.http, node, bucket.bucket.bid if bucket is not None else 0, request.via)

    def pass_on(self, http: Request, node: Snode, bid: int) -> Forward:
        """The same for a request that nobody has looked at, about the bucket with this ID (0: not known here)."""
        return self._pass_on(http, node, bid, self.note_of(http) if _VIA in http.headers else None)

    def _pass_on(self, http: Request, node: Snode, bid: int, before: Via | None) -> Forward:
        if before is None:
            if http.method in _READS:
                return Forward(node.data.url, self._line_of_read(http, node, int(bid)))
            note = Via(http.remote, http.scheme, bid=int(bid))
        elif before.hops < via.HOPS_MAX:
            note = msgspec.structs.replace(before, bid=before.bid or int(bid), hops=before.hops + 1)
        else:
            raise NotReady(f"{self._host.snode.name} is not the node for this request: try again in a moment")
        return Forward(node.data.url, header_lines(self._signed(note, node, http.method, http.target)))

    def _line_of_read(self, http: Request, node: Snode, bid: int) -> bytes:
        """The note on a read, which is the same for some seconds: the port it came from says nothing to anybody."""
        host, smap, now_s = http.remote.rpartition(":")[0], self._host.smap, self.now_s
        asked = (http.method, http.target, host, http.scheme, node.id, bid)
        key, known = self._host.wire_key(node.id), self._lines.get(asked)
        if known is not None and known.smap is smap and known.key == key and 0 <= now_s - known.made_s < LINE_AGE_S_MAX:
            return known.line
        note = Via(f"{host}:0", http.scheme, bid=bid)
        line = header_lines(self._signed(note, node, http.method, http.target))
        if len(http.target) <= NOTED_LEN_MAX:
            _keep(self._lines, asked, _Line(line, key, smap, now_s))
        return line

    def vouch(self, request: S3Request, caller: Identity, node: Snode, method: str, target: str) -> tuple[str, str]:
        """Header of a request of our own by which `node` takes it for one of the caller's."""
        http = request.http
        name = caller.principal.user if caller.principal is not None else ""
        note = Via(
            http.remote,
            http.scheme,
            caller.user or "",
            name=name,
            token=caller.token,
            is_permitted=caller.is_bearer,
        )
        return self._signed(note, node, method, target)

    def vouch_for_owner(
        self, owner: str, node: Snode, method: str, target: str, *, is_permitted: bool
    ) -> tuple[str, str]:
        """Header of a request of this node's own by which `node` takes it for one of the owner of a bucket.

        `is_permitted`: nothing else is asked.
        """
        user = owner or (OWNER_ID if is_permitted else "")
        return self._signed(Via("127.0.0.1:0", "http", user, is_permitted=is_permitted), node, method, target)

    def _signed(self, note: Via, node: Snode, method: str, target: str) -> tuple[str, str]:
        nonce = b"" if method in _READS else os.urandom(12)
        note = msgspec.structs.replace(
            note,
            time_s=int(self.now_s),
            to=node.id,
            by=self._host.snode.id,
            nonce=nonce,
            map=int(self._host.smap.version),
        )
        return via.HEADER, via.header(note, self._host.wire_key(node.id), method, target)

    def preflight(self, request: Request) -> Reply:
        """The answer to a browser's OPTIONS. Raise `S3Error` AccessForbidden when no rule allows it."""
        bucket_name, _ = self.address(request)
        origin = request.headers.get("origin")
        method = request.headers.get("access-control-request-method")
        if not origin or not method:
            raise S3Error("BadRequest", "Insufficient information. Origin request header needed.")
        bucket = self.buckets.require(bucket_name)
        asked = (request.headers.get("access-control-request-headers") or "").split(",")
        allowed = cors.answer(bucket.cors, origin, method, [name.strip() for name in asked if name.strip()])
        if allowed is None:
            raise S3Error("AccessForbidden")
        return answers.reply(self._ids.new(), 200, *allowed.items())

    def cross_origin(self, request: S3Request) -> tuple[tuple[str, str], ...]:
        """Header lines that let a browser's script read the answer; empty when no rule is about its origin."""
        return self._cross_origin(request.http, request.bucket)

    def _cross_origin(self, http: Request, bucket_name: str) -> tuple[tuple[str, str], ...]:
        origin = http.headers.get("origin")
        bucket = self.buckets.get(bucket_name) if origin else None
        if not origin or bucket is None or not bucket.s3.cors:
            return ()
        return tuple((cors.answer(bucket.cors, origin, http.method) or {}).items())

    def error_reply(self, request: Request, error: BaseException) -> Reply:
        """The answer to what went wrong with an S3 request."""
        if self.is_query(request):
            return iam_answers.error_reply(request, error, self._ids.new())
        reply = answers.error_reply(request, error, self._ids.new())
        if "origin" in request.headers:
            with contextlib.suppress(BadRequest):
                reply.headers += header_lines(*self._cross_origin(request, self.address(request)[0]))
        return reply


def _keep(known: dict[K, V], key: K, value: V) -> None:
    if len(known) >= NOTES_MAX:
        known.clear()
    known[key] = value


def _expect_payer(request: S3Request, caller: Identity) -> None:
    """Raise `S3Error` AccessDenied when somebody is to pay who did not say so, or whom nobody knows."""
    if caller.user is None or request.get("x-amz-request-payer") is None:
        raise S3Error("AccessDenied", "The requester pays for this bucket: send x-amz-request-payer: requester")


def _expect_owner(bucket: S3Bucket, expected: Sequence[str] | None) -> None:
    """Raise `S3Error` AccessDenied when the bucket is another's, or when whose it should be is left empty."""
    if expected and expected[0] != (bucket.s3.owner or OWNER_ID):
        raise S3Error("AccessDenied", f"The bucket {bucket.name} is not owned by {expected[0][:64]}")


def _expect_access(bucket: S3Bucket, needed: Access) -> None:
    """Raise `S3Error` unless the bucket's `access` property lets anybody do it, as on the native API."""
    try:
        access.require(bucket.bucket.props.access, needed, bucket.bucket.bck.cname())
    except AccessDenied as error:
        raise S3Error("AccessDenied", str(error)) from None


def _token_of(request: S3Request) -> str:
    return request.header(SECURITY) or request.params.get("X-Amz-Security-Token", "")
