"""What people do to the store over the years: customers come and go, numbers change hands, policies change, legal holds are placed and released."""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from importlib.resources import files
from typing import Any

from sqlalchemy.orm import Session, sessionmaker

from retention import holds
from retention.policies import acts as policies
from ringfence.clock import FixedClock
from ringfence.queries import accounts, numbering
from ringfence.queries.conservation import begin_alone
from ringfence.queries.holds import Scope
from ringfence.values import E164, NumberClass
from tests.database.years.reference import Hold, Reference, Rule

CALLERS = [f"+44117496{number:04}" for number in range(500, 520)]
MOBILES = [f"+447700900{number:03}" for number in range(100, 120)]
_RULES = {
    "account": Rule(72),
    "billing": Rule(75, year_end=True, minimum=Rule(72, year_end=True)),
    "call_log": Rule(12),
    "incident": Rule(72),
    "legal_hold": Rule(72),
    "numbering": Rule(24),
    "plan_change": Rule(0, 30),
    "proof": Rule(84),
}
# What each version says; the texts of the first are the product's own. Of two versions the later ones differ in these classes.
_TEXTS: dict[tuple[str, int], dict[str, dict[str, str]]] = {
    ("recommended", 2): {"call_log": {"window": "P6M"}, "ledger": {"window": "P1M"}, "proof": {"window": "P24M"}, "account": {"window": "P18M"}},
    ("recommended", 3): {"call_log": {"window": "P13M"}, "proof": {"window": "P24M"}, "account": {"window": "P18M"}, "incident": {"window": "P30D"}},
    ("quayside", 1): {
        "call_log": {"window": "P1M"},
        "ledger": {"window": "P28D"},
        "export": {"window": "P28D"},
        "billing": {"window": "P13M", "from": "billed", "minimum": "P12M", "minimum_from": "financial_year_end"},
        "account": {"window": "P6M"},
        "numbering": {"window": "P3M"},
    },
}
_QUAYSIDE = {
    **_RULES,
    "call_log": Rule(1),
    "billing": Rule(13, minimum=Rule(12, year_end=True)),
    "account": Rule(6),
    "numbering": Rule(3),
}
VERSIONS: dict[tuple[str, int], dict[str, Rule]] = {
    ("recommended", 2): {**_RULES, "call_log": Rule(6), "proof": Rule(24), "account": Rule(18)},
    ("recommended", 3): {**_RULES, "call_log": Rule(13), "proof": Rule(24), "account": Rule(18), "incident": Rule(0, 30)},
    ("quayside", 1): _QUAYSIDE,
}


def reference() -> Reference:
    """Return what holds in an empty store: the product's own policy."""
    long_ago = date(2000, 1, 1)
    return Reference("recommended", {"recommended": [(long_ago, _RULES)]})


@dataclass
class Proposed:
    """A version on its way."""

    policy: str
    version: int
    effective: date
    sha256: str
    approved: bool = False


class People:
    """Operators and customers.

    Args:
        sessions: the store's.
        clock: the simulation's.
        told: the reference, which is told of every act.
        chance: the simulation's dice.
    """

    def __init__(self, sessions: sessionmaker[Session], clock: FixedClock, told: Reference, chance: random.Random) -> None:
        self._sessions, self._clock, self._told, self._chance = sessions, clock, told, chance
        self._made = 0
        self._numbers = 0
        self.owners: dict[str, int | None] = {}  # our numbers, and whose they are
        self.open: dict[str, int] = {}  # accounts that are not closed
        self.secrets: set[str] = set()  # holds that are, or were, secret
        self._proposed: list[Proposed] = []

    def account(self) -> None:
        """A customer comes, with a phone and one or two numbers."""
        self._made += 1
        ref = f"c{self._made}"
        with self._sessions.begin() as session:
            made = accounts.add_account(session, self._clock, ref, f"Customer {self._made}", None)
            self.open[ref] = made.id
        for _ in range(self._chance.randint(1, 2)):
            self.number(ref)
        with self._sessions.begin() as session:
            dids = [e164 for e164, owner in self.owners.items() if owner == self.open[ref]]
            accounts.add_endpoint(session, self._clock, f"phone-{ref}", ref, caller_did=dids[0], ha1="0" * 32)

    def number(self, ref: str) -> None:
        """Give a number to a customer: a new one, or one out of quarantine."""
        free = [e164 for e164, owner in self.owners.items() if owner is None]
        with self._sessions.begin() as session:
            if free and self._chance.random() < 0.5:
                e164 = self._chance.choice(free)
            else:
                e164 = f"+442079460{100 + self._numbers:03}"
                self._numbers += 1
                numbering.add_did(session, self._clock, E164(e164), NumberClass.GEOGRAPHIC)
            numbering.assign_did(session, self._clock, e164, ref, end_quarantine=True)
        self.owners[e164] = self.open[ref]

    def release_number(self) -> None:
        """A customer gives a number back."""
        owned = sorted(e164 for e164, owner in self.owners.items() if owner is not None)
        if owned:
            e164 = self._chance.choice(owned)
            with self._sessions.begin() as session:
                numbering.release_dids(session, self._clock, [e164])
            self.owners[e164] = None

    def close_account(self, ref: str | None = None) -> None:
        """A customer leaves."""
        ref = ref or self._chance.choice(sorted(self.open))
        with self._sessions.begin() as session:
            numbering.close_account(session, self._clock, ref)
        closed = self.open.pop(ref)
        self.owners = {e164: None if owner == closed else owner for e164, owner in self.owners.items()}

    def put_under(self, ref: str, policy: str | None) -> None:
        """Put an account under a policy."""
        account = self.open[ref]
        if self._told.own.get(account) == policy:
            return
        with self._sessions.begin() as session:
            begin_alone(session)
            policies.assign(session, self._clock, account, policy, self._told.default)
        self._told.own.pop(account, None)
        self._told.rows["account_policy"].pop((account,), None)
        if policy:
            self._told.own[account] = policy

    def propose(self, policy: str, version: int, effective: date) -> None:
        """Put a version forward; `settle_policies` brings it on its way."""
        with self._sessions.begin() as session:
            begin_alone(session)
            row = policies.propose(session, self._clock, policy_text(policy, version, effective).encode(), f"{policy}.toml", by="kim")
            self._proposed.append(Proposed(policy, version, effective, row.sha256))

    def settle_policies(self) -> None:
        """A second operator approves what was proposed, then customers are told of what was approved; one step each time."""
        for each in list(self._proposed):
            with self._sessions.begin() as session:
                begin_alone(session)
                if each.approved:
                    policies.announce(session, self._clock, each.policy, each.version)
                else:
                    policies.approve(session, self._clock, each.policy, each.version, sha256=each.sha256, by="lee")
            if each.approved:
                self._proposed.remove(each)
                self._told.policies.setdefault(each.policy, []).append((each.effective, VERSIONS[each.policy, each.version]))
            each.approved = True

    def hold(self, today: datetime) -> None:
        """Place a hold of some shape."""
        chance = self._chance
        since = today - timedelta(days=chance.randint(20, 500))
        period = {"since": since, "until": since + timedelta(days=chance.randint(1, 60))}
        number = chance.choice([*self.owners, *CALLERS[:6], *MOBILES[:6]])
        account = chance.choice(sorted(self.open.values())) if self.open else 1
        shapes: list[dict[str, Any]] = [
            {"account_id": account},
            {"number": number},
            {"account_id": account, "number": number},
            {"data_class": "call_log", **period},
            {"data_class": "billing", "account_id": account, **period},
            {"number": number, "since": since},
            {**period, "until": since + timedelta(days=3)},
            {"data_class": chance.choice(["call_log", "numbering", "account", "billing"]), "account_id": account},
        ]
        scope, secret = Scope(**chance.choice(shapes)), chance.random() < 0.4
        with self._sessions.begin() as session:
            review = (today + timedelta(days=90)).date()
            made = holds.place(session, self._clock, scope, reason="a claim", owner="kim", review_by=review, secret=secret).id
        if secret:
            self.secrets.add(made)
        self._told.holds[made] = Hold(scope.data_class, scope.account_id, scope.number, scope.since, scope.until, secret)

    def release_hold(self) -> None:
        """End one of the holds."""
        if self._told.holds:
            name = self._chance.choice(list(self._told.holds))
            with self._sessions.begin() as session:
                holds.release(session, self._clock, name, by="kim")
            self._told.release(name)

    def refs(self) -> list[str]:
        """Return the customers that there are."""
        return sorted(self.open)


def policy_text(policy: str, version: int, effective: date) -> str:
    """Return the text of a version: the product's recommended policy with other numbers."""
    changes, where, lines = _TEXTS[policy, version], "", []
    for line in files("retention.policies").joinpath("recommended.toml").read_text(encoding="utf-8").splitlines():
        key = line.partition(" = ")[0]
        if line.startswith("["):
            where = line.strip("[]").removeprefix("class.")
        wanted = {"version": str(version), "effective": effective.isoformat()} if not where else {k: f'"{v}"' for k, v in changes.get(where, {}).items()}
        lines.append(f"{key} = {wanted[key]}" if key in wanted else line)
        if key == "minimum" and "minimum_from" in wanted:
            lines.append(f"minimum_from = {wanted['minimum_from']}")
    return "\n".join(lines) + "\n"
