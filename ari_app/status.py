"""How this node is: each part is asked by itself and at once, so that one that is away hides nothing of the others."""

from __future__ import annotations

import http.client
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from enum import StrEnum

import msgspec
from sqlalchemy.orm import Session

from ari_app.ari import http as ari
from ari_app.cdr.tail import ledger_files
from ari_app.configuration.stale import ConfigurationStanding, configuration_standing
from ringfence.errors import NotFound, RingfenceError
from ringfence.ledgerfile import file_identity
from ringfence.queries import emergency_tests, incidents, ledger, nodes, standing
from ringfence.queries.emergency_tests import DueTest
from ringfence.settings import Settings
from ringfence.values import RoutedBy

_PATIENCE = 2.0  # seconds for each part
_HEAD = 4096
_SILENT_AFTER = 15.0  # seconds after which a node that says nothing is told so; its daemons speak every five
_FOLLOWS_WITHIN = 3.0  # seconds within which the app must have a new plan


class Condition(StrEnum):
    """How a part is."""

    UP = "up"
    DOWN = "down"
    UNKNOWN = "unknown"  # the settings keep it from being asked, or too little is known


class Part(msgspec.Struct, frozen=True):
    """One part of the node."""

    name: str
    condition: Condition
    detail: str


class PlanStanding(msgspec.Struct, frozen=True):
    """Which plan is where; None = not known."""

    store_version: int | None
    store_changed_at: datetime | None
    app_version: int | None
    app_age_seconds: float | None  # since the store last confirmed it
    agi_version: int | None
    astdb_version: int | None


class LedgerStanding(msgspec.Struct, frozen=True):
    """What of the ledger is booked; None = not known."""

    files: int
    bytes_behind: int | None
    set_aside_today: int | None  # lines of the last 24 hours that could not be booked


class NodeStanding(msgspec.Struct, frozen=True):
    """A node as it last told about itself."""

    name: str
    silent: bool
    plan_version: int | None
    app_seen_at: datetime | None
    booker_seen_at: datetime | None
    worker_seen_at: datetime | None
    asterisk_started_at: datetime | None
    astdb_version: int | None


class PurgeStanding(msgspec.Struct, frozen=True):
    """What the store says of retention; 'ringfence retention status' says more."""

    finished_at: datetime | None  # when a run came to its end last, of any worker
    incidents: int  # open


class EmergencyStanding(msgspec.Struct, frozen=True):
    """Whether calls to 999 were tested on this node as they go now."""

    passed_at: datetime | None  # when a test was passed last
    due: tuple[DueTest, ...] = ()


class Stored(msgspec.Struct, frozen=True):
    """What the store says."""

    plan_version: int
    plan_changed_at: datetime | None
    nodes: tuple[NodeStanding, ...]
    positions: dict[str, int]  # bytes booked, by ledger file
    set_aside_today: int
    last_hour: dict[RoutedBy, int]
    last_day: dict[RoutedBy, int]
    purge: PurgeStanding
    tests: EmergencyStanding = EmergencyStanding(None)


class Status(msgspec.Struct, frozen=True):
    """The whole of it."""

    node: str
    at: datetime
    parts: tuple[Part, ...]
    plan: PlanStanding
    ledger: LedgerStanding
    routed_last_hour: dict[RoutedBy, int] | None
    routed_last_day: dict[RoutedBy, int] | None
    nodes: tuple[NodeStanding, ...] | None
    purge: PurgeStanding | None
    tests: EmergencyStanding | None  # of calls to 999
    configuration: ConfigurationStanding

    @property
    def down(self) -> tuple[str, ...]:
        """The parts that are down."""
        return tuple(part.name for part in self.parts if part.condition is Condition.DOWN)


def look(settings: Settings, now: datetime, read_store: Callable[[], Stored], read_stale: Callable[[], tuple[str, ...]]) -> Status:
    """Ask every part, and return what is known. Never raises for a part that is away.

    Args:
        settings: this node's.
        now: the present moment.
        read_store: reads the store (`stored` in a session); raises when it is away.
        read_stale: compares the configuration in place (`stale_files` in a session).
    """
    health = settings.health
    daemons = {"ari app": health.ari, "route server": health.agi, "booker": health.ledger, "astdb keeper": health.ami, "worker": health.worker}
    with ThreadPoolExecutor(max_workers=12, thread_name_prefix="status") as pool:
        asked = [pool.submit(_part, "asterisk", lambda: _asterisk(settings)), pool.submit(_part, "ari application", lambda: _application(settings))]
        asked.append(pool.submit(_part, "manager", lambda: _manager(settings)))
        asked += [pool.submit(_daemon, name, health.host, port) for name, port in daemons.items()]
        measured = [pool.submit(_metrics, health.host, port) for port in (health.ari, health.agi)]
        in_store = pool.submit(_store, read_store)
        files = pool.submit(configuration_standing, read_stale)
        parts, found = [future.result() for future in asked], in_store.result()
        app, agi = (future.result() for future in measured)
        configuration = files.result()
    store = found if isinstance(found, Stored) else None
    plan = _plan(settings, store, app, agi)
    parts.append(_store_part(found))
    parts.append(_plan_part(plan, now))
    return Status(
        node=settings.node,
        at=now,
        parts=tuple(parts),
        plan=plan,
        ledger=_ledger(settings, store),
        routed_last_hour=store.last_hour if store else None,
        routed_last_day=store.last_day if store else None,
        nodes=store.nodes if store else None,
        purge=store.purge if store else None,
        tests=store.tests if store else None,
        configuration=configuration,
    )


def stored(session: Session, node: str, now: datetime) -> Stored:
    """Read what the store says of this node and the others."""
    version, changed_at = nodes.plan_state(session)
    return Stored(
        plan_version=version,
        plan_changed_at=changed_at,
        nodes=tuple(
            NodeStanding(
                name=row.name,
                silent=any(seen is None or now - seen > timedelta(seconds=_SILENT_AFTER) for seen in (row.app_seen_at, row.booker_seen_at)),
                plan_version=row.plan_version,
                app_seen_at=row.app_seen_at,
                booker_seen_at=row.booker_seen_at,
                worker_seen_at=row.worker_seen_at,
                asterisk_started_at=row.asterisk_started_at,
                astdb_version=row.astdb_version,
            )
            for row in nodes.list_nodes(session)
        ),
        positions={file_id: at.offset for file_id, at in ledger.list_positions(session, node).items()},
        set_aside_today=len(ledger.list_set_aside(session, node, now - timedelta(days=1))),
        last_hour=nodes.count_routed_by(session, node, now - timedelta(hours=1)),
        last_day=nodes.count_routed_by(session, node, now - timedelta(days=1)),
        purge=_purge(session),
        tests=_tests(session, node, now),
    )


def _tests(session: Session, node: str, now: datetime) -> EmergencyStanding:
    passed = emergency_tests.last_passed(session, node)
    return EmergencyStanding(passed.at if passed else None, tuple(emergency_tests.due(session, now, node=node)))


def _purge(session: Session) -> PurgeStanding:
    last = standing.newest_run(session, ended=True)
    return PurgeStanding(last.finished_at if last else None, len(incidents.list_incidents(session)))


def _part(name: str, ask: Callable[[], str]) -> Part:
    try:
        return Part(name, Condition.UP, ask())
    except RingfenceError as error:
        return Part(name, Condition.DOWN, error.message)
    except OSError as error:
        return Part(name, Condition.DOWN, error.strerror or type(error).__name__)
    except (ValueError, KeyError, TypeError, http.client.HTTPException) as error:
        return Part(name, Condition.DOWN, f"answers what nobody understands ({type(error).__name__})")


def _asterisk(settings: Settings) -> str:
    info = ari.request(settings, "GET", "asterisk/info", timeout=_PATIENCE)
    return f"Asterisk {info['system']['version']}, up since {info['status']['startup_time']}"


def _application(settings: Settings) -> str:
    try:
        ari.request(settings, "GET", f"applications/{settings.ari.app}", timeout=_PATIENCE)
    except NotFound as error:
        raise RingfenceError("not registered: calls are routed by the route server or AstDB") from error
    return f"{settings.ari.app} is registered"


def _manager(settings: Settings) -> str:
    with socket.create_connection((settings.ami.host, settings.ami.port), timeout=_PATIENCE) as connection:
        banner = connection.recv(80).decode("latin-1").strip()
    if not banner.startswith("Asterisk Call Manager"):
        raise RingfenceError(f"something else than a manager answers on port {settings.ami.port}")
    return banner


def _daemon(name: str, host: str, port: int) -> Part:
    if port == 0:
        return Part(name, Condition.UNKNOWN, "its health port is off")
    return _part(name, lambda: _readyz(host, port))


def _readyz(host: str, port: int) -> str:
    status, body = _get(host, port, "/readyz")
    checks = msgspec.json.decode(body, type=_Ready).checks
    if status != 200:
        raise RingfenceError("; ".join(f"{name}: {problem}" for name, problem in checks.items() if problem != "ok"))
    return "ready" + (f" ({', '.join(checks)})" if checks else "")


class _Ready(msgspec.Struct):
    checks: dict[str, str]


def _metrics(host: str, port: int) -> dict[str, float]:
    """Return a process's metrics without labels; nothing when it is away."""
    if port == 0:
        return {}
    try:
        _, body = _get(host, port, "/metrics")
        lines = (line.split(" ") for line in body.decode("utf-8", "replace").splitlines() if not line.startswith("#"))
        return {name: float(value) for name, value in (line for line in lines if len(line) == 2) if "{" not in name}
    except (OSError, http.client.HTTPException, ValueError):
        return {}


def _get(host: str, port: int, path: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(host, port, timeout=_PATIENCE)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read(1 << 20)
    finally:
        connection.close()


def _store(read_store: Callable[[], Stored]) -> Stored | str:
    try:
        return read_store()
    except RingfenceError as error:
        return error.message
    except Exception as error:  # noqa: BLE001  whatever a driver raises: the store is away, and that is the answer
        return f"the store does not answer: {type(error).__name__}"


def _store_part(found: Stored | str) -> Part:
    return Part("store", Condition.DOWN, found) if isinstance(found, str) else Part("store", Condition.UP, f"plan version {found.plan_version}")


def _plan(settings: Settings, store: Stored | None, app: dict[str, float], agi: dict[str, float]) -> PlanStanding:
    own = next((row for row in store.nodes if row.name == settings.node), None) if store else None
    return PlanStanding(
        store_version=store.plan_version if store else None,
        store_changed_at=store.plan_changed_at if store else None,
        app_version=_whole(app.get("ringfence_plan_version")),
        app_age_seconds=app.get("ringfence_plan_age_seconds"),
        agi_version=_whole(agi.get("ringfence_plan_version")),
        astdb_version=own.astdb_version if own else None,
    )


def _plan_part(plan: PlanStanding, now: datetime) -> Part:
    if plan.store_version is None or plan.app_version is None:
        known = plan.app_version if plan.store_version is None else plan.store_version
        return Part("plan", Condition.UNKNOWN, "only one side is known" if known is not None else "nothing is known")
    behind = plan.store_version != plan.app_version
    late = behind and plan.store_changed_at is not None and now - plan.store_changed_at > timedelta(seconds=_FOLLOWS_WITHIN)
    detail = f"the app routes by version {plan.app_version}" + (f", the store has {plan.store_version}" if behind else "")
    return Part("plan", Condition.DOWN if late else Condition.UP, detail)


def _ledger(settings: Settings, store: Stored | None) -> LedgerStanding:
    files = list(_ledger_sizes(settings))
    behind = sum(max(size - store.positions.get(file_id, 0), 0) for file_id, size in files) if store else None
    return LedgerStanding(files=len(files), bytes_behind=behind, set_aside_today=store.set_aside_today if store else None)


def _ledger_sizes(settings: Settings) -> Iterator[tuple[str, int]]:
    """Yield identity and size of each ledger file; a copy counts once."""
    seen: set[str] = set()
    for path in ledger_files(settings.ledger_path):
        try:
            with path.open("rb") as file:
                file_id = file_identity(file.read(_HEAD))
                size = file.seek(0, 2)
        except OSError:  # rotated away meanwhile
            continue
        if file_id is not None and file_id not in seen:
            seen.add(file_id)
            yield file_id, size


def _whole(value: float | None) -> int | None:
    return None if value is None else int(value)
