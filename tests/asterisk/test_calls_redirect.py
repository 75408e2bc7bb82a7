"""A callee that answers 302 may not choose where a call goes: `Dial()` would follow it past every rule, to a premium number too."""

from __future__ import annotations

import pytest

from ari_app.private.scenario import Answers, Call, Refuses
from tests.asterisk.stage import Stage, invites

pytestmark = pytest.mark.asterisk


@pytest.mark.parametrize("contact", ["sip:PJSIP/+449098790000%40second@127.0.0.3", "sip:+449098790000@127.0.0.3", "sip:s@ended"])
@pytest.mark.parametrize("targets", [1, 2])
def test_a_redirection_is_not_followed(stage: Stage, contact: str, targets: int) -> None:
    did = stage.did([stage.numbers.mobile() for _ in range(targets)])  # one is handed over by a ticket, two by variables in turn
    with stage.behind(first=Refuses(status=302, headers=(f"Contact: <{contact}>",)), second=Answers()) as carriers:
        stage.call(did, Call(expect=480))
    assert len(invites(carriers["first"])) == targets
    assert invites(carriers["second"]) == []
    stage.cdr(did=did).shows(disposition="failed", sip_status=302, billable_seconds=0)
