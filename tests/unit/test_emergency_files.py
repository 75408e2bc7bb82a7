"""Rows of a file of addresses: whatever stands in them is read or refused, and nothing that is read differs when it is read again."""

from __future__ import annotations

from collections.abc import Mapping

from hypothesis import given, settings
from hypothesis import strategies as st

from retention.emergency.files import COLUMNS, parse_row, read_wishes
from ringfence.emergency import WITH_ADDRESS, LocationClass
from ringfence.errors import Invalid, RingfenceError

GOOD = {"number": "02079460123", "class": "fixed", "name": "Example", "premises": "104", "thoroughfare": "King Street", "locality": "Sheffield"} | {
    "postcode": "S9 5AD", "confirmed_by": "Ada Example", "confirmed_how": "phone", "acknowledged": "no",
}  # fmt: skip
_odd = st.one_of(st.text(max_size=70), st.sampled_from(["", "=1+1", "${EXTEN}", "yes", "outside_uk", "forward_only", "phone", "JE2 3AB", "999", "PO Box 1"]))


@settings(max_examples=300, deadline=None)
@given(st.fixed_dictionaries({}, optional=dict.fromkeys(COLUMNS, _odd)))
def test_whatever_a_row_holds_it_is_read_or_refused(odd: dict[str, str]) -> None:
    row = {**GOOD, **odd}
    try:
        wish = parse_row(row)
    except RingfenceError:
        return
    assert (wish.version.address is not None) is (wish.version.location in WITH_ADDRESS)
    if wish.version.location is LocationClass.OUTSIDE_UK:
        assert wish.version.acknowledged
    if wish.version.address is not None:
        said = {field: getattr(wish.version.address, field) for field in wish.version.address.__struct_fields__}
        assert parse_row({**row, **said}).version == wish.version


def test_each_bad_row_is_told_by_its_line_with_what_to_do() -> None:
    rows: list[tuple[int, Mapping[str, str] | Invalid]] = [
        (2, GOOD),
        (3, {**GOOD, "class": "mobile"}),
        (4, Invalid("3 fields where the first line has 7")),
        (5, {**GOOD, "acknowledged": "perhaps"}),
    ]
    wishes, problems = read_wishes(rows)
    assert [line for line, _ in wishes] == [2]
    assert [(problem.line, problem.message.split(";")[0]) for problem in problems] == [
        (3, "the class is none"),
        (4, "3 fields where the first line has 7"),
        (5, "acknowledged is neither yes nor no"),
    ]
    assert "outside_uk" in problems[0].message
