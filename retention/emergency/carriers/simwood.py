"""Simwood, API v3: `GET` and `PUT /numbers/{ACCOUNT}/allocated/{NUMBER}/999` over HTTPS with HTTP Basic.

Source: developers.simwood.com, API v3, "Number Configuration - 999 Emergency Services". `PUT` replaces the record, and is charged. It has
no states and no `DELETE`: that the record which was sent can be read back is all the confirmation there is, and one is taken out by a
person, or when the number leaves the account.
"""

from __future__ import annotations

import ssl
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import httpx
import msgspec

from retention.emergency.carriers.carrier import HOUR, MINUTE, Outcome, Reply, Request, is_uk, later, rejected, same
from retention.emergency.carriers.exchange import Broken, Patience, exchange

FIELDS = ("title", "forename", "name", "bussuffix", "premises", "thoroughfare", "locality", "postcode")  # it has no honours
LARGEST = 65_536  # bytes of an answer
_OK = frozenset({200, 201, 202})


class Said(msgspec.Struct, frozen=True):
    """An HTTP answer, read to its end."""

    status: int
    body: bytes
    retry_after: str = ""


class Simwood:
    """Addresses at Simwood."""

    name = "simwood"

    def __init__(self, url: str, account: str, login: tuple[str, str], tls: ssl.SSLContext, patience: Patience = Patience()) -> None:  # noqa: B008  frozen
        self._base = f"{url.rstrip('/')}/numbers/{account}/allocated"
        self._login = httpx.BasicAuth(*login)
        self._tls = tls
        self._patience = patience

    def submit(self, request: Request) -> Reply:
        """As `Carrier.submit`. What is there already is not sent again, since each `PUT` is charged, unless 999 was found to lack it."""
        return self._talk(request, self._submit)

    def poll(self, request: Request) -> Reply:
        """As `Carrier.poll`."""
        return self._talk(request, self._poll)

    def withdraw(self, request: Request) -> Reply:
        """As `Carrier.withdraw`: a person does it, and this sees that it is done."""
        return self._talk(request, self._withdraw)

    def finish(self) -> None:
        """Do nothing: each request is sent by itself."""

    def _talk(self, request: Request, act: Callable[[httpx.AsyncClient, Request], Awaitable[Reply]]) -> Reply:
        if not is_uk(request.number):
            return rejected("not_uk")
        phases = httpx.Timeout(self._patience.answer, connect=self._patience.connect)

        async def talk() -> Reply:
            async with httpx.AsyncClient(auth=self._login, verify=self._tls, timeout=phases, follow_redirects=False, trust_env=False) as client:
                return await act(client, request)

        return exchange(talk, self._patience)

    async def _submit(self, client: httpx.AsyncClient, request: Request) -> Reply:
        if not request.renew and same(request.address, read_record(await self._send(client, "GET", request)), FIELDS):
            return Reply(Outcome.SUBMITTED)
        fields = {field: getattr(request.address, field) for field in FIELDS}
        return read_put(await self._send(client, "PUT", request, fields))

    async def _poll(self, client: httpx.AsyncClient, request: Request) -> Reply:
        held = read_record(await self._send(client, "GET", request))
        if not held:
            return Reply(Outcome.MISSING, "no_record")
        return Reply(Outcome.ACCEPTED) if same(request.address, held, FIELDS) else Reply(Outcome.MISSING, "differs")

    async def _withdraw(self, client: httpx.AsyncClient, request: Request) -> Reply:
        if read_record(await self._send(client, "GET", request)):
            return rejected("by_hand", "Simwood's API takes no record out: have it done, or give the number back")
        return Reply(Outcome.WITHDRAWN)

    async def _send(self, client: httpx.AsyncClient, method: str, request: Request, fields: Mapping[str, str] | None = None) -> Said:
        url = f"{self._base}/{request.number.removeprefix('+')}/999"
        async with client.stream(method, url, json=fields, headers={"Accept-Encoding": "identity", "Accept": "application/json"}) as answer:
            body = b""
            async for piece in answer.aiter_raw():
                body += piece
                if len(body) > LARGEST:
                    raise Broken(later("too_long", HOUR))
            return Said(answer.status_code, body, answer.headers.get("retry-after", ""))


def read_put(said: Said) -> Reply:
    """Return what the answer to a `PUT` means: success, refusal with errors, or something that is neither."""
    fault = _fault(said)
    if fault is not None:
        return fault
    if said.status == 404:
        return rejected("number_unknown", "Simwood does not have the number on this account")
    found = _decoded(said.body)
    if isinstance(found, dict) and said.status in _OK and found.get("success") is True:
        return Reply(Outcome.SUBMITTED)
    if isinstance(found, dict) and found.get("success") is False:
        errors = found.get("errors")
        listed = errors if isinstance(errors, list) else [errors]
        return rejected("refused", "; ".join(text for text in listed if isinstance(text, str)))
    if 400 <= said.status < 500:
        return rejected(f"http_{said.status}")
    return later("garbled")


def read_record(said: Said) -> dict[str, str]:
    """Return the fields of the record that Simwood has; empty when it has none.

    Raises:
        Broken: the answer does not say.
    """
    fault = _fault(said)
    if fault is not None:
        raise Broken(fault)
    if said.status == 404:
        return {}
    found = _decoded(said.body)
    data = found.get("data", found) if isinstance(found, dict) else found
    if said.status not in _OK or data is ... or (isinstance(found, dict) and found.get("success") is False):
        raise Broken(later("garbled"))
    if not data:  # PHP writes an empty record as []
        return {}
    if not isinstance(data, dict):
        raise Broken(later("garbled"))
    texts = {field: str(data[field]) for field in FIELDS if isinstance(data.get(field), str | int)}  # a house number may come as one
    return {field: text for field, text in texts.items() if text.strip()}


def _fault(said: Said) -> Reply | None:
    """Return what says nothing of the record: credentials, limits, redirects, faults of the server."""
    if said.status in {401, 403}:
        return later("credentials", HOUR)
    if said.status == 429 or said.status >= 500:
        wait = int(said.retry_after) if said.retry_after.isascii() and said.retry_after.isdigit() and len(said.retry_after) < 7 else MINUTE
        return later("busy" if said.status == 429 else f"http_{said.status}", wait)
    if said.status < 200 or 300 <= said.status < 400:
        return later("redirected", HOUR)
    return None


def _decoded(body: bytes) -> Any:
    """Return what JSON says, or an ellipsis for what is none."""
    try:
        return msgspec.json.decode(body)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return ...
