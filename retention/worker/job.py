"""What the worker does from time to time: a name, how often, and a function. Whether there is something to do, the function asks the store."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from datetime import datetime, timedelta
from threading import Event

import msgspec
from sqlalchemy import Engine
from sqlalchemy.orm import Session, sessionmaker

from retention.purge.governing import governing
from retention.standing import Standing, look
from retention.worker.metrics import WorkerMetrics
from retention.worker.steady import Steady
from ringfence.clock import Clock
from ringfence.queries import moments
from ringfence.session import make_sessions
from ringfence.settings import Settings


class Context(msgspec.Struct):
    """What jobs work on."""

    engine: Engine
    settings: Settings
    clock: Clock
    stop: Event  # set: end as soon as what is begun can be left
    metrics: WorkerMetrics
    steady: Steady
    holder: str  # names this process in leases
    store_now: Callable[[Session], datetime]
    largest: int | None = None  # rows in a batch; None = as many as its time allows

    @property
    def sessions(self) -> sessionmaker[Session]:
        """Makes sessions on the store."""
        return make_sessions(self.engine)

    def standing(self) -> Standing:
        """Return where retention stands now, and let the metrics show it."""
        now = self.clock.now()
        with self.sessions() as session:
            found = look(session, governing(session, self.settings.retention.policy, now), now)
        self.metrics.standing = found
        return found


class Job(msgspec.Struct, frozen=True):
    """Something to do from time to time."""

    name: str  # [a-z_]; a label of metrics, and with `_failed` the cause of an incident
    every: timedelta
    act: Callable[[Context], timedelta | None]  # returns when it wants its next turn, None = as ever


def make_context(engine: Engine, settings: Settings, clock: Clock, stop: Event | None = None) -> Context:
    """Return what this process's jobs work on. No two processes have the same holder, also not one after the other."""
    holder = f"{settings.node}:{os.getpid()}:{secrets.token_hex(4)}"
    return Context(engine, settings, clock, stop or Event(), WorkerMetrics(clock), Steady(clock), holder, moments.store_now)
