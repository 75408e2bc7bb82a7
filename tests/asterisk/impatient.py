"""Callers that give up after a set time, answered or not: each knows which response belongs to which request, which SIPp's scenarios do not."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence

_OFFER = "v=0\r\no=- 1 1 IN IP4 {host}\r\ns=-\r\nc=IN IP4 {host}\r\nt=0 0\r\nm=audio 30000 RTP/AVP 8\r\na=rtpmap:8 PCMA/8000\r\n"


class ImpatientCaller(asyncio.DatagramProtocol):
    """A carrier on one address. `outcomes` counts how its calls ended: answered or cancelled.

    Args:
        host: its loopback address.
        to: host and port of the SIP server.
    """

    def __init__(self, host: str, to: tuple[str, int]) -> None:
        self._host = host
        self._to = to
        self._calls: dict[str, _Call] = {}
        self._transport: asyncio.DatagramTransport | None = None
        self.port = 0
        self.outcomes: Counter[str] = Counter()

    async def place(self, calls: Sequence[tuple[str, str]], *, rate: float, give_up: Sequence[float]) -> None:
        """Place calls (number and caller), each given up after the next of `give_up` seconds, and wait for their ends."""
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(lambda: self, local_addr=(self._host, 0))
        self._transport, self.port = transport, transport.get_extra_info("sockname")[1]
        try:
            for index, (number, caller) in enumerate(calls):
                call = _Call(f"{index}.{self.port}@{self._host}", number, caller)
                self._calls[call.call_id] = call
                self._send(call, "INVITE", 1, offer=True)
                loop.call_later(give_up[index % len(give_up)], self._give_up, call)
                await asyncio.sleep(1 / rate)
            async with asyncio.timeout(60):
                await asyncio.gather(*(call.ended.wait() for call in self._calls.values()))
        finally:
            transport.close()

    def datagram_received(self, data: bytes, _addr: object) -> None:
        """Take a response; requests (a BYE of the other side) are agreed to."""
        lines = data.decode("utf-8", "replace").split("\r\n")
        headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
        if not lines[0].startswith("SIP/2.0 "):
            self._agree(lines)
            return
        call, status, (cseq, method) = self._calls[headers["call-id"]], int(lines[0].split()[1]), headers["cseq"].split()
        if status < 200:
            return
        if method == "INVITE":
            call.to = headers["to"]
            self._send(call, "ACK", int(cseq), target=headers.get("contact", "").strip("<>") if status < 300 else "", same_branch=status >= 300)
            if not call.final:
                call.final = status
                if status < 300:
                    self._send(call, "BYE", 2, target=headers["contact"].strip("<>"))
                else:
                    self._end(call, "cancelled" if status == 487 else str(status))
        elif method == "BYE":
            self._end(call, "answered" if status == 200 else f"BYE {status}")

    def _give_up(self, call: _Call) -> None:
        if not call.final:
            self._send(call, "CANCEL", 1, same_branch=True)

    def _end(self, call: _Call, outcome: str) -> None:
        if not call.ended.is_set():
            self.outcomes[outcome] += 1
            call.ended.set()

    def _send(self, call: _Call, method: str, cseq: int, *, target: str = "", offer: bool = False, same_branch: bool = False) -> None:
        branch = "INVITE" if same_branch or method == "INVITE" else method
        body = _OFFER.format(host=self._host) if offer else ""
        lines = [
            f"{method} {target or f'sip:{call.number}@{self._to[0]}:{self._to[1]}'} SIP/2.0",
            f"Via: SIP/2.0/UDP {self._host}:{self.port};branch=z9hG4bK{branch}-{call.call_id.partition('@')[0]}",
            f"From: <sip:{call.caller}@{self._host}>;tag=t{call.call_id.partition('@')[0]}",
            f"To: {f'<sip:{call.number}@{self._to[0]}>' if method == 'CANCEL' else call.to or f'<sip:{call.number}@{self._to[0]}>'}",
            f"Call-ID: {call.call_id}",
            f"CSeq: {cseq} {method}",
            f"Contact: <sip:{self._host}:{self.port}>",
            "Max-Forwards: 70",
            *(["Content-Type: application/sdp"] if offer else []),
            f"Content-Length: {len(body)}",
        ]
        if self._transport is not None:
            self._transport.sendto(("\r\n".join(lines) + "\r\n\r\n" + body).encode(), self._to)

    def _agree(self, lines: list[str]) -> None:
        kept = [line for line in lines if line.lower().startswith(("via:", "from:", "to:", "call-id:", "cseq:"))]
        if self._transport is not None:
            self._transport.sendto(("\r\n".join(["SIP/2.0 200 OK", *kept, "Content-Length: 0"]) + "\r\n\r\n").encode(), self._to)


class _Call:
    def __init__(self, call_id: str, number: str, caller: str) -> None:
        self.call_id = call_id
        self.number = number
        self.caller = caller
        self.to = ""
        self.final = 0
        self.ended = asyncio.Event()
