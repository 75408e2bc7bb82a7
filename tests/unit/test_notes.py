"""Signed notes: the known one of Go's sumdb, ours read back, and every way to bend them."""

from __future__ import annotations

from base64 import b64encode
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from retention.verify import notes, secret
from retention.verify.notes import Malformed, parse_key, parse_note, read_checkpoint
from ringfence.audit.check import read_note
from ringfence.audit.notes import Signer
from ringfence.errors import Invalid

GO_KEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
GO_SEED = "AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz"
GO_TEXT = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
GO_NOTE = GO_TEXT + "\n— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
SIGNER = Signer("example.com/ringfence", bytes(range(32)))
KEY = parse_key(SIGNER.verifier_key)
CHECKPOINT = SIGNER.checkpoint(42, bytes(range(32)))


def test_the_known_note_of_go() -> None:
    signer = Signer("PeterNeumann", notes.decode(GO_SEED)[1:])
    assert signer.verifier_key == GO_KEY
    assert signer.sign(GO_TEXT) == GO_NOTE
    assert parse_note(GO_NOTE).signature_of(parse_key(GO_KEY)) is not None


def test_a_checkpoint_is_what_the_specification_says() -> None:
    lines = CHECKPOINT.note.split("\n")
    assert lines[:4] == ["example.com/ringfence", "42", b64encode(bytes(range(32))).decode(), ""]
    assert lines[4].startswith("— example.com/ringfence ")
    assert lines[5:] == [""]
    found, key = read_checkpoint(CHECKPOINT.note, [KEY])
    assert (found.origin, found.size, found.root, str(key)) == (SIGNER.name, 42, bytes(range(32)), SIGNER.verifier_key)
    assert read_note(CHECKPOINT.note, SIGNER.verifier_key) == (42, bytes(range(32)).hex())


def test_a_strangers_signature_is_none() -> None:
    stranger = Signer(SIGNER.name, bytes(32))
    with pytest.raises(Malformed, match="not signed with a key that was given"):
        read_checkpoint(stranger.checkpoint(42, bytes(32)).note, [KEY])
    forged = CHECKPOINT.note.replace("\n42\n", "\n41\n")
    with pytest.raises(Malformed, match="false"):
        read_checkpoint(forged, [KEY])
    with pytest.raises(ValueError, match="not a checkpoint"):
        read_note(forged, SIGNER.verifier_key)


def test_an_origin_that_is_not_the_keys_name_is_refused() -> None:
    with pytest.raises(Malformed, match="origin"):
        read_checkpoint(SIGNER.sign(f"example.org/other\n1\n{b64encode(bytes(32)).decode()}\n"), [KEY])


@pytest.mark.parametrize("size", ["042", "-1", "+1", "1e3", " 1", "", "\N{ARABIC-INDIC DIGIT ONE}", "9" * 20])
def test_a_size_has_one_way_to_be_written(size: str) -> None:
    with pytest.raises(Malformed):
        read_checkpoint(SIGNER.sign(f"{SIGNER.name}\n{size}\n{b64encode(bytes(32)).decode()}\n"), [KEY])


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_no_byte_of_a_checkpoint_can_change(data: st.DataObject) -> None:
    note = CHECKPOINT.note.encode()
    place = data.draw(st.integers(0, len(note) - 1))
    flip = data.draw(st.integers(1, 255))
    changed = note[:place] + bytes([note[place] ^ flip]) + note[place + 1 :]
    with pytest.raises(ValueError, match=r"."):  # Malformed, or not UTF-8
        read_checkpoint(changed.decode(), [KEY])


def test_the_loose_bits_of_base64_are_refused() -> None:
    assert CHECKPOINT.note.endswith("=\n")
    last = CHECKPOINT.note[-3]
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    with pytest.raises(Malformed, match="base64"):
        parse_note(CHECKPOINT.note[:-3] + alphabet[alphabet.index(last) + 1] + "=\n")


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=300) | st.text(alphabet="— ab+/=\n\n0", max_size=80))
def test_no_text_breaks_the_parsers(text: str) -> None:
    for parse in (parse_note, parse_key, notes.parse_checkpoint):
        try:
            parse(text)
        except Malformed:
            continue


@pytest.mark.parametrize("name", ["", "a b", "a+b", "a\nb", "-a", "ä", "a" * 101])
def test_a_name_that_notes_cannot_carry_is_refused(name: str) -> None:
    with pytest.raises(Invalid):
        Signer(name, bytes(32))


@pytest.mark.parametrize(
    "text", ["", "a", "a+b", SIGNER.verifier_key[:-1], SIGNER.verifier_key.replace("example", "exbmple"), f"a+00000000+{b64encode(bytes(33)).decode()}"]
)
def test_what_is_no_verifier_key_is_refused(text: str) -> None:
    with pytest.raises(Malformed):
        parse_key(text)


def test_a_cosignature_stands_beside_the_signature_and_dates_it() -> None:
    private = Ed25519PrivateKey.from_private_bytes(bytes(reversed(range(32))))
    cosigned = notes.cosign("witness.example.com/w1", private, 1_679_315_147, CHECKPOINT.note)
    key = notes.Key("witness.example.com/w1", notes.COSIGNATURE, private.public_key().public_bytes_raw())
    assert parse_key(str(key)) == key
    note = parse_note(cosigned)
    signature = note.signature_of(key)
    assert signature is not None
    assert int.from_bytes(signature[:8], "big") == 1_679_315_147
    private.public_key().verify(signature[8:], b"cosignature/v1\ntime 1679315147\n" + note.text.encode())
    assert read_checkpoint(cosigned, [KEY])[0].size == 42
    with pytest.raises(Malformed, match="false"):
        parse_note(cosigned.replace("\n42\n", "\n43\n")).signature_of(key)


def test_a_cosigners_key_is_kept_secret(tmp_path: Path) -> None:
    path = tmp_path / "key"
    made = secret.make_key(path, "witness.example.com/w1")
    assert path.stat().st_mode & 0o777 == 0o600
    name, private = secret.read_key(path)
    assert (name, private.public_key().public_bytes_raw()) == (made.name, made.public)
    with pytest.raises(FileExistsError):
        secret.make_key(path, "witness.example.com/w1")
    path.chmod(0o644)
    with pytest.raises(Malformed, match="others can read"):
        secret.read_key(path)
