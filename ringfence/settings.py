"""The frozen settings tree: defaults < file < environment. Secrets come from files only.

The file is TOML (`ringfence.toml`; RINGFENCE_CONFIG or `--config` names another). Any key can be set in the environment as
RINGFENCE_<SECTION>__<KEY>, or RINGFENCE_<KEY> for those at the top. An unknown key is an error.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from ringfence.errors import Misconfigured

DEFAULT_FILES = (Path("ringfence.toml"), Path("/etc/ringfence/ringfence.toml"))


class Database(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where the store is."""

    url: str = ""  # SQLAlchemy URL without a password; empty = sqlite:///<home>/ringfence.db
    password_file: str = ""  # for PostgreSQL, when neither peer authentication nor ~/.pgpass is used


class Asterisk(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The Asterisk of this node."""

    sip_host: str = "127.0.0.1"  # address the SIP transports bind to
    sip_port: int = 5060
    external_host: str = ""  # address written into SIP and SDP when behind NAT
    rtp_start: int = 10000
    rtp_end: int = 20000
    conf_dir: str = ""  # where rendered files go; empty = <home>/asterisk/etc
    log_dir: str = ""  # Asterisk's log folder, which holds cdr-custom/ledger.json; empty = <home>/asterisk/log
    root: str = ""  # a private Asterisk's root folder; empty = the packaged one
    qualify_seconds: int = 30  # OPTIONS to each trunk, so that a dead one is known before a call; 0 = off
    tls_cert: str = ""  # certificate and key of the TLS transport, for trunks that use it
    tls_key: str = ""
    max_calls: int = 0  # ordinary calls at once; 0 = no limit
    emergency_calls: int = 4  # calls to 999 for which Asterisk keeps room on top of max_calls
    emergency_wait: float = 6.0  # seconds after which an emergency trunk that neither rings nor answers is passed over, 1 to 20


class Ari(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The ARI socket and the application on it."""

    host: str = "127.0.0.1"
    port: int = 8088
    user: str = "ringfence"
    secret_file: str = ""  # empty = <home>/secrets/ari
    app: str = "ringfence"
    request_timeout: float = 2.0  # seconds
    max_rate: float = 200.0  # new calls a second above which the app answers congestion
    burst: int = 200  # calls that may arrive at once on top of the rate


class Agi(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The FastAGI route server."""

    host: str = "127.0.0.1"
    port: int = 4573
    deadline: float = 2.0  # seconds for one request, connect to answer


class Ami(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The manager connection."""

    host: str = "127.0.0.1"
    port: int = 5038
    user: str = "ringfence"
    secret_file: str = ""  # empty = <home>/secrets/ami
    timeout: float = 5.0  # seconds for one action


class Routing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Rules of this operator."""

    ring_seconds: int = 25  # default for a target
    max_diversions: int = 5  # Diversion count at which a call is a loop
    max_repeats: int = 8  # same caller to the same DID within `repeat_seconds`: a loop
    repeat_seconds: int = 10
    drama_numbers: bool = False  # accept Ofcom's drama numbers (demo and tests only)
    international: bool = False  # may endpoints call, and DIDs forward to, numbers outside the UK


class Health(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Loopback ports of /metrics, /healthz and /readyz, one for each process; 0 = off."""

    host: str = "127.0.0.1"
    ari: int = 9471
    agi: int = 9472
    ledger: int = 9473
    ami: int = 9474
    worker: int = 9475


class Controller(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who answers for the data (claim ON-1): printed on every report, export and notice."""

    name: str = ""
    privacy_contact: str = ""
    support_contact: str = ""


class Retention(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How long data is kept."""

    policy: str = "recommended"  # key of the operator's policy; an account can have another


class Worker(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """When the worker looks whether something is due."""

    interval_minutes: int = 15  # 1 to 1440
    start_hours: int = 2  # a day's run begins so many hours after midnight in London, 0 to 12; at once when one was missed


class Emergency(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The carrier that keeps addresses for 999."""

    carrier: str = ""  # simwood, magrathea or batch; empty = none yet: addresses wait
    secret_file: str = ""  # user and password at the carrier, one a line; empty = <home>/secrets/<carrier>
    ca_file: str = ""  # certificates that the carrier's must be signed by; empty = the system's
    connect_seconds: float = 5.0  # until a connection stands
    answer_seconds: float = 20.0  # for each answer
    simwood_url: str = "https://api.simwood.com/v3"
    simwood_account: str = ""
    magrathea_host: str = "api.magrathea-telecom.co.uk"
    magrathea_port: int = 777
    magrathea_tls: bool = True  # false = plain text, and only to a loopback or private address
    magrathea_ported_file: str = ""  # numbers that were ported in, one a line
    batch_dir: str = ""  # folder of batches and answers; empty = <home>/emergency
    confirm_every: str = "P12M"  # an address is confirmed again after this period (ISO 8601): classes fixed and multi_site
    confirm_nomadic_every: str = "P6M"  # the same of the class nomadic
    webhook_host: str = "127.0.0.1"  # loopback: the operator's TLS proxy stands in front
    webhook_port: int = 0  # where the worker hears what carriers report by themselves; 0 = off
    webhook_secret_file: str = ""  # what carriers must show; goes with webhook_port
    test_days: int = 7  # a test of calls to 999 that is due longer than this is an incident


class Audit(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The audit log's name and key."""

    origin: str = ""  # what checkpoints are signed as, a URL without its scheme; one log a store; empty = ringfence/<node>
    key_file: str = ""  # empty = <home>/secrets/audit


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Everything that an installation can set."""

    node: str = "node1"  # unique among the nodes that share a store: [a-z0-9-]
    home: str = "/var/lib/ringfence"
    log_level: str = "info"
    database: Database = msgspec.field(default_factory=Database)
    asterisk: Asterisk = msgspec.field(default_factory=Asterisk)
    ari: Ari = msgspec.field(default_factory=Ari)
    agi: Agi = msgspec.field(default_factory=Agi)
    ami: Ami = msgspec.field(default_factory=Ami)
    routing: Routing = msgspec.field(default_factory=Routing)
    health: Health = msgspec.field(default_factory=Health)
    audit: Audit = msgspec.field(default_factory=Audit)
    controller: Controller = msgspec.field(default_factory=Controller)
    retention: Retention = msgspec.field(default_factory=Retention)
    worker: Worker = msgspec.field(default_factory=Worker)
    emergency: Emergency = msgspec.field(default_factory=Emergency)

    @property
    def database_url(self) -> str:
        """The SQLAlchemy URL, with the embedded default filled in."""
        return self.database.url or f"sqlite:///{self.home_path / 'ringfence.db'}"

    @property
    def home_path(self) -> Path:
        """The folder that holds everything this node writes."""
        return Path(self.home).expanduser().absolute()

    @property
    def conf_dir(self) -> Path:
        """Where Asterisk reads its configuration."""
        return Path(self.asterisk.conf_dir) if self.asterisk.conf_dir else self.home_path / "asterisk" / "etc"

    @property
    def log_dir(self) -> Path:
        """Asterisk's log folder."""
        return Path(self.asterisk.log_dir) if self.asterisk.log_dir else self.home_path / "asterisk" / "log"

    @property
    def ledger_path(self) -> Path:
        """The ledger that Asterisk appends to; rotated ones are beside it as ledger.json.<suffix>."""
        return self.log_dir / "cdr-custom" / "ledger.json"

    @property
    def journal_dir(self) -> Path:
        """The decision journals: what was decided, written before the call is handed over."""
        return self.home_path / "journal"

    @property
    def ari_secret_path(self) -> Path:
        """File with the ARI password."""
        return Path(self.ari.secret_file) if self.ari.secret_file else self.home_path / "secrets" / "ari"

    @property
    def ami_secret_path(self) -> Path:
        """File with the AMI password."""
        return Path(self.ami.secret_file) if self.ami.secret_file else self.home_path / "secrets" / "ami"

    @property
    def audit_dir(self) -> Path:
        """Where checkpoints and the verifier key are published."""
        return self.home_path / "audit"

    @property
    def audit_origin(self) -> str:
        """The name that checkpoints are signed as, when a key is made."""
        return self.audit.origin or f"ringfence/{self.node}"

    @property
    def audit_key_path(self) -> Path:
        """File with the private key of the audit log."""
        return Path(self.audit.key_file) if self.audit.key_file else self.home_path / "secrets" / "audit"


def read_secret(path: Path) -> str:
    """Return the secret in `path`, without its line end.

    Raises:
        Misconfigured: the file is missing, empty, or others can read it.
    """
    try:
        mode = path.stat().st_mode
        secret = path.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise Misconfigured(f"cannot read the secret in {path}: {error.strerror}", hint="run 'ringfence config secrets' to make it") from error
    if mode & 0o077:
        raise Misconfigured(f"others can read the secret in {path}", hint=f"chmod 600 {path}")
    if not secret:
        raise Misconfigured(f"the secret in {path} is empty", hint="run 'ringfence config secrets' to make it")
    return secret


def find_file(explicit: Path | None, environment: Mapping[str, str]) -> Path | None:
    """Return the settings file to read, or None when there is none and defaults hold.

    Raises:
        Misconfigured: a file was named that does not exist.
    """
    named = explicit or (Path(environment["RINGFENCE_CONFIG"]) if environment.get("RINGFENCE_CONFIG") else None)
    if named is not None:
        if not named.is_file():
            raise Misconfigured(f"there is no settings file {named}", hint="name another with --config, or unset RINGFENCE_CONFIG")
        return named
    return next((path for path in DEFAULT_FILES if path.is_file()), None)


def load(explicit: Path | None = None, environment: Mapping[str, str] | None = None) -> Settings:
    """Return the settings.

    Raises:
        Misconfigured: the file cannot be read, a key is unknown, or a value has the wrong type.
    """
    return load_with_origins(explicit, environment)[0]


def load_with_origins(explicit: Path | None = None, environment: Mapping[str, str] | None = None) -> tuple[Settings, dict[str, str]]:
    """Return the settings, and for each key that is not a default where its value came from."""
    environment = os.environ if environment is None else environment
    path = find_file(explicit, environment)
    tree: dict[str, Any] = {}
    origins: dict[str, str] = {}
    if path is not None:
        try:
            tree = tomllib.loads(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise Misconfigured(f"cannot read {path}: {error}", hint="it must be TOML; see docs/operating.md") from error
        origins.update(dict.fromkeys(_keys(tree), str(path)))
    for name, value in environment.items():
        if not name.startswith("RINGFENCE_") or name == "RINGFENCE_CONFIG":
            continue
        section, _, key = name.removeprefix("RINGFENCE_").lower().partition("__")
        if key:
            tree.setdefault(section, {})[key] = value
        else:
            tree[section] = value
        origins[f"{section}.{key}" if key else section] = name
    try:
        settings = msgspec.convert(tree, Settings, strict=False)
    except msgspec.ValidationError as error:
        where = str(path) if path else "the environment"
        raise Misconfigured(f"settings in {where}: {error}", hint="'ringfence config show' lists every key") from error
    _check(settings)
    return settings, origins


def _keys(tree: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from _keys(value, f"{prefix}{key}.")
        else:
            yield prefix + key


def _check(settings: Settings) -> None:
    if not (1 <= settings.asterisk.emergency_wait <= 20 and 1 <= settings.asterisk.emergency_calls <= 1000):
        raise Misconfigured("asterisk.emergency_wait or asterisk.emergency_calls is out of range", hint="1 to 20 seconds, and room for 1 to 1000 calls")
    if not 1 <= settings.emergency.test_days <= 90:
        raise Misconfigured("emergency.test_days is out of range", hint="1 to 90 days")
    if not settings.node or not all(c.isascii() and (c.isalnum() or c == "-") for c in settings.node):
        raise Misconfigured(f"node is {settings.node!r}", hint="use lower-case letters, digits and '-'")
    for host in (settings.ari.host, settings.agi.host, settings.ami.host, settings.health.host, settings.emergency.webhook_host):
        if host not in {"localhost", "::1"} and not host.startswith("127."):
            hint = "ARI, AGI, AMI, metrics and the webhook stay on loopback; a node's daemons run beside its Asterisk"
            raise Misconfigured(f"{host} is not a loopback address", hint=hint)
    webhook = settings.emergency
    if bool(webhook.webhook_port) is not bool(webhook.webhook_secret_file) or not 0 <= webhook.webhook_port <= 65535:
        hint = "set both, or neither; 'ringfence config secrets' makes the file"
        raise Misconfigured("emergency.webhook_port and emergency.webhook_secret_file go together", hint=hint)
    worker = settings.worker
    if not 1 <= worker.interval_minutes <= 1440 or not 0 <= worker.start_hours <= 12:
        raise Misconfigured("worker.interval_minutes or worker.start_hours is out of range", hint="1 to 1440 minutes, and 0 to 12 hours after midnight")
