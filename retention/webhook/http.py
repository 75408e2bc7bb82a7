"""One HTTP/1.1 request as a proxy hands it on: its head is read strictly, and what is wrong with it is an answer. Pure.

Source: RFC 9110 and 9112; Bearer is RFC 6750, Basic is RFC 7617. No method but POST and no transfer coding: a body has a length, known beforehand.
"""

from __future__ import annotations

import binascii
import hmac
import re
from base64 import b64decode
from http import HTTPStatus

import msgspec

PATH = "/emergency/missing"
LONGEST_HEAD = 8_192  # bytes
LONGEST_BODY = 16_384
_REQUEST = re.compile(rb"([A-Z]{1,20}) (/[\x21-\x7e]*) HTTP/1\.[01]", re.ASCII)
_FIELD = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\t\x20-\x7e\x80-\xff]*)", re.ASCII)
_LENGTH = re.compile(r"[0-9]{1,9}", re.ASCII)
_ONCE = ("content-length", "authorization", "transfer-encoding")  # a second one would be read by the proxy otherwise than by us


class Answer(msgspec.Struct, frozen=True):
    """What is answered. The body is never empty: a carrier takes an empty one for a fault."""

    status: HTTPStatus
    text: str
    header: str = ""  # one more line of the head

    def encode(self) -> bytes:
        """Return the whole answer."""
        body = f"{self.text}\n".encode()
        lines = [f"HTTP/1.1 {self.status} {self.status.phrase}", "Content-Type: text/plain; charset=utf-8", f"Content-Length: {len(body)}", "Connection: close"]
        return "\r\n".join([*lines, *([self.header] if self.header else []), "", ""]).encode() + body


class Head(msgspec.Struct, frozen=True):
    """A request's head, as far as anybody looks at it."""

    method: str
    path: str  # without the query, which nobody looks at
    length: str = ""
    authorization: str = ""
    coded: bool = False  # it has a transfer coding


def read_head(raw: bytes) -> Head | Answer:
    """Return a head, or the answer to what is none.

    Args:
        raw: what came before the empty line.
    """
    first, *lines = raw.split(b"\r\n")
    request = _REQUEST.fullmatch(first)
    if request is None:
        return Answer(HTTPStatus.BAD_REQUEST, "this is no HTTP/1.1 request")
    found: dict[str, str] = {}
    for line in lines:
        field = _FIELD.fullmatch(line)
        name = field[1].decode("ascii").lower() if field else ""
        if field is None or (name in _ONCE and name in found):
            return Answer(HTTPStatus.BAD_REQUEST, "a header cannot be read")
        found[name] = field[2].decode("latin-1").strip()
    path = request[2].decode("ascii").partition("?")[0]
    return Head(request[1].decode("ascii"), path, found.get("content-length", ""), found.get("authorization", ""), "transfer-encoding" in found)


def admit(head: Head, secret: bytes) -> int | Answer:
    """Return how many bytes of body to take, or why none.

    Args:
        head: of the request.
        secret: what it must show, in its Authorization header.
    """
    if head.path != PATH:
        return Answer(HTTPStatus.NOT_FOUND, "there is nothing here")
    if head.method != "POST":
        return Answer(HTTPStatus.METHOD_NOT_ALLOWED, "only POST", "Allow: POST")
    if not hmac.compare_digest(shown_secret(head.authorization), secret):
        return Answer(HTTPStatus.UNAUTHORIZED, "the secret is missing or wrong", 'WWW-Authenticate: Bearer realm="ringfence"')
    if head.coded or not _LENGTH.fullmatch(head.length):
        return Answer(HTTPStatus.LENGTH_REQUIRED, "give the body's length: let the proxy buffer the request")
    length = int(head.length)
    return length if length <= LONGEST_BODY else Answer(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"a body has at most {LONGEST_BODY} bytes")


def shown_secret(authorization: str) -> bytes:
    """Return the secret of an Authorization header: a Bearer's token, or the password of Basic, whatever its user; empty when there is none."""
    scheme, _, rest = authorization.partition(" ")
    if scheme.lower() == "bearer":
        return rest.strip().encode("latin-1")
    if scheme.lower() == "basic":
        try:
            return b64decode(rest.strip(), validate=True).partition(b":")[2]
        except (binascii.Error, ValueError):
            return b""
    return b""
