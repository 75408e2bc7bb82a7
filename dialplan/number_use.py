"""What a number may be used for: as a customer's DID, and as a forwarding target. Reasons are told, since people will ask."""

from __future__ import annotations

import phonenumbers
from phonenumbers import PhoneNumberType

from dialplan.numbers import classify, is_crown_dependency, is_drama
from ringfence.errors import Invalid, Refused
from ringfence.values import E164, NumberClass, TargetKind

_WIFI = ("79112", "79118")  # once WiFi telephony: seldom reachable
_TARGET_REASONS = {
    NumberClass.PERSONAL: "070 numbers are personal numbers that forward again, at a price nobody sees (a known fraud)",
    NumberClass.PAGER: "076 numbers are pagers",
    NumberClass.FREEPHONE: "080 numbers are free to call: forwarding to them makes loops of free calls",
    NumberClass.SERVICE: "084 and 087 numbers carry a service charge",
    NumberClass.PREMIUM: "09 numbers are premium rate",
    NumberClass.UNUSED: "the number is in a range that is not in use",
}
_DID_REASONS = {
    NumberClass.PAGER: "076 numbers are pagers",
    NumberClass.PREMIUM: "09 numbers are premium rate",
    NumberClass.UNUSED: "the number is in a range that is not in use",
    NumberClass.INTERNATIONAL: "it is not a UK number",
}
_LANDLINES = frozenset({NumberClass.GEOGRAPHIC, NumberClass.UK_WIDE, NumberClass.CORPORATE, NumberClass.VOIP})
_COSTLY_ABROAD = frozenset(
    {
        PhoneNumberType.PREMIUM_RATE,
        PhoneNumberType.SHARED_COST,
        PhoneNumberType.PERSONAL_NUMBER,
        PhoneNumberType.PAGER,
        PhoneNumberType.TOLL_FREE,
        PhoneNumberType.UNKNOWN,  # revenue-share fraud likes ranges that nobody was given
    }
)
_MOBILE_ABROAD = frozenset({PhoneNumberType.MOBILE, PhoneNumberType.FIXED_LINE_OR_MOBILE})


def check_did(number: E164, *, allow_drama: bool) -> tuple[str, ...]:
    """Check that we may route a number as a customer's; return warnings.

    Raises:
        Invalid: as `classify`.
        Refused: numbers of its class cannot be DIDs, or it is a drama number and these are not allowed.
    """
    number_class = classify(number)
    if number_class in _DID_REASONS:
        raise Refused(f"it cannot be a DID: {_DID_REASONS[number_class]}", hint="give a 01, 02, 03, 055, 056, 07, 080, 084 or 087 number")
    _check_drama(number, allowed=allow_drama)
    if number_class is NumberClass.PERSONAL:
        return ("070 is personal numbering: Ofcom's special rules apply, and many networks block calls to it",)
    if number_class in {NumberClass.VOIP, NumberClass.CORPORATE}:
        return ("055 and 056 numbers cannot be reached from every network",)
    return ()


def check_target(number: E164, kind: TargetKind, *, allow_drama: bool, allow_international: bool) -> tuple[str, ...]:
    """Check that calls may be forwarded to a number; return warnings.

    Raises:
        Invalid: the number is not of the kind, or as `classify`.
        Refused: forwarding to numbers of its class is not allowed.
    """
    number_class = classify(number)
    if number_class in _TARGET_REASONS:
        raise Refused(f"calls cannot be forwarded to it: {_TARGET_REASONS[number_class]}", hint="give a mobile or landline number")
    _check_drama(number, allowed=allow_drama)
    if number_class is NumberClass.INTERNATIONAL:
        _check_abroad(number, kind, allowed=allow_international)
        return ()
    expected = TargetKind.MOBILE if number_class is NumberClass.MOBILE else TargetKind.LANDLINE
    if kind is not expected:
        raise Invalid(f"it is a {expected} number, not a {kind}", hint=f"write {expected}:NUMBER")
    warnings = []
    if number_class in {NumberClass.VOIP, NumberClass.CORPORATE}:
        warnings.append("055 and 056 numbers cannot be reached from every network")
    if number[3:].startswith(_WIFI):
        warnings.append("079112 and 079118 were WiFi ranges and are seldom reachable")
    if is_crown_dependency(number):
        warnings.append("Guernsey, Jersey and the Isle of Man cost more than the UK on most trunks")
    return tuple(warnings)


def target_kind(number: E164) -> TargetKind:
    """Return the kind that a number is as a forwarding target: a mobile, or any other line."""
    if classify(number) is NumberClass.INTERNATIONAL:
        return TargetKind.MOBILE if phonenumbers.number_type(phonenumbers.parse(number)) in _MOBILE_ABROAD else TargetKind.LANDLINE
    return TargetKind.MOBILE if classify(number) is NumberClass.MOBILE else TargetKind.LANDLINE


def _check_drama(number: E164, *, allowed: bool) -> None:
    if not allowed and is_drama(number):
        raise Refused("it is one of Ofcom's drama numbers, which nobody has", hint="for a demo or a test set routing.drama_numbers = true")


def _check_abroad(number: E164, kind: TargetKind, *, allowed: bool) -> None:
    if not allowed:
        raise Refused("calls cannot be forwarded to it: it is not a UK number", hint="set routing.international = true to allow numbers abroad")
    parsed = phonenumbers.parse(number)
    number_type = phonenumbers.number_type(parsed)
    if number_type in _COSTLY_ABROAD or phonenumbers.region_code_for_country_code(parsed.country_code or 0) in {"001", "ZZ"}:
        raise Refused(
            "calls cannot be forwarded to it: it is a special-rate, satellite, freephone or unassigned number", hint="give a mobile or landline number"
        )
    if kind is TargetKind.MOBILE and number_type not in _MOBILE_ABROAD:
        raise Invalid("it is not a mobile number", hint="write landline:NUMBER")
