"""Nodes, as they last told about themselves."""

from __future__ import annotations

from datetime import datetime
from typing import TypedDict, Unpack

from sqlalchemy import func, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from ringfence.models import Call, Node, PlanState
from ringfence.provisioning import not_found
from ringfence.values import RoutedBy


class NodeValues(TypedDict, total=False):
    """What a node's daemons tell; each tells its own part."""

    plan_version: int | None
    plan_at: datetime | None
    asterisk_started_at: datetime | None
    app_seen_at: datetime | None
    booker_seen_at: datetime | None
    astdb_version: int | None
    astdb_checked_at: datetime | None
    worker_seen_at: datetime | None
    files_purged_at: datetime | None


def report_node(session: Session, name: str, **values: Unpack[NodeValues]) -> None:
    """Write down what a node's daemon tells; makes the node when it is new. Safe from several daemons at once."""
    make = postgresql.insert(Node) if session.get_bind().dialect.name == "postgresql" else sqlite.insert(Node)
    session.execute(make.values(name=name).on_conflict_do_nothing())
    if values:
        session.execute(update(Node).where(Node.name == name).values(**values))


def get_node(session: Session, name: str) -> Node:
    """Return the node.

    Raises:
        NotFound: none of that name has told about itself.
    """
    node = session.get(Node, name)
    if node is None:
        raise not_found("node", name, session.scalars(select(Node.name)).all(), "ringfence node list")
    return node


def list_nodes(session: Session) -> list[Node]:
    """Return the nodes, by name."""
    return list(session.scalars(select(Node).order_by(Node.name)))


def plan_state(session: Session) -> tuple[int, datetime | None]:
    """Return the newest version of the plan and when it was made; 0 and None in a store that never had one."""
    row = session.execute(select(PlanState.version, PlanState.changed_at).where(PlanState.id == 1)).one_or_none()
    return (row.version, row.changed_at) if row else (0, None)


def count_routed_by(session: Session, node: str, since: datetime) -> dict[RoutedBy, int]:
    """Return how many of a node's calls that began since then each part of the system routed."""
    rows = select(Call.routed_by, func.count()).where(Call.node == node, Call.started_at >= since).group_by(Call.routed_by)
    found = {row[0]: row[1] for row in session.execute(rows)}
    return {by: found.get(by, 0) for by in RoutedBy}
