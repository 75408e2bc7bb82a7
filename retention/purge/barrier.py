"""Writes ahead up to when rows may be shown: the moment a window ends the row is unreadable, whether the worker runs or not."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from sqlalchemy.orm import Session

from retention.calendar import local_date, midnight
from retention.purge.governing import Governing
from ringfence.models.base import DataClass
from ringfence.queries import barrier

AHEAD = 62  # days that reading goes on rightly without a worker
CLASSES = (DataClass.CALL_LOG,)


def write_ahead(session: Session, governs: Callable[[datetime], Governing], now: datetime) -> None:
    """Write the barriers of today and of the days to come: cutoffs move at midnight in London, and so do policies.

    Args:
        session: the session.
        governs: gives the policies in force at a moment, as far as that is known now.
        now: aware.
    """
    today = local_date(now)
    rows = []
    for day in range(AHEAD + 1):
        valid_from = midnight(today + timedelta(days=day))
        policies = governs(max(valid_from, now))
        for policy in policies.all:
            for data_class in CLASSES:
                cutoff = policy.cutoff(data_class, valid_from)
                if cutoff is not None:
                    key = "" if policy is policies.default else policy.key
                    rows.append({"data_class": data_class.value, "policy": key, "valid_from": valid_from, "cutoff_at": cutoff.at})
    barrier.write(session, rows, now)
