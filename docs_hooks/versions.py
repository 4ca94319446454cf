"""Which version the docs are of: said at the foot of each page, and a menu where several are
published side by side.

mkdocs calls `on_config`. ``python -m docs_hooks.versions FOLDER`` writes what leads to the versions
that are in a folder, each the site of a tag in a folder of its own, as RELEASING.md says.
"""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from qubo_prune.core.version import __version__

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig

ROOT = Path(__file__).resolve().parent.parent

SEVERAL = "QUBO_PRUNE_DOCS_VERSIONS"
"""The environment variable that says that other versions lie beside the one that is built."""

_VERSION = re.compile(r"\d+(\.\d+)+")


def described(version: str, changelog: str) -> str:
    r"""Return a version as the changelog knows it: released, before its release, or changed since.

    >>> described("0.2.0", "## [Unreleased]\n\n## [0.2.0]")
    '0.2.0'
    >>> described("0.2.0", "## [Unreleased]\n\n- A bug less.\n\n## [0.2.0]")
    'after 0.2.0'
    >>> described("0.2.0", "## [Unreleased]\n\n- A bug less.\n\n## [0.1.0]")
    'before 0.2.0'
    """
    sections = dict(re.findall(r"^## \[(.+?)\].*\n([^\0]*?)(?=^## |\Z)", changelog, re.MULTILINE))
    if version not in sections:
        return f"before {version}"
    return f"after {version}" if sections.get("Unreleased", "").strip() else version


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Say the version at the foot of each page, and offer the others where there are any."""
    version = described(__version__, (ROOT / "CHANGELOG.md").read_text("utf-8"))
    config.copyright = f"qubo-prune {version}"
    if os.environ.get(SEVERAL):
        # Material's menu, which reads versions.json beside the folder of the site.
        config.extra["version"] = {"provider": "mike"}
    return config


def versions_in(folder: Path) -> list[str]:
    """Return the names of the versions in a folder, the newest first."""
    names = [each.name for each in folder.iterdir() if (each / "index.html").is_file()]
    return sorted(
        filter(_VERSION.fullmatch, names),
        key=lambda name: [int(part) for part in name.split(".")],
        reverse=True,
    )


def write_menu(folder: Path) -> None:
    """Write the list of versions that the menu reads, and a page that leads to the newest."""
    names = versions_in(folder)
    if not names:
        raise SystemExit(f"there is no version in {folder}; build one into a folder such as 0.1.0.")
    listed = [{"version": name, "title": name, "aliases": []} for name in names]
    (folder / "versions.json").write_text(json.dumps(listed, indent=1) + "\n", "utf-8")
    (folder / "index.html").write_text(
        f'<!doctype html>\n<meta http-equiv="refresh" content="0; url={names[0]}/">\n'
        f'<title>qubo-prune</title>\n<a href="{names[0]}/">qubo-prune {names[0]}</a>\n',
        "utf-8",
    )


if __name__ == "__main__":
    write_menu(Path(sys.argv[1]))
