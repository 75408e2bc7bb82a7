"""What the configuration of this node's Asterisk is made from: settings, the store's trunks and phones, and secret files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sqlalchemy.orm import Session

from ari_app.private.root import Root, own_asterisk, private_root
from dialplan.emergency_location import MODULES
from dialplan.node_conf import Directories, Login, NodeConf, PhoneConf, Tls, TrunkConf
from ringfence.emergency import SUFFICIENT, WITH_ADDRESS, EmergencyAddress
from ringfence.errors import Misconfigured
from ringfence.models import Endpoint, Trunk
from ringfence.queries import emergency
from ringfence.queries.accounts import list_endpoints
from ringfence.queries.trunks import list_trunks
from ringfence.settings import Settings, read_secret
from ringfence.values import CallerIdMode, EmergencyLocation, TrunkDirection


def gather(settings: Settings, session: Session, root: Root | None = None) -> NodeConf:
    """Return everything that the configuration is made from; disabled trunks and phones are left out, and the phones of closed accounts.

    Args:
        settings: this installation's.
        session: an open session on the store.
        root: the Asterisk that will read it; found by the settings when None.

    Raises:
        Misconfigured: a secret is missing or open to others, a trunk's password file too, or there is no Asterisk.
    """
    root = root or find_asterisk(settings)
    trunks = tuple(sorted((_trunk(trunk) for trunk in list_trunks(session) if trunk.enabled), key=lambda trunk: trunk.name))
    phones = [endpoint for endpoint, _ in list_endpoints(session, open_only=True) if endpoint.enabled]
    addresses = _addresses(session, phones) if any(trunk.location for trunk in trunks) else {}
    return NodeConf(
        node=settings.node,
        app=settings.ari.app,
        asterisk=root.version,
        geolocation=all((root.modules_dir / f"{module}.so").is_file() for module in MODULES),
        dirs=directories(settings, root),
        ari=Login(settings.ari.host, settings.ari.port, settings.ari.user, read_secret(settings.ari_secret_path)),
        ami=Login(settings.ami.host, settings.ami.port, settings.ami.user, read_secret(settings.ami_secret_path)),
        agi=Login(settings.agi.host, settings.agi.port),
        sip_host=settings.asterisk.sip_host,
        sip_port=settings.asterisk.sip_port,
        external_host=settings.asterisk.external_host,
        rtp_start=settings.asterisk.rtp_start,
        rtp_end=settings.asterisk.rtp_end,
        max_calls=settings.asterisk.max_calls,
        emergency_calls=settings.asterisk.emergency_calls,
        emergency_wait=settings.asterisk.emergency_wait,
        qualify_seconds=settings.asterisk.qualify_seconds,
        tls=_tls(settings),
        trunks=trunks,
        phones=tuple(_phone(endpoint, addresses.get(endpoint.name)) for endpoint in phones),
    )


def find_asterisk(settings: Settings) -> Root:
    """Return the Asterisk of this node: the private one of `asterisk.root`, else the machine's own.

    Raises:
        Misconfigured: there is none that is new enough.
    """
    if settings.asterisk.root:
        return private_root(Path(settings.asterisk.root))
    own = own_asterisk()
    if own is None:
        raise Misconfigured("this machine has no Asterisk 22.10.1 or newer", hint="install one, or set asterisk.root to one that 'make setup' fetched")
    return own


def directories(settings: Settings, root: Root) -> Directories:
    """Return Asterisk's folders: Debian's own for a packaged Asterisk that reads a folder outside `home`, else all below `home`.

    The modules and the data always come from `root`.
    """
    base = settings.home_path / "asterisk"
    data = root.data_dir
    if settings.conf_dir.absolute().is_relative_to(settings.home_path):
        db, keys, spool, run = base / "db", base / "keys", base / "spool", base / "run"
    else:
        library = Path("/var/lib/asterisk")
        db, keys, spool, run = library, library / "keys", Path("/var/spool/asterisk"), Path("/var/run/asterisk")
    return Directories(
        etc=str(settings.conf_dir.absolute()),
        modules=str(root.modules_dir),
        data=str(data),
        db=str(db),
        keys=str(keys),
        agi=str(keys.parent / "agi-bin"),
        spool=str(spool),
        run=str(run),
        log=str(settings.log_dir.absolute()),
    )


def _tls(settings: Settings) -> Tls | None:
    cert, key = settings.asterisk.tls_cert, settings.asterisk.tls_key
    if bool(cert) != bool(key):
        raise Misconfigured("a certificate and its key belong together", hint="set both asterisk.tls_cert and asterisk.tls_key, or neither")
    return Tls(cert=cert, key=key) if cert else None


def _trunk(trunk: Trunk) -> TrunkConf:
    return TrunkConf(
        name=trunk.name,
        host=trunk.host,
        port=trunk.port,
        transport=str(trunk.transport),
        match=tuple(trunk.match),
        inbound=trunk.direction is not TrunkDirection.OUTBOUND,
        outbound=trunk.direction is not TrunkDirection.INBOUND,
        diversion=trunk.caller_id_mode is CallerIdMode.PASS_DIVERSION,
        username=trunk.username or "",
        password=read_secret(Path(trunk.password_file)) if trunk.password_file else "",
        register=trunk.register,
        number_format=str(trunk.number_format),
        emergency=trunk.emergency,
        location=trunk.emergency_location is EmergencyLocation.CIVIC,
    )


def _addresses(session: Session, phones: Sequence[Endpoint]) -> dict[str, EmergencyAddress]:
    """Return the addresses that calls to 999 may carry, by phone: of the site's number, its own account's, and one that a carrier took and did not refuse.

    A draft or a refused one is kept back: the control room would see two addresses, and the one in the database was checked.
    """
    records = emergency.currents(session, {site for phone in phones if (site := _site(phone))})
    found = ((phone, records.get(_site(phone))) for phone in phones)
    return {
        phone.name: emergency.address_of(record)
        for phone, record in found
        if record and record.account_id == phone.account_id and record.state in SUFFICIENT and record.location in WITH_ADDRESS
    }


def _site(endpoint: Endpoint) -> str:
    return endpoint.emergency_did or endpoint.caller_did or ""


def _phone(endpoint: Endpoint, address: EmergencyAddress | None) -> PhoneConf:
    return PhoneConf(
        name=endpoint.name,
        ha1=endpoint.ha1,
        account=endpoint.account_id,
        site=_site(endpoint),
        receive_only=endpoint.receive_only,
        address=address,
    )
