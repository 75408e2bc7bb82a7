"""Which configurations leave a phone without its way to 999, and what a caller may dial."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from dialplan.emergency_call import dialled_forms, in_turn
from dialplan.node_conf import NodeConf, PhoneConf
from dialplan.numbers import parse_dialled
from dialplan.render import render
from ringfence.errors import Misconfigured
from tests.unit.test_render import CONF, TRUNK, WAYS

PHONE = PhoneConf("desk", "0" * 32, 7, "+442079460123", receive_only=False)
replace = msgspec.structs.replace


def conf(**values: Any) -> NodeConf:
    return replace(CONF, **values)


REFUSED: dict[str, tuple[NodeConf, str]] = {
    "no emergency trunk": (conf(trunks=(TRUNK,)), "trunk add"),
    "one only": (conf(trunks=(TRUNK, WAYS[0])), "1 way"),
    "two to the same place": (conf(trunks=(WAYS[0], replace(WAYS[1], host=WAYS[0].host))), "1 way"),
    "no number": (conf(phones=(replace(PHONE, site=""),)), "endpoint set desk --did"),
    "a premium number": (conf(phones=(replace(PHONE, site="+449098790123"),)), "--emergency-did"),
    "a number abroad": (conf(phones=(replace(PHONE, site="+35312345678"),)), "--emergency-did"),
}


@pytest.mark.parametrize(("refused", "told"), REFUSED.values(), ids=REFUSED)
def test_a_phone_without_a_way_to_999_is_not_rendered(refused: NodeConf, told: str) -> None:
    with pytest.raises(Misconfigured) as caught:
        render(refused)
    assert told in f"{caught.value.message} {caught.value.hint}"


@pytest.mark.parametrize("phones", [(), (replace(PHONE, site="", receive_only=True),)], ids=["no phone", "takes calls only"])
def test_who_makes_no_calls_needs_no_way(phones: tuple[PhoneConf, ...]) -> None:
    text = render(conf(trunks=(TRUNK,), phones=phones))["extensions.conf"]
    assert "emergency_not_provisioned" in text


def test_every_form_is_read_as_the_same_emergency_number_by_the_app() -> None:
    forms = dict(dialled_forms())
    assert {code: code for code in ("999", "112", "18000")}.items() <= forms.items()
    for dialled in forms:
        if dialled not in {"9999", "9112"}:  # with an access digit, which only the dialplan knows
            found = parse_dialled(dialled).short_code
            assert found is not None
            assert found.emergency
    assert (forms["141999"], forms["18001112"], forms["9999"]) == ("999", "18000", "999")


def test_the_order_is_the_operator_s_and_ordinary_trunks_are_not_in_it() -> None:
    trunks = (replace(WAYS[0], emergency=20), TRUNK, replace(WAYS[1], emergency=10))
    assert [trunk.name for trunk in in_turn(trunks)] == ["second-999", "first-999"]


def test_no_ordinary_call_can_come_to_an_emergency_trunk() -> None:
    text = render(CONF)["extensions.conf"]
    emergency = text[text.index("[emergency]\n") : text.index("[forward]")]
    for way in WAYS:
        assert text.count(way.name) == emergency.count(way.name) > 0


def test_room_for_emergency_calls_comes_on_top() -> None:
    files = render(CONF)
    assert "maxcalls = 104\n" in files["asterisk.conf"]
    assert "${SYSINFO(numcalls)} > 100" in files["extensions.conf"]
    assert "SYSINFO" not in render(conf(max_calls=0))["extensions.conf"]
