"""The command `blindspot`: the same program as without Python."""

from __future__ import annotations

import sys

from blindspot import _native


def main() -> int:
    """Runs the command with this program's arguments; gives its exit code."""
    return _native.main(["blindspot", *sys.argv[1:]])


if __name__ == "__main__":
    sys.exit(main())
