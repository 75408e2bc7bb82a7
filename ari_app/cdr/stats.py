"""What a booker has done and where it stands."""

from __future__ import annotations

import msgspec


class BookerStats(msgspec.Struct):
    """Counts since the start, and where it stands; metrics are made of them."""

    lines: int = 0  # ledger lines read
    calls: int = 0  # calls booked
    repeated: int = 0  # calls that were in the store already
    lost: int = 0  # calls booked that went down with their Asterisk
    set_aside: int = 0  # lines
    late: int = 0  # records that came after the end of their call
    waiting: int = 0  # calls whose end has not come yet
    batches: int = 0  # transactions
    emergency_calls: int = 0  # calls to 999, 112 and 18000 booked
    emergency_failures: int = 0  # of these, calls that nobody answered
    outages: int = 0  # times that the store went away
    store_up: bool = True
    lag_bytes: int = 0
    lag_seconds: float = 0.0  # since everything was booked last; 0 = it is
