# SPDX-License-Identifier: ISC
"""What relayd tells operators, as docs/relayd-control.5 describes it and as
docs/control-1.json freezes it.

The manual is written by hand: `.It Cm` is a member of a request, `.It Va` one
of a reply, a line of a stream or a file, and its text begins with

    TYPE[ or TYPE...][, optional][, since VERSION]; ...

The frozen table has the same words.  Run by itself, this adds to the table what
the manual has and the table lacks, and changes nothing that is there:

    /usr/bin/python3 tests/e2e/schema.py
"""

import copy
import json
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MANUAL = ROOT / "docs" / "relayd-control.5"
FROZEN = ROOT / "docs" / "control-1.json"

TYPES = ("array of objects", "array of strings", "string", "integer",
         "number", "boolean", "object", "null")
FORM = re.compile(
    r"(?P<types>(?:{0})(?: or (?:{0}))*)(?P<optional>, optional)?"
    r"(?:, since (?P<since>\d+\.\d+\.\d+))?; ".format("|".join(TYPES)))
# Documents of sections.  Others are named by their command, and lines of
# streams by the word that tells them apart as well.
SECTIONS = {"REPLIES": "reply", "Refusals": "refusal", "STATUS": "status",
            "STATE FILE": "state", "STAGES": "stage",
            "CONFIGURATION": "config"}
STREAMS = ("watch", "tap", "trace")     # lines follow the replies to these
# Documents that are not replies of relayd.control/1.
APART = ("refusal", *SECTIONS.values(), "tap")
LINES_OF_STAGES = ("tap stage", "trace stage")
# Of a stage, what the reply to trace tells once for all of them.
TOLD_ONCE = ("gateway", "bufferId", "connector_id")


def version(text):
    return tuple(map(int, text.split(".")))


class Field:
    """What is promised of a member."""

    def __init__(self, text):
        match = FORM.match(text)
        if not match:
            raise ValueError(f"no type begins {text[:60]!r}")
        self.types = match["types"].split(" or ")
        self.optional = bool(match["optional"])
        self.since = match["since"] or "0.1.0"
        self.words = text[:match.end() - 2]     # as they stand
        self.text = text[match.end():]

    @property
    def promise(self):
        """The words without their version."""
        return re.sub(r", since .*", "", self.words)


class Manual:
    """The tables of the manual.

    documents  name: {path: Field}
    requests   command: {member: Field}; those of every command under ""
    """

    def __init__(self, text=None):
        self.documents = {}
        self.requests = {"": {}}
        self._section = self._command = self._variant = self._member = None
        self._shared = {}       # what commands that follow take, too
        self._depth = 0
        self._text = []
        for line in (text or MANUAL.read_text()).splitlines():
            self._line(line)
        self._end_member()

    def _line(self, line):
        word, _, rest = line.partition(" ")
        if word in (".Sh", ".Ss"):
            self._end_member()
            self._section, self._command = rest, None
        elif word == ".Bl":
            self._depth += 1
        elif word == ".El":
            self._end_member()
            self._depth -= 1
            if self._depth == 0:
                self._command = None
        elif word == ".It":
            self._end_member()
            self._item(*rest.partition(" ")[::2])
        elif word == ".Pp":
            self._end_member()
        elif self._member:
            self._text.append(re.sub(r"^\.\w+ ", "", line))

    def _item(self, macro, name):
        requests = self._section == "REQUESTS"
        if requests and macro == "Ic" and self._depth == 1:
            self._command, self._variant = name, None
            self.requests[name] = dict(self._shared)
        elif requests and macro == "Ql" and self._command:
            self._variant = name
        elif macro in ("Cm", "Va") and (
                requests or self._section in SECTIONS):
            self._member = macro, name

    def _end_member(self):
        if not self._member:
            return
        (macro, name), self._member = self._member, None
        field, self._text = Field(" ".join(self._text)), []
        if macro == "Va":
            table = self.documents.setdefault(self._document(), {})
        elif self._command:
            table = self.requests[self._command]
        else:
            table = self._shared if len(self.requests) > 1 \
                else self.requests[""]
        if name in table and table is not self._shared:
            raise ValueError(f"{name} stands twice in {self._document()}")
        table[name] = field

    def _document(self):
        if self._command is None:
            return SECTIONS.get(self._section, self._section)
        return " ".join(filter(None, (self._command, self._variant)))


def is_line(name):
    """Whether a document is a line of a stream."""
    return name == "tap" or name.partition(" ")[0] in STREAMS and " " in name


def homes(documents, name):
    """{path: (document, its path there)} of all members of a document: where
    each is described.  What several have stands in one place."""
    found = {}
    if name in LINES_OF_STAGES:
        found = {path: ("stage", path) for path in documents["stage"]}
    elif name not in APART and not is_line(name):
        found = {path: ("reply", path) for path in documents["reply"]}
    if name == "trace":
        found |= {f"stages[].{path}": ("stage", path)
                  for path in documents["stage"] if path not in TOLD_ONCE}
    return found | {path: (name, path) for path in documents.get(name, {})}


def whole(documents, name):
    """{path: what stands there} of all members of a document."""
    return {path: documents[home][there]
            for path, (home, there) in homes(documents, name).items()}


def type_name(value):
    """The narrowest type of a value."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, list):
        inner = {type_name(item) for item in value}
        return "array of strings" if inner == {"string"} \
            else "array of objects" if inner <= {"object"} else "array"
    return {int: "integer", float: "number", str: "string",
            dict: "object"}[type(value)]


def fits(value, types):
    name = type_name(value)
    return name in types or (name == "integer" and "number" in types) \
        or (value == [] and any(t.startswith("array") for t in types))


def parent(path):
    """("gateways[]", "name") of gateways[].name; ("", name) at the top."""
    return tuple(path.rpartition(".")[::2])


def members(table):
    """{parent path: {member: promise}} of {path: promise}."""
    tree = {}
    for path, promise in table.items():
        above, name = parent(path)
        tree.setdefault(above, {})[name] = promise
    return tree


def walk(value, tree, path=""):
    """Each object whose members are known: (its path, the object)."""
    if isinstance(value, list):
        for item in value:
            yield from walk(item, tree, path + "[]")
    elif isinstance(value, dict) and path in tree:
        yield path, value
        for name, inner in value.items():
            yield from walk(inner, tree, f"{path}.{name}" if path else name)


def breaches(table, document):
    """What of {path: "types[, optional]"} a document does not keep.  What it
    has besides is none."""
    tree, found = members(table), []
    for path, value in walk(document, tree):
        for name, promise in tree[path].items():
            at = f"{path}.{name}" if path else name
            types, _, optional = promise.partition(", ")
            if name not in value:
                if not optional:
                    found.append(f"{at} is missing")
            elif not fits(value[name], types.split(" or ")):
                found.append(f"{at} is {type_name(value[name])}, not {types}")
    return found


def unknown(table, document):
    """Members of a document that a table does not have."""
    tree = members(table)
    return sorted({f"{path}.{name}" if path else name
                   for path, value in walk(document, tree)
                   for name in value if name not in tree[path]})


def seen(table, document):
    """(path, type) of each member of a document that a table has."""
    tree = members(table)
    for path, value in walk(document, tree):
        for name, inner in value.items():
            if name in tree[path]:
                yield f"{path}.{name}" if path else name, type_name(inner)


def promises(fields):
    return {path: field.promise for path, field in fields.items()}


def frozen():
    return json.loads(FROZEN.read_text())


def grown(old, manual):
    """The frozen table with what the manual has besides."""
    new = copy.deepcopy(old)
    for kind in ("documents", "requests"):
        for name, fields in getattr(manual, kind).items():
            table = new.setdefault(kind, {}).setdefault(name, {})
            for path, promise in promises(fields).items():
                table.setdefault(path, promise)
    return new


def differences(table, manual):
    """Where the frozen table and the manual do not say the same."""
    found = []
    for kind in ("documents", "requests"):
        told = getattr(manual, kind)
        for name in table[kind].keys() | told.keys():
            mine = table[kind].get(name, {})
            other = promises(told.get(name, {}))
            for path in sorted(mine.keys() | other.keys()):
                if mine.get(path) != other.get(path):
                    found.append(f"{name}: {path}: frozen as "
                                 f"{mine.get(path)}, in the manual "
                                 f"{other.get(path)}")
    return found


def main():
    try:
        old = frozen()
    except FileNotFoundError:
        old = {"schema": "relayd.control/1", "documents": {}, "requests": {}}
    manual = Manual()
    new = grown(old, manual)
    FROZEN.write_text(json.dumps(new, indent=1) + "\n")
    for line in differences(new, manual):
        print(line, file=sys.stderr)
    sys.exit(bool(differences(new, manual)))


if __name__ == "__main__":
    main()
