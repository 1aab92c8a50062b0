"""Access keys of users; the root of an account manages its own in the same way."""

from ais.auth import keys as access_keys
from ais.auth.iam import User
from ais.auth.keys import AccessKey, AccessKeys, new_key
from ais.base.errors import Conflict
from ais.iam.ask import Answer, Ask, Nodes, page, require, time_of
from ais.iam.errors import IamError
from ais.iam.params import USER

KEYS_MAX = 2
"""Of one user, as at Amazon. Keys that the administrator gives out natively are not limited so."""
ACCOUNT_KEYS_MAX = access_keys.KEYS_MAX // 5
"""Of an account and its users, of all that the cluster can have: none keeps the others from theirs."""


def create(ask: Ask, keys: AccessKeys) -> Answer:
    """`CreateAccessKey`: the only answer with the secret."""
    user = _user(ask, keys)
    if len(keys.of_user(user)) >= KEYS_MAX:
        raise IamError("LimitExceeded", f"Cannot exceed quota for AccessKeysPerUser: {KEYS_MAX}")
    if not ask.caller.trusted and _count(ask, keys) >= ACCOUNT_KEYS_MAX:
        raise IamError("LimitExceeded", f"Cannot exceed quota for access keys per account: {ACCOUNT_KEYS_MAX}")
    made, secret = new_key(user, ask.secret, ask.now_ns)
    try:
        changed = keys.with_key(made)
    except Conflict as error:
        raise IamError("LimitExceeded", str(error)) from None
    return changed, [("AccessKey", [*_shown(made), ("SecretAccessKey", secret)])]


def list_keys(ask: Ask, keys: AccessKeys) -> Answer:
    """`ListAccessKeys`."""
    return keys, page(ask, "AccessKeyMetadata", keys.of_user(_user(ask, keys)), _shown)


def update(ask: Ask, keys: AccessKeys) -> Answer:
    """`UpdateAccessKey`: active or not."""
    status = ask.params.require("Status")
    if status not in ("Active", "Inactive"):
        raise IamError("ValidationError", "Status is Active or Inactive")
    return keys.with_disabled(_key(ask, keys).id, status == "Inactive"), []


def delete(ask: Ask, keys: AccessKeys) -> Answer:
    """`DeleteAccessKey`."""
    return keys.without_key(_key(ask, keys).id), []


def _count(ask: Ask, keys: AccessKeys) -> int:
    """How many the account has, with those of its users."""
    users = {ask.account} | {name for name, user in keys.iam.users.items() if user.account == ask.account}
    return sum(key.user in users for key in keys.keys.values())


def _user(ask: Ask, keys: AccessKeys) -> str:
    """Whose keys: the named user's of the account, or the caller's; the root's are its own. Raise `IamError`."""
    principal = ask.caller.principal
    own = principal.user if principal is not None else ask.account
    if ask.params.get("UserName") is None:
        if not own:
            raise IamError("ValidationError", "Must specify userName when calling with non-User credentials")
        return own
    name = ask.params.named("UserName", USER)
    if name == ask.account and name not in keys.iam.users:
        if principal is not None:  # no policy binds the root: who had a key of its could do everything
            raise IamError("AccessDenied", f"Access keys of the root, {name}, are for the root of the account alone")
        return name
    return require(keys.iam, User, ask.account, name).name


def _key(ask: Ask, keys: AccessKeys) -> AccessKey:
    key_id, user = ask.params.require("AccessKeyId"), _user(ask, keys)
    found = keys.get(key_id)
    if found is None or found.user != user:
        raise IamError("NoSuchEntity", f"The Access Key with id {key_id[:128]} cannot be found.")
    return found


def _shown(key: AccessKey) -> Nodes:
    status = "Inactive" if key.disabled else "Active"
    nodes: Nodes = [("UserName", key.user), ("AccessKeyId", key.id), ("Status", status)]
    return [*nodes, ("CreateDate", time_of(key.created))]
