# SPDX-License-Identifier: ISC
"""The pages beside the manuals: what they name is there."""

import re
import subprocess

import pytest

import manuals
import relay
from base import ROOT

PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])


def ids(pages):
    return [str(page.relative_to(ROOT)) for page in pages]


def version():
    return re.search(r"^VERSION\s*:= (\S+)$",
                     (ROOT / "Makefile").read_text(), re.M)[1]


def anchors(page):
    """What a link into a page may name."""
    heads = re.findall(r"^#+ (.*)$", page.read_text(), re.M)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-")
            for head in heads}


@pytest.mark.parametrize("page", PAGES, ids=ids(PAGES))
def test_links(page):
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.M | re.S)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"\w+:", target):
            continue
        name, _, anchor = target.partition("#")
        there = (page.parent / name) if name else page
        assert there.exists(), target
        if anchor:
            assert anchor in anchors(there), target


@pytest.mark.parametrize("page", PAGES, ids=ids(PAGES))
def test_the_tests_named_exist(page):
    for name, test in re.findall(r"`(?:tests/e2e/)?(test_\w+\.py)::(\w+)`",
                                 page.read_text()):
        source = (ROOT / "tests/e2e" / name).read_text()
        assert re.search(rf"^def {test}\(", source, re.M), f"{name}::{test}"
    for name in re.findall(r"`((?:tests|scripts|common|relayd|relay-\w+|docs|"
                           r"etc|examples)/[\w./-]+)`", page.read_text()):
        assert (ROOT / name).exists(), name


@pytest.mark.parametrize("page", PAGES, ids=ids(PAGES))
def test_the_manuals_named_exist(page):
    ours = {p.name for p in manuals.PAGES}
    for name, part in re.findall(r"\b(relay[\w.-]*)\((\d)\)",
                                 page.read_text()):
        assert f"{name}.{part}" in ours, f"{name}({part})"


def test_the_threat_model_has_a_test_for_each_line():
    """Whatever is not given, or kept out, is shown by something."""
    rows = [line.split(" | ") for line in
            (ROOT / "docs/threat-model.md").read_text().splitlines()
            if line.startswith("| ") and line.count(" | ") == 1]
    rows = [row for row in rows if not row[1].startswith(("shown by", "---"))]
    assert len(rows) > 40
    for what, shown in rows:
        assert re.search(r"`[\w/]*test_\w+\.(py::\w+|c)`", shown), what


def test_each_process_is_in_the_threat_model():
    text = (ROOT / "docs/threat-model.md").read_text()
    roles = re.findall(r'\.name = "(\w+)"',
                       (ROOT / "common/role.c").read_text())
    assert len(roles) == 6
    for role in roles:
        name = {"authd": "relay-authd",
                "serve": "relay-ctl serve"}.get(role, role)
        assert re.search(rf"^### (The |An )?{name}$", text, re.M), role


def test_versions_agree():
    """Makefile, programs and change log."""
    done = subprocess.run([str(relay.BUILD / "relayd"), "-v"], text=True,
                          capture_output=True, check=True,
                          timeout=relay.TIMEOUT_S)
    assert done.stdout.split()[-1] == version()
    text = (ROOT / "CHANGELOG.md").read_text()
    heads = re.findall(r"^## \[([^]]+)\]", text, re.M)
    assert heads[0] in (version(), "Unreleased") and version() in heads


def test_the_targets_of_make_exist():
    listed = set(re.findall(r"^([a-z0-9-]+):.*##",
                            (ROOT / "Makefile").read_text(), re.M))
    for page in PAGES:
        used = set(re.findall(r"`make ([a-z][a-z-]*)", page.read_text()))
        assert used <= listed, page.name
