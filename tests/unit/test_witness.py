"""The witness: accepts what goes on, refuses forks and rollbacks, and never forgets by accident."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retention.verify import container
from retention.verify.notes import Malformed, parse_key, parse_note
from retention.verify.witness import main, parse_request
from ringfence.audit.merkle import Tree, leaf_hash
from tests.unit.bundles import SIGNER, STRANGER, bundle

Ask = Callable[..., tuple[int, str]]
HONEST = Tree(leaf_hash(str(number).encode()) for number in range(40))
OTHER = Tree(leaf_hash(str(number if number != 3 else -1).encode()) for number in range(40))


def request(path: Path, size: int, old: int | None = None, *, tree: Tree = HONEST, signer: object = SIGNER) -> Path:
    note = getattr(signer, "checkpoint")(size, tree.root(size)).note  # noqa: B009  either signer
    proof = [] if old is None else tree.consistency_proof(old, size)
    head = "" if old is None else "\n".join([f"old {old}", *(b64encode(step).decode() for step in proof)]) + "\n\n"
    path.write_text(head + note, encoding="utf-8")
    return path


@pytest.fixture
def ask(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Ask:
    """Return a function that asks the witness, and gives its exit code and result."""

    def asked(offered: Path | None, *more: str) -> tuple[int, str]:
        capsys.readouterr()
        arguments = [*([str(offered)] if offered else []), "--state", str(tmp_path / "state"), "--key", SIGNER.verifier_key, "--json", *more]
        code = main(arguments)
        printed = capsys.readouterr()
        return code, json.loads(printed.out)["result"] if printed.out else printed.err

    return asked


def test_it_remembers_and_goes_on(ask: Ask, tmp_path: Path) -> None:
    assert ask(None) == (0, "nothing is remembered yet")
    assert ask(request(tmp_path / "a", 5)) == (0, "accepted: first checkpoint of this log: remembered; from now on it must go on from here")
    assert ask(request(tmp_path / "a", 5)) == (0, "accepted: the same as before")
    assert ask(request(tmp_path / "b", 17, 5)) == (0, "accepted: goes on from 5 entries")
    assert ask(None) == (0, "remembered")
    assert (tmp_path / "state").read_text(encoding="utf-8") == SIGNER.checkpoint(17, HONEST.root(17)).note


@pytest.mark.parametrize(
    ("size", "old", "tree", "message"),
    [
        (16, None, HONEST, "ROLLBACK: the log had 17 entries, now 16"),
        (17, 17, OTHER, "FORK: two logs of 17 entries"),
        (30, 17, OTHER, "FORK: the proof does not show"),
        (30, None, HONEST, "there is no proof from 17 entries"),
        (30, 16, HONEST, "there is no proof from 17 entries"),
    ],
)
def test_it_refuses_and_keeps_what_it_knew(ask: Ask, tmp_path: Path, size: int, old: int | None, tree: Tree, message: str) -> None:
    ask(request(tmp_path / "a", 17))
    before = (tmp_path / "state").read_bytes()
    code, result = ask(request(tmp_path / "b", size, old, tree=tree))
    assert code == 1
    assert message in result
    assert (tmp_path / "state").read_bytes() == before


def test_a_stranger_is_refused(ask: Ask, tmp_path: Path) -> None:
    code, result = ask(request(tmp_path / "a", 5, signer=STRANGER))
    assert (code, "not signed with a key" in result) == (1, True)
    assert not (tmp_path / "state").exists()


def test_a_spoilt_memory_is_not_forgotten(ask: Ask, tmp_path: Path) -> None:
    ask(request(tmp_path / "a", 5))
    (tmp_path / "state").write_text("spoilt", encoding="utf-8")
    code, _ = ask(request(tmp_path / "b", 6, 5))
    assert code == 2
    assert (tmp_path / "state").read_text(encoding="utf-8") == "spoilt"


@pytest.mark.parametrize("packed", [True, False])
def test_it_takes_bundles_and_checks_them_whole(ask: Ask, tmp_path: Path, packed: bool) -> None:
    files = bundle(tmp_path / "store")
    path = tmp_path / ("b.tar" if packed else "b")
    if packed:
        path.write_bytes(container.pack(files))
    else:
        path.mkdir()
        for name, data in files.items():
            (path / name).write_bytes(data)
    assert ask(path) == (0, "accepted: a bundle in which everything holds")
    assert ask(path) == (0, "accepted: a bundle in which everything holds, and which goes on from 15 entries")
    fork = tmp_path / "fork.tar"
    fork.write_bytes(container.pack(bundle(tmp_path / "other", change=lambda drafts: drafts.__delitem__(14))))
    code, result = ask(fork)
    assert code == 1
    assert "do not hold" in result


def test_it_cosigns_only_what_it_accepts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    key = tmp_path / "cosigner"
    assert main(["--new-key", str(key), "--name", "auditor.example.com/w1"]) == 0
    verifier = parse_key(capsys.readouterr().out)
    arguments = ["--state", str(tmp_path / "state"), "--key", SIGNER.verifier_key, "--cosign", str(key)]
    assert main([str(request(tmp_path / "a", 9)), *arguments]) == 0
    cosigned = parse_note(capsys.readouterr().out)
    assert cosigned.signature_of(verifier) is not None
    assert cosigned.signature_of(parse_key(SIGNER.verifier_key)) is not None
    assert main([str(request(tmp_path / "a", 8)), *arguments]) == 1
    assert "w1" not in capsys.readouterr().out
    key.chmod(0o640)
    assert main([str(request(tmp_path / "a", 10, 9)), *arguments]) == 2
    assert (tmp_path / "state").read_text(encoding="utf-8").split("\n")[1] == "9"


def test_wrong_use(tmp_path: Path) -> None:
    assert main([]) == 2
    assert main(["--new-key", str(tmp_path / "k")]) == 2
    assert main([str(tmp_path / "nothing"), "--state", str(tmp_path / "state"), "--key", SIGNER.verifier_key]) == 2


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=200) | st.text(alphabet="old 0123456789\n=—A", max_size=60).map(lambda text: "old " + text))
def test_no_request_breaks_it(text: str) -> None:
    try:
        parse_request(text)
    except Malformed:
        return
