"""What happens in every life, whatever the dice say: the policies' changes, and accounts under policies of their own that close."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from tests.database.years.london import DAY, day_of
from tests.database.years.world import World

Act = Callable[[World], None]
SCRIPT: Mapping[int, Act] = {  # by day, counted from the first
    0: lambda world: _come(world, 4),
    20: lambda world: _propose(world, "quayside", 1, 45),
    75: lambda world: _put_under(world, 0, "quayside"),
    150: lambda world: _leave(world, ""),
    420: lambda world: _leave(world, "quayside"),
    500: lambda world: _propose(world, "recommended", 2, 50),
    900: lambda world: _put_under(world, 0, "quayside"),
    1300: lambda world: _propose(world, "recommended", 3, 60),
    1500: lambda world: _put_under(world, -1, "quayside"),
    1600: lambda world: _leave(world, "quayside"),
    1900: lambda world: _put_under(world, 0, None),
}


def _come(world: World, customers: int) -> None:
    for _ in range(customers):
        world.people.account()


def _propose(world: World, policy: str, version: int, days: int) -> None:
    world.people.propose(policy, version, day_of(world.clock.now()) + days * DAY)


def _put_under(world: World, place: int, policy: str | None) -> None:
    world.people.put_under(world.people.refs()[place], policy)


def _leave(world: World, policy: str) -> None:
    """Close the first account under a policy of its own; "" = the operator's."""
    refs = [ref for ref in world.people.refs() if world.told.own.get(world.people.open[ref], "") == policy]
    for ref in refs[:1]:
        world.people.close_account(ref)
