"""The sections of `component.xml` are those of ZODB, key by key."""

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import perdure.compat

MODULES = Path(perdure.compat.__file__).parent / "modules" / "ZODB"
LISTED = json.loads((Path(__file__).parent / "data" / "zodb-6.4-api.json").read_text())["zconfig"]
FACTS = ("name", "type", "attribute", "datatype", "default", "required")


def sections() -> dict[str, Any]:
    found = {}
    for section in ElementTree.parse(MODULES / "component.xml").getroot().iter("sectiontype"):
        facts = {key: value for key, value in section.attrib.items() if key != "name"}
        facts["keys"] = [
            {"kind": key.tag, **{fact: key.attrib[fact] for fact in FACTS if fact in key.attrib}}
            for key in section
            if key.tag != "description"
        ]
        found[section.attrib["name"]] = facts
    return found


def test_the_sections_are_zodbs() -> None:
    listed = LISTED["component.xml"]["sections"]
    assert sorted(sections()) == sorted(listed)
    for name, facts in sections().items():
        assert facts == listed[name], name


def test_the_abstract_types_and_the_prefix_are_zodbs() -> None:
    root = ElementTree.parse(MODULES / "component.xml").getroot()
    assert root.attrib["prefix"] == LISTED["component.xml"]["prefix"]
    types = [each.attrib["name"] for each in root.iter("abstracttype")]
    assert types == LISTED["component.xml"]["abstract types"]


def test_every_section_and_option_explains_itself_unless_it_is_of_another_package() -> None:
    for section in ElementTree.parse(MODULES / "component.xml").getroot().iter("sectiontype"):
        assert section.find("description") is not None, section.attrib["name"]


def test_the_schemas_import_the_component_by_zodbs_name() -> None:
    for name in ("config.xml", "storage.xml"):
        root = ElementTree.parse(MODULES / name).getroot()
        assert root.attrib.get("prefix") == LISTED[name]["prefix"]
        found = [(each.tag, each.attrib) for each in root if each.tag != "description"]
        assert [[tag, dict(facts)] for tag, facts in found] == LISTED[name]["other"]
