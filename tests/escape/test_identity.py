"""Ids and capabilities: nobody becomes user 0 by a large number, and what is dropped does not come back."""

from __future__ import annotations

import pytest

from kthreads import CloneFlags, Process, clone

pytestmark = pytest.mark.any_python

LARGE = [2**32, 2**32 - 1, 2**64, 2**32 + 1000, -1]


@pytest.mark.parametrize("number", LARGE)
@pytest.mark.parametrize("name", ["user", "group", "extra_groups"])
def test_a_number_that_is_no_id_is_refused(name, number):
    with pytest.raises((ValueError, OverflowError)):
        Process(["true"], **{name: [number] if name == "extra_groups" else number})


@pytest.mark.parametrize("row", [(2**32, 0, 1), (0, 2**32, 1), (0, 0, 2**32), (1, 1, 2**32 - 1), (-1, 0, 1)])
def test_a_map_with_such_a_number_is_refused(row):
    with pytest.raises(ValueError, match="not a user or group id"):
        Process(["true"], namespaces=CloneFlags.NEWUSER, uid_map=[row], gid_map=[row])
    if min(row) >= 0:
        with pytest.raises(ValueError, match="not a user or group id"):
            clone(int, CloneFlags.NEWUSER, uid_map="{} {} {}\n".format(*row))


@pytest.mark.parametrize(
    "words",
    [
        ["run", "--user", "4294967296"],
        ["run", "--user", "5:4294967295"],
        ["unshare", "-S", "4294967296"],
        ["unshare", "-G", "4294967296"],
        ["unshare", "--map-user", "4294967296"],
        ["unshare", "--map-users", "0:4294967296:1"],
        ["unshare", "--map-users", "0:0:4294967296"],
        ["nsenter", "-S", "4294967296"],
        ["nsenter", "-G", "18446744073709551616"],
    ],
    ids=" ".join,
)
def test_an_option_with_such_a_number_is_bad_usage(attack_by_root, words):
    done = attack_by_root.command(*words, "id", "-u")
    assert done.returncode == (125 if words[0] == "run" else 1)
    assert "Traceback" not in done.stdout
    assert "usage: " in done.stdout


def sets(status: str) -> dict[str, int]:
    pairs = (line.split(":\t", 1) for line in status.partition("|")[0].splitlines())
    return {name: int(value, 16) for name, value in pairs if name.startswith("Cap")}


@pytest.mark.parametrize("identity", ["", "user=5", "user=5, group=6, extra_groups=[7]"])
@pytest.mark.parametrize("contained", ["", "root=sys.argv[1], mounts=[Proc()],"])
def test_dropped_capabilities_are_dropped_from_the_bounding_set_too(attack_by_root, identity, contained):
    where = contained or "namespaces=0,"
    script = f"print(run('/bin/cat', '/proc/self/status', {where} keep_capabilities=[], {identity}))"
    assert set(sets(attack_by_root.python(script, attack_by_root.root)).values()) == {0}


@pytest.mark.parametrize("identity", ["", "user=5"])
def test_those_that_are_kept_are_the_only_ones_anywhere(attack_by_root, identity):
    script = f"print(run('/bin/cat', '/proc/self/status', namespaces=0, keep_capabilities=['chown'], {identity}))"
    assert set(sets(attack_by_root.python(script)).values()) == {1}


def test_where_they_cannot_be_dropped_the_program_does_not_start(attack):
    script = (
        "print(run('/bin/cat', '/proc/self/status', namespaces=0, uid_map=None, gid_map=None, keep_capabilities=[]))"
    )
    out = attack.python(script)
    if attack.uid == 0:
        assert sets(out)["CapBnd"] == 0
    else:
        assert out.startswith("refused: ")
        assert "bounding set" in out
