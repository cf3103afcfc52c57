"""Checks what `reproduce --quick` left: python3 .ci/first_look.py FOLDER PROGRAM."""

import json
import pathlib
import subprocess
import sys

folder = pathlib.Path(sys.argv[1])
files = ["report.html", "table1.csv", "table1.md", "table2.csv", "table2.md", "table3.md", "table4.md", "table5.md",
         "figure1.svg", "figure2.svg", "figure7.png"]
for name in files:
    assert (folder / name).stat().st_size > 0, f"{name} is empty"
results = json.loads((folder / "results.json").read_text())
assert results["quick"] is True
for row in results["table1"]:
    assert row["success"] == 1.0, row
errors = results["table2"]["error"]
assert all(errors[i][i] == 1.0 for i in range(6)), errors
linear = {row["model"]: row["train_error"] for row in results["table1"]}
for model, paper in [("softmax2", 0.100), ("softmax3", 0.212)]:
    assert abs(linear[model] - paper) < 0.003, linear

schema = json.loads(subprocess.run([sys.argv[2], "schema", "reproduce"], capture_output=True, check=True).stdout)


def described(value, part, at=""):
    """Fields have the names and kinds that the schema gives."""
    while "$ref" in part:
        part = schema["$defs"][part["$ref"].rsplit("/", 1)[1]]
    choices = part.get("anyOf") or part.get("oneOf")
    if choices:
        assert any(fits(value, choice, at) for choice in choices), f"{at}: {value} is none of {choices}"
        return
    if "enum" in part or "const" in part:
        assert value in part.get("enum", [part.get("const")]), f"{at}: {value}"
    if "type" in part:
        kinds = {"null": type(None), "boolean": bool, "string": str, "array": list, "object": dict}
        known = part["type"] if isinstance(part["type"], list) else [part["type"]]
        assert isinstance(value, tuple(kinds.get(kind, (int, float)) for kind in known)), f"{at}: {value}"
    if isinstance(value, dict):
        assert "properties" in part or "additionalProperties" in part, at
        for name, field in value.items():
            of = part.get("properties", {}).get(name, part.get("additionalProperties"))
            assert of not in (None, False), f"{at}/{name} is not in the schema"
            if of is not True:
                described(field, of, f"{at}/{name}")
        missing = set(part.get("required", ())) - set(value)
        assert not missing, f"{at}: {missing} are missing"
    elif isinstance(value, list):
        for item in value:
            described(item, part["items"], at)


def fits(value, part, at):
    try:
        described(value, part, at)
    except AssertionError:
        return False
    return True


described(results, schema)
