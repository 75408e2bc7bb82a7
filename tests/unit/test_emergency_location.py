"""What an address becomes in a call to 999, that nothing of it is syntax to Asterisk, and when a location is refused."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ari_app.configuration.reload import plan_reload
from dialplan.call import channel_endpoint
from dialplan.emergency.address import LIMITS, parse_address
from dialplan.emergency.civic import ORDER, civic_address
from dialplan.emergency_location import MODULES, elements, refuse_unproven
from dialplan.node_conf import NodeConf
from dialplan.render import render
from ringfence.emergency import EmergencyAddress
from ringfence.errors import Invalid, Misconfigured, RingfenceError
from tests.unit.test_render import CONF, TRUNK, WAYS, named, parse

replace = msgspec.structs.replace
ADDRESS = EmergencyAddress(name="Smith & Sons", bussuffix="Ltd", premises="104", thoroughfare="King's Road, North", locality="Sheffield", postcode="S9 5AD")
(PHONE,) = CONF.phones
SYNTAX = set('${}[]=";\\|&<>\n\r\t\0')


def located(**values: Any) -> NodeConf:
    ways = (replace(WAYS[0], transport="tcp", location=True), WAYS[1])
    return replace(CONF, **{"trunks": (TRUNK, *ways), "phones": (replace(PHONE, address=ADDRESS),), **values})


@pytest.mark.parametrize(
    ("premises", "found"),
    [
        ("104", {"HNO": "104"}),
        ("12a", {"HNO": "12", "HNS": "A"}),
        ("The Lighthouse", {"BLD": "The Lighthouse"}),
        ("Flat 2, 104", {"LOC": "Flat 2, 104"}),
        ("12-14", {"LOC": "12-14"}),
        ("Unit A&B, 3rd floor", {"LOC": "Unit A and B, 3rd floor"}),
    ],
)
def test_premises_are_a_number_a_building_or_kept_whole(premises: str, found: dict[str, str]) -> None:
    held = dict(civic_address(replace(ADDRESS, premises=premises)))
    assert {name: value for name, value in held.items() if name in {"HNO", "HNS", "BLD", "LOC"}} == found
    assert held["country"] == "GB"
    assert (held["A3"], held["RD"], held["PC"], held["NAM"]) == ("Sheffield", "King's Road, North", "S9 5AD", "Smith and Sons Ltd")


def test_a_person_is_named_in_full() -> None:
    held = dict(civic_address(EmergencyAddress("Ms", "Ada", "Example", "OBE", "", "1", "Street", "Town", "S9 5AD")))
    assert held["NAM"] == "Ms Ada Example OBE"


def test_a_name_of_nothing_but_ampersands_keeps_no_configuration_from_being_applied() -> None:
    address = parse_address(
        {"name": "A" + "&" * 49, "bussuffix": "B" + "&" * 49, "premises": "1", "thoroughfare": "S", "locality": "T", "postcode": "S9 5AD"}
    ).address
    assert dict(elements(replace(PHONE, address=address)))["NAM"] == "A" + " and" * 49 + " B" + " and" * 49
    assert render(located(phones=(replace(PHONE, address=address),)))


def test_an_empty_record_gives_no_empty_element() -> None:
    assert civic_address(EmergencyAddress()) == (("country", "GB"),)


TYPED = st.text(alphabet="abZé09 '-./&()#,:${}[]=\";\\|<>\n`ŵ\u2019", min_size=1, max_size=30)


@given(st.fixed_dictionaries({field: TYPED for field in LIMITS if field != "postcode"} | {"postcode": st.just("S9 5AD")}))
def test_whatever_is_accepted_as_an_address_holds_no_syntax_of_asterisk(fields: dict[str, str]) -> None:
    try:
        address = parse_address(fields).address
    except RingfenceError:
        return
    found = elements(replace(PHONE, address=address))
    assert [name for name, _ in found] == [name for name in ORDER if name in dict(found)]
    for _, value in found:
        assert value
        assert not SYNTAX & set(value)
    lines = dict(parse(render(located(phones=(replace(PHONE, address=address),)))["geolocation.conf"]))["desk"]
    assert [value for key, value in lines if key == "location_info"] == [f'{name}="{value}"' for name, value in found]


@pytest.mark.parametrize("field", ["name", "premises", "thoroughfare", "locality", "postcode"])
@pytest.mark.parametrize("text", ["${SHELL(id)}", "$[1+1]", 'a",PC="b', "a\\", "a;b", "a=b", "a\n[evil]", "a\0b", "<a>", "a|b", "x" * 601])
def test_syntax_that_got_into_the_store_is_never_rendered(field: str, text: str) -> None:
    with pytest.raises(Invalid, match="address for 999 of phone desk"):
        render(located(phones=(replace(PHONE, address=replace(ADDRESS, **{field: text})),)))


def test_off_by_default() -> None:
    files = render(CONF)
    assert not any(module in files["modules.conf"] for module in MODULES)
    assert parse(files["geolocation.conf"]) == []
    assert "geoloc" not in files["pjsip.conf"].lower()
    assert "b(located" not in files["extensions.conf"]


def test_only_the_first_round_of_a_trunk_that_asks_carries_the_address() -> None:
    files = render(located())
    assert all(f"load={module}.so\n" in files["modules.conf"] for module in MODULES)
    (twin,) = named(files, "first-999.location")
    (plain, aor) = named(files, "first-999")
    assert twin == {**plain, "geoloc_outgoing_call_profile": ["<discard_config>"]}
    assert plain["aors"] == ["first-999"]
    assert aor["contact"] == ["sip:first-999.example.com:5060;transport=tcp"]
    assert files["pjsip.conf"].count("geoloc") == 1
    dials = [line.strip().removeprefix("same => n,") for line in files["extensions.conf"].splitlines() if "Dial(PJSIP/" in line and "-999" in line][:4]
    assert dials == [
        "Dial(PJSIP/999@first-999.location,^6.0,ib(located^${CHANNEL:6:-9}^1))",
        "Dial(PJSIP/999@second-999,^6.0,i)",
        "Dial(PJSIP/first-999/sip:999@first-999.example.com:5060\\;transport=tcp,^6.0,i)",
        "Dial(PJSIP/second-999/sip:999@second-999.example.com:5060,^6.0,i)",
    ]
    assert dict(parse(files["geolocation.conf"]))["desk"][-1] == ("location_info", 'PC="S9 5AD"')
    assert not any("Sheffield" in text for name, text in files.items() if name != "geolocation.conf")


def test_a_phone_without_an_address_is_in_no_file() -> None:
    files = render(located(phones=(PHONE,)))
    assert parse(files["geolocation.conf"]) == []
    assert "location_reference" not in files["extensions.conf"]


@pytest.mark.parametrize("version", ["22.10.0", "20.20.0", "23.4.0", "22.10", "certified/22.8-cert1", ""])
def test_an_asterisk_on_which_it_was_not_proven_is_refused(version: str) -> None:
    with pytest.raises(Misconfigured, match=r"proven on Asterisk 22\.10\.1") as caught:
        render(located(asterisk=version))
    assert "--clear emergency-location" in caught.value.hint
    assert render(replace(CONF, asterisk=version))


def test_the_proven_one_and_later_ones_of_its_series_are_taken() -> None:
    for version in ("22.10.1", "22.10.1+dfsg+~cs6.17.60671434-1", "22.11.0"):
        refuse_unproven(version)


def test_an_asterisk_without_the_modules_is_refused() -> None:
    with pytest.raises(Misconfigured, match="lacks res_geolocation") as caught:
        render(located(geolocation=False))
    assert "first-999" in caught.value.hint


def test_turning_it_on_loads_the_modules_and_turning_it_off_empties_the_locations_at_once() -> None:
    off, on = render(CONF), render(located())
    modules = tuple(f"{module}.so" for module in MODULES)

    def plan(wanted: dict[str, str], present: dict[str, str]) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
        found = plan_reload(wanted, dict(present), [name for name in wanted if wanted[name] != present[name]])
        return found.load, found.modules, found.restart

    load, reload, restart = plan(on, off)
    assert (load, restart) == (modules, ())
    assert {"pbx_config.so", "res_pjsip.so"} < set(reload)
    load, reload, restart = plan(off, on)
    assert (load, reload[0], restart) == ((), modules[0], ("modules.conf",))
    moved = render(located(phones=(replace(PHONE, address=replace(ADDRESS, premises="105")),)))
    assert plan(moved, on) == (modules, (), ())
    changed = {**on, "modules.conf": on["modules.conf"] + "load=app_other.so\n"}
    assert plan(changed, off)[2] == ("modules.conf",)
    assert plan(off, {**off, "geolocation.conf": "; before\n"}) == ((), (), ())


def test_a_channel_of_either_endpoint_is_of_the_trunk() -> None:
    assert channel_endpoint("PJSIP/blue.location-0000002f") == channel_endpoint("PJSIP/blue-0000002f") == ("blue", 47)
    for name in ("PJSIP/blue.other-0000002f", "PJSIP/blue.location", "PJSIP/.location-0000002f"):
        with pytest.raises(Invalid):
            channel_endpoint(name)
