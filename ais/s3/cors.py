"""Cross-origin rules of a bucket: the document, and which headers a browser's request is answered with."""

from collections.abc import Sequence
from fnmatch import fnmatchcase

import msgspec

from ais.base.units import is_whole
from ais.s3 import xml
from ais.s3.errors import S3Error

RULES_MAX = 100
METHODS = ("GET", "PUT", "HEAD", "POST", "DELETE")


class CorsRule(msgspec.Struct, frozen=True):
    """One `CORSRule`."""

    origins: tuple[str, ...]
    methods: tuple[str, ...]
    headers: tuple[str, ...] = ()
    expose: tuple[str, ...] = ()
    max_age_s: int | None = None
    id: str = ""


def parse_document(body: bytes) -> tuple[CorsRule, ...]:
    """The rules of a `CORSConfiguration`. Raise `S3Error`."""
    root = xml.parse(body, "CORSConfiguration")
    xml.only_children(root, "CORSRule")
    rules = []
    for rule in root:
        names = ("AllowedOrigin", "AllowedMethod", "AllowedHeader", "ExposeHeader")
        xml.only_children(rule, *names, "MaxAgeSeconds", "ID")
        origins, methods, headers, expose = (tuple(one.text or "" for one in rule.findall(name)) for name in names)
        if not origins or not methods:
            raise S3Error("MalformedXML", "A CORSRule needs AllowedOrigin and AllowedMethod")
        for method in methods:
            if method not in METHODS:
                raise S3Error(
                    "InvalidRequest", f"Found unsupported HTTP method in CORS config. Unsupported method is {method}"
                )
        for pattern in (*origins, *headers):
            if pattern.count("*") > 1:
                raise S3Error("InvalidRequest", f'"{pattern}" can not have more than one wildcard.')
        age = xml.text(rule, "MaxAgeSeconds", "")
        if age and not is_whole(age):
            raise S3Error("MalformedXML", "MaxAgeSeconds must be a number")
        rules.append(CorsRule(origins, methods, headers, expose, int(age) if age else None, xml.text(rule, "ID", "")))
    if not 1 <= len(rules) <= RULES_MAX:
        raise S3Error("MalformedXML", f"A CORSConfiguration has 1 to {RULES_MAX} rules")
    return tuple(rules)


def document(rules: Sequence[CorsRule]) -> bytes:
    """The `CORSConfiguration` of rules."""
    return xml.document("CORSConfiguration", [("CORSRule", _rule(rule)) for rule in rules])


def _rule(rule: CorsRule) -> list[xml.Node]:
    nodes: list[xml.Node] = [("ID", rule.id)] if rule.id else []
    nodes += [("AllowedMethod", one) for one in rule.methods]
    nodes += [("AllowedOrigin", one) for one in rule.origins]
    nodes += [("AllowedHeader", one) for one in rule.headers]
    nodes += [("ExposeHeader", one) for one in rule.expose]
    return [*nodes, ("MaxAgeSeconds", rule.max_age_s)] if rule.max_age_s is not None else nodes


def answer(
    rules: Sequence[CorsRule], origin: str, method: str, requested_headers: Sequence[str] = ()
) -> dict[str, str] | None:
    """Response headers for a request from `origin`, by the first rule that allows it; None when none does."""
    for rule in rules:
        pattern = next((one for one in rule.origins if fnmatchcase(origin, one.replace("[", "[[]"))), None)
        if pattern is None or method not in rule.methods or not _allows(rule, requested_headers):
            continue
        headers = {
            "Access-Control-Allow-Origin": "*" if pattern == "*" else origin,
            "Access-Control-Allow-Methods": ", ".join(rule.methods),
            "Vary": "Origin, Access-Control-Request-Headers, Access-Control-Request-Method",
        }
        if pattern != "*":
            headers["Access-Control-Allow-Credentials"] = "true"
        if requested_headers:
            headers["Access-Control-Allow-Headers"] = ", ".join(requested_headers)
        if rule.expose:
            headers["Access-Control-Expose-Headers"] = ", ".join(rule.expose)
        if rule.max_age_s is not None:
            headers["Access-Control-Max-Age"] = str(rule.max_age_s)
        return headers
    return None


def _allows(rule: CorsRule, requested: Sequence[str]) -> bool:
    patterns = [one.lower().replace("[", "[[]") for one in rule.headers]
    return all(any(fnmatchcase(name.lower(), pattern) for pattern in patterns) for name in requested)
