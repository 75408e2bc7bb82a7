from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dialplan.forwarding import MAX_TARGETS, ForwardingRules, format_forwarding, parse_forwarding, split_turns
from dialplan.number_rows import parse_row
from dialplan.number_use import check_did, check_target, target_kind
from ringfence.errors import Invalid, Refused, RingfenceError
from ringfence.masking import mask_text
from ringfence.values import E164, PlanTarget, TargetKind

MOBILE, LANDLINE, ENDPOINT = TargetKind.MOBILE, TargetKind.LANDLINE, TargetKind.ENDPOINT
RULES = ForwardingRules(ring_seconds=25, allow_drama=True, allow_international=False)


def check(number: str, kind: TargetKind, *, drama: bool = True, international: bool = False) -> tuple[str, ...]:
    return check_target(E164(number), kind, allow_drama=drama, allow_international=international)


@pytest.mark.parametrize(
    "number", ["+442079460123", "+443069990123", "+445612345678", "+445512345678", "+447700900123", "+448081570123", "+448431234567", "+447012345678"]
)
def test_these_can_be_dids(number: str) -> None:
    assert isinstance(check_did(E164(number), allow_drama=True), tuple)


@pytest.mark.parametrize("number", ["+449012345678", "+447612345678", "+444123456789", "+35312345678", "+448979123456"])
def test_these_cannot(number: str) -> None:
    with pytest.raises(Refused):
        check_did(E164(number), allow_drama=True)


def test_056_and_070_come_with_a_warning() -> None:
    assert "every network" in check_did(E164("+445612345678"), allow_drama=False)[0]
    assert "070" in check_did(E164("+447012345678"), allow_drama=False)[0]
    assert check_did(E164("+442079470123"), allow_drama=False) == ()


@pytest.mark.parametrize("number", ["+442079460123", "+447700900123"])
def test_drama_numbers_are_refused_unless_allowed(number: str) -> None:
    with pytest.raises(Refused, match="drama"):
        check_did(E164(number), allow_drama=False)
    with pytest.raises(Refused, match="drama"):
        check(number, MOBILE, drama=False)


@pytest.mark.parametrize(
    ("number", "reason"),
    [
        ("+447012345678", "070"),
        ("+447612345678", "076"),
        ("+448081570123", "080"),
        ("+448001111", "080"),
        ("+448431234567", "084"),
        ("+448711234567", "087"),
        ("+449098790123", "09"),
        ("+444123456789", "not in use"),
    ],
)
@pytest.mark.parametrize("kind", [MOBILE, LANDLINE])
def test_costly_numbers_are_never_targets_and_the_reason_is_told(number: str, reason: str, kind: TargetKind) -> None:
    with pytest.raises(Refused, match=reason):
        check(number, kind, international=True)


def test_a_target_must_be_of_its_kind() -> None:
    assert check("+447700900123", MOBILE) == ()
    assert check("+441174960123", LANDLINE) == ()
    assert check("+443069990123", LANDLINE) == ()
    with pytest.raises(Invalid, match="landline number, not a mobile"):
        check("+441174960123", MOBILE)
    with pytest.raises(Invalid, match="mobile number, not a landline"):
        check("+447700900123", LANDLINE)


def test_warnings_for_numbers_that_are_hard_to_reach_or_dear() -> None:
    assert check("+445612345678", LANDLINE)
    assert check("+447911212345", MOBILE)
    assert "Jersey" in check("+441534123456", LANDLINE)[0]


def test_abroad_is_refused_unless_allowed() -> None:
    with pytest.raises(Refused, match="not a UK number"):
        check("+353861234567", MOBILE)
    assert check("+353861234567", MOBILE, international=True) == ()
    assert check("+35312345678", LANDLINE, international=True) == ()
    with pytest.raises(Invalid, match="not a mobile"):
        check("+35312345678", MOBILE, international=True)


@pytest.mark.parametrize(
    "number",
    ["+870773111632", "+88213123456", "+3531520123456", "+3531850123456", "+353700123456", "+33891123456", "+35315201234567", "+979123456789", "+80012345678"],
)
def test_dear_numbers_abroad_are_refused_even_then(number: str) -> None:
    with pytest.raises(RingfenceError):
        check(number, MOBILE, international=True)
    with pytest.raises(RingfenceError):
        check(number, LANDLINE, international=True)


def test_the_kind_comes_from_the_number() -> None:
    assert target_kind(E164("+447700900123")) is MOBILE
    assert target_kind(E164("+442079460123")) is LANDLINE
    assert target_kind(E164("+353861234567")) is MOBILE
    assert target_kind(E164("+35312345678")) is LANDLINE


def test_turns_are_read_in_order_and_a_slash_rings_together() -> None:
    found = parse_forwarding(["07700 900123:40/endpoint:desk-12", "landline:0117 496 0456"], RULES)
    assert found.targets == (
        PlanTarget(1, MOBILE, "+447700900123", 40),
        PlanTarget(1, ENDPOINT, "desk-12", 25),
        PlanTarget(2, LANDLINE, "+441174960456", 25),
    )
    assert format_forwarding(found.targets) == ["mobile:+447700900123:40/endpoint:desk-12:25", "landline:+441174960456:25"]


def test_a_cell_is_split_at_semicolons() -> None:
    assert split_turns("a; b/c ;") == ["a", " b/c "]
    assert split_turns("  ") == []


@pytest.mark.parametrize(
    "turn",
    ["", "/", "mobile:", "endpoint:", "mobile:999", "999", "112:30", "endpoint:Desk 1", "endpoint:-x", "endpoint:a;b", "pigeon:07700900123", "desk-12",
     "07700900123:4", "07700900123:121", "07700900123:x", "07700900123:25:3", "07700900123/07700 900123", "mobile:01174960123", "endpoint:${x}",
     "endpoint:ours",
     "07700900123:\u0663\u0660", "118118", "sip:bob@example.com"],
)  # fmt: skip
def test_what_cannot_be_a_target_is_refused(turn: str) -> None:
    with pytest.raises(Invalid):
        parse_forwarding([turn], RULES)


def test_there_is_an_end_to_targets() -> None:
    turns = [f"07700900{index:03d}" for index in range(MAX_TARGETS + 1)]
    assert len(parse_forwarding(turns[:-1], RULES).targets) == MAX_TARGETS
    with pytest.raises(Invalid):
        parse_forwarding(turns, RULES)


TARGETS = st.one_of(
    st.from_regex(r"77009[0-9]{5}", fullmatch=True).map(lambda n: f"mobile:+44{n}"),
    st.from_regex(r"20[378][0-9]{7}", fullmatch=True).map(lambda n: f"landline:+44{n}"),
    st.from_regex(r"[a-z0-9][a-z0-9-]{0,39}", fullmatch=True)
    .filter(lambda name: name not in {"ours", "udp", "tcp", "tls", "ws", "wss"})
    .map(lambda n: f"endpoint:{n}"),
)


@given(st.lists(TARGETS, max_size=MAX_TARGETS, unique=True), st.integers(5, 120), st.lists(st.booleans(), min_size=MAX_TARGETS, max_size=MAX_TARGETS))
@settings(max_examples=60)
def test_what_is_formatted_is_read_back(targets: list[str], seconds: int, together: list[bool]) -> None:
    turns: list[str] = []
    for target, joined in zip(targets, together, strict=False):
        if turns and joined:
            turns[-1] += f"/{target}:{seconds}"
        else:
            turns.append(f"{target}:{seconds}")
    found = parse_forwarding(turns, RULES).targets
    assert format_forwarding(found) == turns
    assert parse_forwarding(split_turns("; ".join(turns)), RULES).targets == found


@given(st.text(max_size=40))
@settings(max_examples=200)
def test_any_text_is_a_target_or_refused(text: str) -> None:
    try:
        found = parse_forwarding([text], RULES)
    except RingfenceError:
        return
    for target in found.targets:
        assert target.address.isascii()
        assert not set(target.address) & set("${}[];|,\n&/:^~=\"'\\ ")


def test_a_row_says_what_it_wants() -> None:
    wish = parse_row({"number": "020 7946 0123", "account": "ACME", "forward_to": "07700900123; 07700900124:40", "ring_seconds": "15"}, RULES)
    assert (wish.e164, wish.account) == ("+442079460123", "ACME")
    assert wish.targets is not None
    assert [target.ring_seconds for target in wish.targets] == [15, 40]
    bare = parse_row({"number": "020 7946 0123"}, RULES)
    assert bare.account is None
    assert bare.targets is None
    empty = parse_row({"number": "020 7946 0123", "account": "", "forward_to": ""}, RULES)
    assert empty.account == ""
    assert empty.targets == ()


@pytest.mark.parametrize(
    "fields",
    [{"account": "a b"}, {"ring_seconds": "0"}, {"ring_seconds": "x"}, {"forward_to": "0909 879 0123"}, {"number": "999"}, {"number": "0909 879 0123"}],
)
def test_a_bad_field_spoils_its_row(fields: dict[str, str]) -> None:
    with pytest.raises(RingfenceError):
        parse_row({"number": "020 7946 0123", **fields}, RULES)


def test_numbers_in_a_text_are_masked() -> None:
    assert mask_text("call from +442079460123 to 07700900123 took 12 s") == "call from +44•••••••123 to ••••••••123 took 12 s"
