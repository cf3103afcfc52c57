"""Fails if a dependency takes a newer Rust than the workspace says: python3 .ci/msrv.py METADATA.json."""

import json
import sys


def version(text):
    return tuple(map(int, text.split(".")[:2]))


packages = json.load(open(sys.argv[1]))["packages"]
least = next(package["rust_version"] for package in packages if package["name"] == "blindspot")
newer = [
    f'{package["name"]} {package["version"]} takes Rust {package["rust_version"]}, the workspace says {least}'
    for package in packages
    if package["rust_version"] and version(package["rust_version"]) > version(least)
]
sys.exit("\n".join(newer) or 0)
