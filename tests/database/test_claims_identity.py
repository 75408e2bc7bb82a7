"""The check on what trunks are told of a caller: what stands in the configuration in place beyond a trunk's rule turns exactly one promise red."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Engine
from sqlalchemy.orm import Session, sessionmaker

from dialplan.render import render
from retention.checks.identity import endpoint_options
from retention.claims.checking import Status
from ringfence.clock import FixedClock
from ringfence.queries.trunks import add_trunk
from ringfence.settings import Settings
from ringfence.values import CallerIdMode, TrunkDirection
from tests.database.claiming import checked, evidence, red
from tests.database.purging import NOW
from tests.unit.test_render import CONF, TRUNK

NETWORK = "+442079460990"


@pytest.fixture
def placed(sessions: sessionmaker[Session], store_settings: Settings) -> Path:
    """Two trunks, one that is told of diversions, in the store and in the configuration in place; return its folder."""
    with sessions.begin() as session:
        add_trunk(session, FixedClock(NOW), "carrier-a", host="sip.example.com", match=["192.0.2.1"])
        add_trunk(
            session,
            FixedClock(NOW),
            "carrier-b",
            host="sip.example.com",
            direction=TrunkDirection.OUTBOUND,
            caller_id_mode=CallerIdMode.PASS_DIVERSION,
            network_number=NETWORK,
        )
        add_trunk(session, FixedClock(NOW), "carrier-c", host="sip.example.com", direction=TrunkDirection.INBOUND, match=["192.0.2.3"])
    diverts = msgspec.structs.replace(TRUNK, name="carrier-b", match=(), inbound=False, diversion=True, username="", password="", register=False)
    texts = render(msgspec.structs.replace(CONF, trunks=(*CONF.trunks, diverts)))
    store_settings.conf_dir.mkdir(parents=True)
    for name, text in texts.items():
        (store_settings.conf_dir / name).write_text(text, encoding="utf-8")
    return store_settings.conf_dir


def test_each_trunk_is_shown_with_what_it_is_told(placed: Path, engine: Engine, store_settings: Settings) -> None:
    results = checked(engine, store_settings)
    found = evidence(results, "routing_data_minimal")
    assert found.status is Status.PASS, found
    told = {each["trunk"]: each for each in found.result["trunks"]}
    assert set(told) == {"carrier-a", "carrier-b"}
    assert told["carrier-a"]["shown"] == {"number": "+442079460000"}
    assert told["carrier-b"]["shown"] == {"number": "+441174960999", "network_number": NETWORK, "diversion": "+442079460000"}
    assert told["carrier-b"]["withheld"]["withheld"] is True
    assert str(placed) not in json.dumps(found.result)


@pytest.mark.parametrize(
    ("name", "before", "after", "told"),
    [
        ("pjsip.conf", "send_rpid = no", "send_rpid = yes", "send_rpid = yes"),
        ("pjsip.conf", "trust_id_outbound = no", "trust_id_outbound=yes", "trust_id_outbound = yes"),
        ("pjsip.conf", "send_diversion = no\n", "", "carrier-a: send_diversion = yes"),
        ("pjsip.conf", "context = from-trunk", "callerid = Acme <020 7946 0001>", "callerid"),
        ("extensions.conf", "PJSIP_HEADER(add,Privacy)", "PJSIP_HEADER(add,X-Account)", "X-Account"),
    ],
)
def test_what_tells_more_than_the_rule_is_red(placed: Path, engine: Engine, store_settings: Settings, name: str, before: str, after: str, told: str) -> None:
    calm = red(checked(engine, store_settings))
    text = (placed / name).read_text(encoding="utf-8")
    assert before in text
    (placed / name).write_text(text.replace(before, after), encoding="utf-8")
    results = checked(engine, store_settings)
    assert red(results) - calm == {"NN-6"}
    assert told in evidence(results, "routing_data_minimal").reason


def test_without_a_configuration_in_place_it_cannot_be_told(engine: Engine, store_settings: Settings) -> None:
    assert evidence(checked(engine, store_settings), "routing_data_minimal").status is Status.NOT_CHECKABLE


@given(st.text(alphabet=st.sampled_from("[]()!=,;> \nabtype endpoint"), max_size=200))
def test_any_text_has_endpoints_or_none(text: str) -> None:
    for options in endpoint_options(text).values():
        assert options["type"] == "endpoint"


def test_an_endpoint_has_what_its_templates_say_unless_it_says_otherwise() -> None:
    text = "[t](!)\ntype=endpoint\na=1\nb = 2 ; said\n[x](t)\na=>3\n[x]\ntype=aor\na=4\n[y](!,t)\n[z](y)\n"
    assert endpoint_options(text) == {"x": {"type": "endpoint", "a": "3", "b": "2"}, "z": {"type": "endpoint", "a": "1", "b": "2"}}
