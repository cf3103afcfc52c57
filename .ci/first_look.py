"""Checks what `reproduce --quick` left: python3 .ci/first_look.py FOLDER."""

import json
import pathlib
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
