"""Write the figures of stored results into the pages; ``--check`` only says what differs."""

from __future__ import annotations

import argparse
import sys

from benchmarks.figures.claims import CLAIMS, TABLES
from benchmarks.figures.pages import ROOT


def main() -> int:
    """Write the pages, or tell which differ."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; 1 if a page differs")
    check = parser.parse_args().check
    differ = []
    for name in sorted({each.page for each in (*CLAIMS, *TABLES)}):
        path = ROOT / name
        before = after = path.read_text(encoding="utf-8")
        for each in (*CLAIMS, *TABLES):
            if each.page == name:
                after = each.written_into(after)
        if after != before:
            differ.append(name)
            if not check:
                path.write_text(after, encoding="utf-8")
    for name in differ:
        print(f"{name} {'differs from' if check else 'now has the figures of'} stored results")
    return 1 if check and differ else 0


if __name__ == "__main__":
    sys.exit(main())
