"""Model folders that are written whole or not at all, with lingxi.json last."""

import hashlib
import importlib.metadata
import json
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import torch

from engine.base_models import MODEL_FILE
from engine.checkpoint import describe_file, sync_folder, sync_path
from engine.failures import RunFailed
from words import say

FORMAT = 1


def write_folder(folder: Path, fill: Callable[[Path], None], description: Mapping[str, Any]) -> dict[str, Any]:
    """Let `fill` write beside, add lingxi.json with checksums and environment, move into place; returns lingxi.json."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    beside = Path(tempfile.mkdtemp(prefix=".unfinished-", dir=folder.parent))
    try:
        fill(beside)
        inside = [path for path in sorted(beside.rglob("*")) if path.is_file()]
        files = {path.relative_to(beside).as_posix(): describe_file(path) for path in inside}
        written = {"format": FORMAT, **description, "files": files, "environment": environment()}
        text = json.dumps(written, ensure_ascii=False, indent=1, allow_nan=False)
        (beside / MODEL_FILE).write_text(text, encoding="utf-8")
        sync_folder(beside)
        beside.chmod(0o755)
        shutil.rmtree(folder, ignore_errors=True)
        os.replace(beside, folder)
    except OSError as error:
        raise RunFailed(
            "disk",
            say("The model could not be written: {value}.", value=error.strerror or error),
            say("Free disk space, then resume."),
        ) from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    sync_path(folder.parent)
    return written


def describe_again(folder: Path, more: Mapping[str, Any]) -> dict[str, Any]:
    """Add to lingxi.json of a written folder, whole or not at all; returns what it says now."""
    path = folder / MODEL_FILE
    written: dict[str, Any] = {**json.loads(path.read_text(encoding="utf-8")), **more}
    beside = path.with_suffix(".unfinished")
    beside.write_text(json.dumps(written, ensure_ascii=False, indent=1, allow_nan=False), encoding="utf-8")
    sync_path(beside)
    beside.rename(path)
    sync_path(folder)
    return written


@cache
def packages_hash() -> str:
    """sha256 over name and version of every installed package: equal only where all of them are."""
    found = {f"{one.name.lower()}=={one.version}" for one in importlib.metadata.distributions()}
    return hashlib.sha256("\n".join(sorted(found)).encode()).hexdigest()


@cache
def source_hash() -> str:
    """sha256 over the engine's own source files: equal only where the same program trained."""
    root = Path(__file__).parent
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        digest.update(f"{path.relative_to(root).as_posix()}\0".encode() + path.read_bytes() + b"\0")
    return digest.hexdigest()


def environment() -> dict[str, Any]:
    """What a rerun would need to match: versions, the hashes of all packages and of the engine, processor and threads."""
    import transformers

    return {
        "packages_hash": packages_hash(),
        "source_hash": source_hash(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "machine": platform.machine(),
        "system": sys.platform,
        "device": "cuda" if torch.cuda.is_available() else "cpu",
        "threads": torch.get_num_threads(),
    }
