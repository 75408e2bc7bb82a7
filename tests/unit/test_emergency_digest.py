"""Which changes of a configuration make a test of calls to 999 due, and which do not."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from dialplan.emergency_digest import emergency_trunks, way_digest
from dialplan.render import render
from ringfence.emergency import EmergencyAddress
from tests.unit.test_emergency_call import PHONE, conf
from tests.unit.test_render import CONF, TRUNK, WAYS

replace = msgspec.structs.replace
OTHER = PHONE.__class__("lobby-2", "1" * 32, 12, "+442079460124", receive_only=False)
BASE: dict[str, Any] = {"phones": (PHONE,), "trunks": (TRUNK, *WAYS)}
BEFORE = way_digest(render(conf(**BASE)))


def ways(**values: Any) -> dict[str, Any]:
    return {"trunks": (TRUNK, replace(WAYS[0], **values), WAYS[1])}


CHANGES: dict[str, tuple[dict[str, Any], bool, bool]] = {
    "nothing": ({}, False, False),
    "another host": (ways(host="192.0.2.77"), True, False),
    "another port": (ways(port=5099), True, False),
    "another transport": (ways(transport="tcp"), True, False),
    "another form of numbers": (ways(number_format="national"), True, False),
    "another turn": (ways(emergency=99), True, False),
    "a login": (ways(username="ringfence", password="swordfish"), True, False),
    "another wait": ({"emergency_wait": 9.0}, True, False),
    "one more trunk": ({"trunks": (TRUNK, *WAYS, replace(WAYS[0], name="third-999", host="192.0.2.78", emergency=5))}, True, False),
    "the address of the phone's site": (ways(location=True), True, False),
    "an ordinary trunk": ({"trunks": (replace(TRUNK, host="192.0.2.77"), *WAYS)}, False, False),
    "one more phone": ({"phones": (PHONE, OTHER)}, False, False),
    "other phones": ({"phones": (OTHER,)}, False, False),
    "the app's name": ({"app": "another"}, False, False),
}


@pytest.mark.parametrize(("values", "trunks", "dialplan"), CHANGES.values(), ids=CHANGES)
def test_what_makes_a_test_due(values: dict[str, Any], trunks: bool, dialplan: bool) -> None:
    after = way_digest(render(conf(**{**BASE, **values})))
    assert BEFORE is not None
    assert after is not None
    assert (after.trunks != BEFORE.trunks, after.dialplan != BEFORE.dialplan) == (trunks, dialplan)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("exten => 999,1,MSet(", "exten => 999,1,Wait(1)\n same => n,MSet("),
        ("Set(RF_STATUS=${DIALSTATUS}", "Set(RF_STATUS=x${DIALSTATUS}"),
        (",RF_SITE=", ",RF_PLACE="),
        ("clearglobalvars = no", "clearglobalvars = yes"),
    ],
)
def test_another_template_does_too(before: str, after: str) -> None:
    texts = render(conf(**BASE))
    assert before in texts["extensions.conf"]
    found = way_digest(texts | {"extensions.conf": texts["extensions.conf"].replace(before, after, 1)})
    assert found is not None
    assert BEFORE is not None
    assert (found.trunks, found.dialplan != BEFORE.dialplan) == (BEFORE.trunks, True)


def test_a_comment_or_a_password_does_not() -> None:
    shown = []
    for password in ("swordfish", "herring"):
        texts = render(conf(**{**BASE, **ways(username="ringfence", password=password)}))
        shown.append(way_digest({name: f"; rendered by {password}\n{text}" for name, text in texts.items()}))
    assert shown[0] == shown[1] is not None


def test_nothing_is_due_where_nobody_calls() -> None:
    assert way_digest(render(conf(trunks=(TRUNK,), phones=(replace(PHONE, site="", receive_only=True),)))) is None
    assert way_digest({"extensions.conf": "", "pjsip.conf": ""}) is None


def test_the_trunks_are_read_in_turn() -> None:
    assert emergency_trunks(render(CONF)["extensions.conf"]) == [way.name for way in sorted(WAYS, key=lambda way: way.emergency or 0)]


def test_a_trunk_that_sends_addresses_is_one_trunk_and_who_has_which_address_is_no_change() -> None:
    address = EmergencyAddress(name="Example", premises="104", thoroughfare="King Street", locality="Sheffield", postcode="S9 5AD")
    sending = {**BASE, **ways(location=True, transport="tcp"), "phones": (replace(PHONE, address=address), OTHER)}
    texts = render(conf(**sending))
    assert emergency_trunks(texts["extensions.conf"]) == ["first-999", "second-999"]
    other = {**sending, "phones": (replace(PHONE, address=replace(address, premises="105")), replace(OTHER, address=address))}
    assert way_digest(render(conf(**other))) == way_digest(texts)
    tried = texts | {"pjsip.conf": texts["pjsip.conf"].replace("geoloc_outgoing_call_profile = <discard_config>", "geoloc_outgoing_call_profile = other")}
    assert way_digest(tried) != way_digest(texts)
