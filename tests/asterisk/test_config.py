"""The rendered configuration on a real Asterisk: it loads without a word, keeps strangers out, and is applied whole or not at all."""

from __future__ import annotations

import asyncio
import re
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from sqlalchemy.orm import Session

from ari_app.ami.client import AmiClient
from ari_app.configuration.apply import Applied, apply
from ari_app.configuration.files import changed, locked, read_files
from ari_app.configuration.verify import Finding, verify_doors, verify_running
from ari_app.private.root import Root
from dialplan.render import SECRET_FILES
from ringfence.clock import SystemClock
from ringfence.errors import Conflict, Refused
from ringfence.queries.trunks import add_trunk, remove_trunk
from tests.asterisk.rendered import CARRIER, SITE, WAYS, Rendered, sip_request

pytestmark = pytest.mark.asterisk

STRANGER = "127.0.0.9"


@pytest.fixture(scope="module")
def node(asterisk_root: Root, asterisk_home: Path) -> Iterator[Rendered]:
    rendered = Rendered(asterisk_root, asterisk_home)
    rendered.start()
    yield rendered
    rendered.stop()


def applied(node: Rendered, texts: dict[str, str] | None = None) -> Applied:
    return asyncio.run(apply(node.settings, node.conf(), texts or node.texts()))


def verified(node: Rendered) -> list[Finding]:
    async def look() -> list[Finding]:
        client = await AmiClient.connect(node.settings.ami, node.conf().ami.secret)
        try:
            return await verify_running(client, node.settings, node.conf(), node.texts())
        finally:
            await client.close()

    return asyncio.run(look())


def endpoints(node: Rendered) -> set[str]:
    return set(re.findall(r"^ Endpoint:  ([a-z0-9-]+)[ /]", node.asterisk.rx("pjsip show endpoints"), re.MULTILINE))


def test_it_loads_without_a_warning_and_says_what_it_should(node: Rendered) -> None:
    assert re.findall(r".* (?:WARNING|ERROR)\[.*", node.log) == []
    assert [finding for finding in verified(node) if finding.problem] == []
    assert {finding.check: finding.problem for finding in asyncio.run(verify_doors(node.settings))} == {
        "ari app": "ringfence is not connected",
        "http on loopback": "",
        "ami on loopback": "",
    }


def test_every_socket_is_on_loopback_but_the_resolver_s(node: Rendered) -> None:
    """PJSIP asks name servers from one IPv4 and one IPv6 socket on a random port; there is no option for their address. Nothing is served on them."""
    outside = [c for c in psutil.Process(node.asterisk.pid).net_connections("inet") if c.laddr and not c.laddr.ip.startswith("127.") and c.laddr.ip != "::1"]
    assert all(c.type.name == "SOCK_DGRAM" and c.status == psutil.CONN_NONE for c in outside)
    assert len(outside) <= 2
    assert len({c.family for c in outside}) == len(outside)
    for connection in outside:
        assert sip_request("OPTIONS", STRANGER, connection.laddr.port, user="x", to="x", within=0.5) == ""


def test_files_with_secrets_are_the_owner_s_only(node: Rendered) -> None:
    for name in node.texts():
        mode = stat.S_IMODE((node.settings.conf_dir / name).stat().st_mode)
        assert mode == (0o600 if name in SECRET_FILES else 0o640), name


@pytest.mark.parametrize(
    ("method", "source", "user", "answer"),
    [
        ("INVITE", STRANGER, "+442079460123", "401 Unauthorized"),  # a guest
        ("INVITE", STRANGER, "carrier-a", "401 Unauthorized"),  # a stranger who calls himself the carrier
        ("INVITE", STRANGER, "desk", "401 Unauthorized"),  # or a phone
        ("REGISTER", STRANGER, "desk", "401 Unauthorized"),
        ("MESSAGE", STRANGER, "x", "401 Unauthorized"),
        ("REFER", CARRIER, "+442079460123", "501 Not Implemented"),
        ("SUBSCRIBE", CARRIER, "+442079460123", "603 Decline"),
        ("INVITE", CARRIER, "+442079460123", "404 Not Found"),  # let in; nobody is there to ask, and AstDB knows no number
    ],
)
def test_who_is_let_in(node: Rendered, method: str, source: str, user: str, answer: str) -> None:
    extra = "Refer-To: <sip:+447700900123@127.0.0.1>\r\n" if method == "REFER" else "Event: presence\r\n" if method == "SUBSCRIBE" else ""
    assert sip_request(method, source, node.settings.asterisk.sip_port, user=user, to="+442079460001", headers=extra) == answer


def test_applying_what_is_in_place_does_nothing(node: Rendered) -> None:
    done = applied(node)
    assert done == Applied((), (), (), running=True)


def test_a_trunk_appears_and_goes_without_a_restart(node: Rendered) -> None:
    before = node.asterisk.pid
    with Session(node.engine) as session:
        add_trunk(session, SystemClock(), "carrier-b", host="127.0.0.4", match=["127.0.0.4"])
        session.commit()
    done = applied(node)
    assert done.changed == ("pjsip.conf",)
    assert done.restart == ()
    assert endpoints(node) == {"carrier-a", "carrier-b", "desk", "mobile-a", *WAYS}
    answer = sip_request("INVITE", "127.0.0.4", node.settings.asterisk.sip_port, user="+442079460123", to="+442079460001")
    assert answer == "404 Not Found"
    with Session(node.engine) as session:
        remove_trunk(session, SystemClock(), "carrier-b")
        session.commit()
    applied(node)
    assert endpoints(node) == {"carrier-a", "desk", "mobile-a", *WAYS}
    assert sip_request("INVITE", "127.0.0.4", node.settings.asterisk.sip_port, user="+442079460123", to="+442079460001") == "401 Unauthorized"
    assert node.asterisk.pid == before
    assert node.asterisk.running


BROKEN: dict[str, tuple[str, Callable[[str], str]]] = {
    "a dialplan that does not parse": ("extensions.conf", lambda text: text.replace("[forward]", "[forward")),
    "a dialplan without a context": ("extensions.conf", lambda text: text.replace("[leg]\nexten => s,1", "[leg]\n; exten => s,1")),
    "an endpoint option that does not exist": ("pjsip.conf", lambda text: text.replace("identify_by = username", "identify_by = nobody")),
    "an endpoint without its transport's name": ("pjsip.conf", lambda text: text.replace("type = endpoint", "type = nothing")),
    "a phone whose site has another number": ("extensions.conf", lambda text: text.replace(f"RF_SITE={SITE}", "RF_SITE=+442079460999")),
    "a way to 999 that is left out": ("extensions.conf", lambda text: text.replace("Dial(PJSIP/999@second-999", "Dial(PJSIP/999@carrier-a")),
    "an emergency number that leads elsewhere": ("extensions.conf", lambda text: text.replace("Goto(emergency,112,1)", "Goto(unanswered,s,1)")),
    "a phone in another context": ("pjsip.conf", lambda text: text.replace("context = from-phone", "context = from-trunk")),
    "a section that does not close": ("pjsip.conf", lambda text: text.replace("[desk](ours)", "[desk(ours)")),
}


@pytest.mark.parametrize("what", sorted(BROKEN))
def test_what_asterisk_rejects_leaves_the_old_files_in_force(node: Rendered, what: str) -> None:
    name, spoil = BROKEN[what]
    texts = node.texts()
    spoilt = {**texts, name: spoil(texts[name])}
    assert spoilt != texts
    with pytest.raises(Refused, match="rejected") as caught:
        applied(node, spoilt)
    assert caught.value.hint == "the old files are back and in force"
    assert changed(texts, read_files(node.settings.conf_dir, texts)) == []
    assert [finding for finding in verified(node) if finding.problem] == []
    assert endpoints(node) == {"carrier-a", "desk", "mobile-a", *WAYS}


def test_what_only_a_restart_takes_is_said(node: Rendered) -> None:
    texts = node.texts()
    port = node.settings.asterisk.sip_port
    done = applied(
        node, {**texts, "modules.conf": texts["modules.conf"] + "; more\n", "pjsip.conf": texts["pjsip.conf"].replace(f":{port}\n", f":{port + 1}\n")}
    )
    assert done.restart == ("modules.conf", "pjsip.conf")
    assert done.changed == ("modules.conf", "pjsip.conf")
    assert applied(node).changed == ("modules.conf", "pjsip.conf")


def test_a_new_manager_secret_is_taken(node: Rendered) -> None:
    path = node.settings.ami_secret_path
    path.write_text("another-secret-of-more-than-32-characters\n", encoding="ascii")
    assert applied(node).changed == ("manager.conf",)
    assert applied(node).changed == ()


def test_two_do_not_apply_at_once(node: Rendered) -> None:
    with locked(node.settings.conf_dir), pytest.raises(Conflict, match="another process"):
        applied(node)
