"""The files beside the weights that a pruned folder needs, too: tokenizer, templates, licence."""

from __future__ import annotations

import json
from pathlib import Path

from qubo_prune.core.errors import InputError
from qubo_prune.core.files.disk import read_file
from qubo_prune.core.files.strict_json import Reader
from qubo_prune.pruning.rewriting.layer_names import LayerNames
from qubo_prune.pruning.rewriting.quantization import FILES, renumbered_settings
from qubo_prune.pruning.saving import RECORD

CONFIG = "config.json"

_SUFFIXES = {".json", ".jinja", ".txt", ".model", ".tiktoken", ".vocab", ".spm"}
_LICENCES = ("LICENSE", "LICENCE", "NOTICE", "USE_POLICY")
_LEFT_OUT = {CONFIG, RECORD, *FILES}
_FOLDERS = ("additional_chat_templates",)


def small_files(folder: Path, *, with_code: bool) -> list[Path]:
    """Return the paths, in a folder of a model, of the files that are copied as they are.

    Weights, their index, the configuration and the card are not; code only where it is trusted.
    """
    found = []
    for path in sorted(folder.iterdir()):
        if path.is_file() and path.name not in _LEFT_OUT and not path.name.startswith("."):
            is_index = path.name.endswith(".index.json")
            is_code = path.suffix == ".py"
            is_licence = path.name.upper().startswith(_LICENCES)
            if (path.suffix in _SUFFIXES and not is_index) or is_licence or (is_code and with_code):
                found.append(path)
    for name in _FOLDERS:
        found += sorted(path for path in (folder / name).glob("*") if path.is_file())
    return [path.relative_to(folder) for path in found]


def copy_small_files(source: Path, folder: Path, names: LayerNames, *, with_code: bool) -> None:
    """Copy the small files of a model; files about its quantisation are renumbered.

    Raises
    ------
    InputError
        If one cannot be read.
    OSError
        If one cannot be written.
    """
    for path in small_files(source, with_code=with_code):
        data = _read(source / path)
        (folder / path).parent.mkdir(exist_ok=True)
        (folder / path).write_bytes(data)
    for name in FILES:
        if (source / name).is_file():
            reader = Reader(source / name, "configuration of a quantisation", "correct it")
            settings = renumbered_settings(reader.parse(read_file(source / name)), names)
            (folder / name).write_text(json.dumps(settings, indent=2) + "\n", "utf-8")


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(
            f"{path} cannot be read ({error.strerror}); check the path and its permissions."
        ) from error
