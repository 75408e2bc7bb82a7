"""What the configuration of one Asterisk is made from. Values only."""

from __future__ import annotations

import msgspec

from ringfence.emergency import EmergencyAddress


class Directories(msgspec.Struct, frozen=True):
    """Asterisk's folders, absolute."""

    etc: str
    modules: str
    data: str
    db: str
    keys: str
    agi: str
    spool: str
    run: str
    log: str


class Login(msgspec.Struct, frozen=True):
    """A loopback service of Asterisk and who may use it."""

    host: str
    port: int
    user: str = ""
    secret: str = ""


class TrunkConf(msgspec.Struct, frozen=True):
    """A trunk as PJSIP needs it."""

    name: str
    host: str
    port: int
    transport: str  # udp, tcp or tls
    match: tuple[str, ...]
    inbound: bool
    outbound: bool
    diversion: bool
    username: str
    password: str
    register: bool
    number_format: str
    emergency: int | None  # its turn in calls to 999; None = it takes other calls
    location: bool = False  # does a call to 999 carry the address of the phone's site on it


class PhoneConf(msgspec.Struct, frozen=True):
    """A customer's phone as PJSIP needs it."""

    name: str
    ha1: str
    account: int
    site: str  # the number that 999 is shown; empty = there is none
    receive_only: bool  # may it take calls only
    address: EmergencyAddress | None = None  # of its site, when a trunk asks for it and a carrier has it


class Tls(msgspec.Struct, frozen=True):
    """Certificate and key of the TLS transport."""

    cert: str
    key: str


class NodeConf(msgspec.Struct, frozen=True):
    """Everything that the configuration of one Asterisk is made from."""

    node: str
    app: str
    asterisk: str  # the version of the Asterisk that reads it, such as '22.10.1'
    geolocation: bool  # has it the modules that put an address into a call
    dirs: Directories
    ari: Login
    ami: Login
    agi: Login
    sip_host: str
    sip_port: int
    external_host: str
    rtp_start: int
    rtp_end: int
    max_calls: int  # ordinary calls at once; 0 = no limit
    emergency_calls: int  # calls to 999 for which room is kept on top
    emergency_wait: float  # seconds without a sign of ringing after which an emergency trunk is passed over
    qualify_seconds: int
    tls: Tls | None
    trunks: tuple[TrunkConf, ...]
    phones: tuple[PhoneConf, ...]
