"""A node with the configuration that Ringfence renders, its store and its Asterisk, on free loopback ports."""

from __future__ import annotations

import hashlib
import socket
import time
from pathlib import Path

from sqlalchemy.orm import Session

from ari_app.configuration.files import write_files
from ari_app.configuration.gather import gather
from ari_app.configuration.secrets import make_secrets
from ari_app.private.asterisk import AriDoor, PrivateAsterisk
from ari_app.private.ports import free_ports
from ari_app.private.root import Root
from dialplan.node_conf import NodeConf
from dialplan.render import render
from ringfence import migrate
from ringfence.clock import SystemClock
from ringfence.queries.accounts import add_account, add_endpoint
from ringfence.queries.numbering import add_did, assign_did
from ringfence.queries.trunks import add_trunk
from ringfence.session import make_engine
from ringfence.settings import Agi, Ami, Ari, Asterisk, Health, Settings, read_secret
from ringfence.values import E164, NumberClass, TrunkDirection

CARRIER, MOBILE = "127.0.0.2", "127.0.0.3"
SITE = E164("+442079460123")
WAYS = ("first-999", "second-999")
PHONE_SECRET = "the-phone-s-secret"
PHONE_HA1 = hashlib.md5(f"desk:ringfence:{PHONE_SECRET}".encode(), usedforsecurity=False).hexdigest()


class Rendered:
    """The node; `asterisk` is not started yet."""

    def __init__(self, root: Root, home: Path) -> None:
        sip, ari, ami, agi, carrier, rtp = free_ports(6)
        self.settings = Settings(
            home=str(home),
            asterisk=Asterisk(sip_port=sip, root=str(root.path or ""), rtp_start=rtp, rtp_end=rtp + 60, qualify_seconds=0),
            ari=Ari(port=ari),
            agi=Agi(port=agi),
            ami=Ami(port=ami, timeout=3.0),
            health=Health(ari=0, agi=0, ledger=0, ami=0, worker=0),
        )
        self.root = root
        self.engine = make_engine(self.settings)
        migrate.upgrade(self.engine)
        clock = SystemClock()
        with Session(self.engine) as session:
            add_account(session, clock, "ACME-1", "Acme", None)
            add_did(session, clock, SITE, NumberClass.GEOGRAPHIC)
            assign_did(session, clock, SITE, "ACME-1")
            add_endpoint(session, clock, "desk", "ACME-1", caller_did=None, emergency_did=SITE, ha1=PHONE_HA1)
            for turn, (name, port) in enumerate(zip(WAYS, free_ports(2), strict=True)):
                add_trunk(session, clock, name, host=MOBILE, port=port, direction=TrunkDirection.OUTBOUND, emergency=turn)
            add_trunk(session, clock, "carrier-a", host=CARRIER, port=carrier, match=[CARRIER])
            add_trunk(session, clock, "mobile-a", host=MOBILE, port=carrier, direction=TrunkDirection.OUTBOUND)
            session.commit()
        make_secrets(self.settings)
        write_files(self.settings.conf_dir, dict(self.texts()))
        door = AriDoor("127.0.0.1", ari, self.settings.ari.user, read_secret(self.settings.ari_secret_path))
        self.asterisk = PrivateAsterisk(root, self.settings.conf_dir, ari=door)

    def conf(self) -> NodeConf:
        """What the files are rendered from at present."""
        with Session(self.engine) as session:
            return gather(self.settings, session, self.root)

    def texts(self) -> dict[str, str]:
        """The files as they would be rendered at present."""
        return render(self.conf())

    @property
    def log(self) -> str:
        """Asterisk's own log."""
        return (self.settings.log_dir / "messages").read_text(encoding="utf-8")

    def start(self) -> None:
        """Start Asterisk and wait until it answers."""
        self.asterisk.start()
        self.asterisk.wait_ready()

    def stop(self) -> None:
        """Stop everything."""
        self.asterisk.stop()
        self.engine.dispose()


def sip_request(method: str, source: str, port: int, *, user: str, to: str, headers: str = "", within: float = 10.0) -> str:
    """Send one SIP request over UDP from `source`; return the first answer that is not provisional, or '' when none comes within so many seconds."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        peer.bind((source, 0))
        here = f"{source}:{peer.getsockname()[1]}"
        tag = time.monotonic_ns()
        text = (
            f"{method} sip:{to}@127.0.0.1:{port} SIP/2.0\r\nVia: SIP/2.0/UDP {here};branch=z9hG4bK{tag}\r\nMax-Forwards: 70\r\n"
            f"From: <sip:{user}@{source}>;tag={tag}\r\nTo: <sip:{to}@127.0.0.1>\r\nCall-ID: {tag}@{source}\r\nCSeq: 1 {method}\r\n"
            f"Contact: <sip:{user}@{here}>\r\n{headers}Content-Length: 0\r\n\r\n"
        )
        peer.sendto(text.encode(), ("127.0.0.1", port))
        deadline = time.monotonic() + within
        while (left := deadline - time.monotonic()) > 0:
            peer.settimeout(left)
            try:
                status = peer.recv(65536).decode(errors="replace").split("\r\n", 1)[0]
            except TimeoutError:
                break
            if not status.startswith("SIP/2.0 1"):
                return status.removeprefix("SIP/2.0 ")
    return ""
