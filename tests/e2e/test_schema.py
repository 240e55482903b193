# SPDX-License-Identifier: ISC
"""What relayd says, the manual that describes it and the table that freezes it
are held against each other, in both directions."""

import copy
import os
import re

import pytest

import schema
from scene import Scene

MANUAL = schema.Manual()
TABLE = schema.frozen()
VERSION = re.search(r"^VERSION\s*:= (\S+)$",
                    (schema.ROOT / "Makefile").read_text(), re.M)[1]
# Objects whose members are other people's, or described elsewhere.
OPAQUE = {("status", "gateways[].identities[].descriptor"),
          ("counters", "gateways[].counters"), ("send", "result"),
          ("refusal", "result"), ("tap", "line"),
          ("quarantine", "events[].line"), ("trace", "line"),
          ("config", "values[].value")}
# What no run here makes: this kernel has every layer; the journal keeps all
# evidence; a process that never started has no reply made of it.
NEVER = {("status", "processes[].lacking"), ("status", "gateways[].tls")}
# null is rare: what stands in between is seen by the engine's unit test.
NEVER_NULL = {("status", "gateways[].revoked.evidence"),
              ("status", "processes[].since"),
              ("status", "gateways[].gateway_id"),
              ("status", "processes[].pss_kb")}
# These, where the machine has a configuration of relayd's.
WITHOUT_FILE = {("state", "configuration"), ("config", "file")}
# Pings are sent each half minute.
SLOW = {("status", "gateways[].rtt_ms"), ("status", "gateways[].last_pong_s"),
        ("status", "gateways[].last_pong_at")}
UNITS = (("_s", "seconds"), ("_ms", "milliseconds"), ("_kb", "KiB"),
         ("bytes", "bytes"), ("_at", "Unix seconds"), ("at", "Unix seconds"),
         ("since", "Unix seconds"), ("started", "Unix seconds"),
         ("updated", "Unix seconds"), ("now", "Unix seconds"),
         ("taken", "Unix seconds"),
         ("arrived", "Unix seconds"))


@pytest.fixture(name="scene", scope="module")
def _scene(daemon, ca_dir):
    scene = Scene(daemon, ca_dir)
    try:
        yield scene.play()
        scene.relayd.stop()
    finally:
        scene.close()


def documents(scene):
    """(name, document, the manual's fields) of all that was said."""
    for name, told in scene.told.items():
        if name not in MANUAL.documents.keys() | MANUAL.requests.keys():
            raise LookupError(f"the manual has no {name}")
        fields = schema.whole(MANUAL.documents, name)
        for document in told:
            yield name, document, fields


def test_output_is_documented(scene):
    assert len(scene.told) > 20
    for name, document, fields in documents(scene):
        table = schema.promises(fields)
        assert not schema.unknown(table, document), name
        assert not schema.breaches(table, document), (name, document)


def test_documented_is_output(scene):
    """Each member was seen, with a value and, if it may be null, as null."""
    if os.environ.get("SLOW"):
        scene.wait_for_pings()
    found = {}
    for name, document, fields in documents(scene):
        home = schema.homes(MANUAL.documents, name)
        for path, kind in schema.seen(schema.promises(fields), document):
            found.setdefault(home[path], set()).add(kind)
    never_null = NEVER_NULL | (WITHOUT_FILE if scene.has_file else set())
    missing = []
    for name, fields in MANUAL.documents.items():
        for path, field in fields.items():
            key, kinds = (name, path), found.get((name, path), set())
            if not kinds:
                missing.append(f"{name}: {path} was never seen")
            elif kinds == {"null"} and key not in NEVER | SLOW:
                missing.append(f"{name}: {path} was always null")
            elif "null" in field.types and "null" not in kinds \
                    and key not in never_null:
                missing.append(f"{name}: {path} was never null")
    assert not missing, "\n".join(missing)


def test_the_states_were_there(scene):
    states = {g["state"] for d in scene.told["status"] for g in d["gateways"]}
    assert states == {"connected", "connecting", "retrying", "disabled",
                      "idle", "dormant", "unprovisioned"}
    codes = {d["code"] for d in scene.told["refusal"]}
    assert codes >= {"bad_request", "unknown_command", "unknown_schema",
                     "unknown_gateway", "not_permitted", "refused", "failed"}
    assert scene.hung[0] == 152     # one has no credential


def test_objects_are_described():
    childless = set()
    for name, fields in MANUAL.documents.items():
        for path, field in fields.items():
            if "object" in field.types and not any(
                    p.startswith(path + ".") for p in fields):
                childless.add((name, path))
    assert childless == OPAQUE


def test_counters_are_the_same(scene):
    known = {p.rpartition(".")[2] for p in MANUAL.documents["status"]
             if p.startswith("gateways[].counters.")}
    for document in scene.told["counters"]:
        for gateway in document["gateways"]:
            assert set(gateway["counters"]) == known


def test_strings_that_are_listed(scene):
    """Where the manual lists what a string may be, it is one of these."""
    text = schema.MANUAL.read_text()
    status = scene.told["status"]
    gateways = [g for d in status for g in d["gateways"]]
    for section, path, values in (
            ("Sh STATUS", "gateways[].state", {g["state"] for g in gateways}),
            ("Sh STATUS", "gateways[].credential.source",
             {g["credential"]["source"] for g in gateways}),
            ("Sh STATUS", "gateways[].last_close.by",
             {g["last_close"]["by"] for g in gateways if g["last_close"]}),
            ("Sh STATUS", "gateways[].last_failure.phase",
             {g["last_failure"]["phase"] for g in gateways
              if g["last_failure"]}),
            ("Sh STATUS", "processes[].role",
             {p["role"] for d in status for p in d["processes"]}),
            ("It Ic tap", "tap", {d["tap"] for d in scene.told["tap"]}),
            ("Ss Refusals", "code", {d["code"] for d in scene.told["refusal"]}),
            ("Sh STATE FILE", "phase",
             {d["phase"] for d in scene.told["state"]}),
            ("It Ic trace", "state", {d["state"] for d in scene.told["trace"]}),
            ("It Ic log", "format", {d["format"] for d in scene.told["log"]}),
            ("Sh STAGES", "stage",
             {s["stage"] for d in scene.told["trace"] for s in d["stages"]}),
            ("Sh CONFIGURATION", "values[].from",
             {v["from"] for d in scene.told["config"] for v in d["values"]})):
        entry = text[text.index(f".{section}\n"):]
        entry = entry[entry.index(f".It Va {path}\n") + 1:]
        entry = re.split(r"^\.(?:It Va|Sh) ", entry, 1, re.M)[0]
        for value in values:
            assert re.search(rf"Ql {value}\b", entry), (path, value)


def test_numbers_have_units():
    for name, fields in MANUAL.documents.items():
        for path, field in fields.items():
            if not {"integer", "number"} & set(field.types) \
                    or "string" in field.types:
                continue
            last = path.rpartition(".")[2]
            unit = next((u for end, u in UNITS if last == end
                         or end.startswith("_") and last.endswith(end)), "")
            assert unit in field.text, (name, path, field.text)


def test_what_null_and_absence_mean():
    for name, fields in MANUAL.documents.items():
        for path, field in fields.items():
            if "null" in field.types:
                assert re.search(r"\bnull\b", field.text), (name, path)
            if field.optional:
                assert "absent" in field.text, (name, path)


# Version 1 is frozen.

def test_the_manual_says_what_is_frozen():
    assert not schema.differences(TABLE, MANUAL)


def frozen(name):
    """What is frozen of a document, with what others have, too."""
    return schema.whole(TABLE["documents"], name)


def test_output_keeps_version_1(scene):
    for name, document, _ in documents(scene):
        assert not schema.breaches(frozen(name), document), name


def mutants(table, document):
    """Documents that break a promise, each with the path it breaks."""
    for path, promise in table.items():
        types, _, optional = promise.partition(", ")
        for change in ("remove", "rename", "retype"):
            if optional and change != "retype":
                continue
            mutant = copy.deepcopy(document)
            above, name = schema.parent(path)
            for at, value in schema.walk(mutant, schema.members(table)):
                if at != above or name not in value:
                    continue
                old = value.pop(name)
                if change == "rename":
                    value[name + "_"] = old
                elif change == "retype":
                    value[name] = next(
                        other for other in (1, "1", False, 1.5)
                        if not schema.fits(other, types.split(" or ")))
                yield change, path, mutant
                break


def test_a_change_of_version_1_is_found(scene):
    """Of what was said last: what breaks a promise is noticed wherever it is
    broken, and an addition is none."""
    tried = set()
    for name, told in scene.told.items():
        table = frozen(name)
        for document in told[-3:]:
            assert not schema.breaches(table, document)
            for change, path, mutant in mutants(table, document):
                found = schema.breaches(table, mutant)
                assert any(path in line for line in found), (change, path)
                tried.add((name, path))
            mutant = copy.deepcopy(document)
            for _, value in schema.walk(mutant, schema.members(table)):
                value["of_the_future"] = {"x": [1]}
            assert not schema.breaches(table, mutant)
    assert len(tried) > 150


def test_a_change_of_the_manual_is_found():
    text = schema.MANUAL.read_text()
    for old, new in (
            ("rtt_ms\ninteger or null;", "rtt_ms\ninteger;"),
            ("It Va gateways[].attempt\n", "It Va gateways[].tries\n"),
            ("integer; dials since", "number; dials since"),
            (".It Cm bufferId\nstring;", ".It Cm bufferId\ninteger;")):
        assert old in text
        assert schema.differences(
            TABLE, schema.Manual(text.replace(old, new, 1)))
    # What is added is told, too, so that it comes into the table; nothing in
    # the table changes by that.
    more = schema.Manual(text.replace(
        ".It Va gateways[].attempt\n",
        ".It Va gateways[].new_s\ninteger, since 0.2.0; seconds.\n"
        ".It Va gateways[].attempt\n"))
    assert more.documents["status"]["gateways[].new_s"].since == "0.2.0"
    grown = schema.grown(TABLE, more)
    assert schema.differences(TABLE, more)
    assert not schema.differences(grown, more)
    grown["documents"]["status"].pop("gateways[].new_s")
    assert grown == TABLE


# Requests.

VALID = {"string": "x", "boolean": True, "object": {"op": "send"}}
INVALID = {"string": 1, "boolean": 1, "object": 1}


def test_requests_are_documented(scene):
    """Each command takes what the manual says, of that type, and no more."""
    every = {m for fields in MANUAL.requests.values() for m in fields}
    for cmd, fields in MANUAL.requests.items():
        if not cmd:
            continue
        full = {m: VALID[f.types[0]] for m, f in fields.items()}
        if "gateway" in full:
            # Looked for when all members are known to be right.
            answer = scene.ask(cmd, **{**full, "gateway": "nope"})
            assert answer.get("code") == "unknown_gateway", (cmd, answer)
        for member, field in fields.items():
            wrong = {**full, "gateway": "nope",
                     member: INVALID[field.types[0]]}
            assert scene.ask(cmd, **wrong)["code"] == "bad_request", wrong
            if not field.optional:
                wrong.pop(member)
                assert scene.ask(cmd, **wrong)["code"] == "bad_request", wrong
        for member in every - fields.keys() - MANUAL.requests[""].keys():
            answer = scene.ask(cmd, **{**full, member: "x"})
            assert answer["code"] == "bad_request", (cmd, member)


def test_a_schema_may_be_asked_for(scene):
    for cmd, name in (("status", "relayd.status/1"),
                      ("counters", "relayd.control/1")):
        answer = scene.ask(cmd, schema=name)
        assert answer["ok"] and answer["schema"] == name
    answer = scene.ask("status", schema="relayd.status/2")
    assert answer["code"] == "unknown_schema"
    for word in (f"relayd {VERSION}", "status", "relayd.status/1",
                 "relayd.status/2", "came with it"):
        assert word in answer["error"], answer


def test_every_reply_names_its_schema_and_version(scene):
    for name, document, _ in documents(scene):
        if schema.is_line(name):
            continue
        assert re.fullmatch(r"relayd\.\w+/1", document["schema"]), name
        assert document["version"] == VERSION, name
