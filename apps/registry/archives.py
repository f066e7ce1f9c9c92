"""Model folders as zip files: packed the same every time, unpacked only when nothing in them can do harm."""

import struct
import zipfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from core.errors import Refused
from words import say

EPOCH = (1980, 1, 1, 0, 0, 0)
CHUNK_BYTES = 1 << 20
MOST_FILES = 200
LARGEST_TEXT_BYTES = 50_000_000  # tokenizer.json of a large vocabulary
LARGEST_RATIO = 200
REFUSED_ENDINGS = {
    *(".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".h5", ".msgpack", ".joblib", ".npy", ".npz"),
    *(".py", ".pyc", ".so", ".dll", ".dylib", ".sh", ".exe", ".jar", ".onnx"),
}
TAKEN = {
    "config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.txt",
    "vocab.json",
    "merges.txt",
    "model.safetensors",
    "chat_template.jinja",
    "generation_config.json",
    "lingxi.json",
    "modules.json",  # the rest says to sentence-transformers how vectors are made
    "1_Pooling/config.json",
    "sentence_bert_config.json",
    "config_sentence_transformers.json",
}


def pack(
    target: Path,
    folder: Path,
    files: Sequence[Mapping[str, Any]],
    extra: Mapping[str, str],
    progress: Callable[[int], None],
) -> None:
    """Write a zip of `files` (of the manifest) and `extra` texts, byte for byte the same for the same input.

    Raises Refused("version_damaged") when a file is not what the manifest says.
    """
    done = 0
    with zipfile.ZipFile(target, "w") as archive:
        for name, text in sorted(extra.items()):
            archive.writestr(_entry(name), text.encode())
        for file in sorted(files, key=lambda file: str(file["path"])):
            path = folder / str(file["path"])
            if not path.is_file() or path.stat().st_size != file["bytes"]:
                raise Refused(
                    "version_damaged", say("The file {path} is missing or altered.", path=file["path"]), status=409
                )
            with path.open("rb") as source, archive.open(_entry(str(file["path"])), "w", force_zip64=True) as sink:
                while chunk := source.read(CHUNK_BYTES):
                    sink.write(chunk)
                    done += len(chunk)
                    progress(done)


def _entry(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, date_time=EPOCH)
    entry.external_attr = 0o644 << 16
    entry.create_system = 3
    return entry  # stored, not compressed: weights do not shrink, and other zlib versions differ


def unpack(source: Path, folder: Path, *, limit_bytes: int, progress: Callable[[int], None]) -> list[str]:
    """Write the model's files of a zip into `folder`; returns the names of files that were left out.

    Raises Refused for anything that is no plain model folder: pickles, code, links, paths that lead outside,
    more than `limit_bytes` unpacked, damaged entries.
    """
    entries = _checked_entries(source, limit_bytes)
    prefix = _common_folder([entry.filename for entry in entries])
    left_out, done = [], 0
    try:
        with zipfile.ZipFile(source) as archive:
            for entry in entries:
                name = entry.filename.removeprefix(prefix)
                if name not in TAKEN:
                    left_out.append(name)
                    continue
                (folder / name).parent.mkdir(exist_ok=True)
                done = _write(archive, entry, folder / name, done, limit_bytes, progress)
    except (zipfile.BadZipFile, EOFError, OSError, NotImplementedError, RuntimeError) as error:
        raise _broken() from error
    return left_out


def _write(
    archive: zipfile.ZipFile,
    entry: zipfile.ZipInfo,
    target: Path,
    done: int,
    limit_bytes: int,
    progress: Callable[[int], None],
) -> int:
    """Unpack one entry, counting what really comes out; returns bytes so far."""
    with archive.open(entry) as source, target.open("wb") as sink:
        while chunk := source.read(CHUNK_BYTES):
            done += len(chunk)
            if done > limit_bytes:
                raise _too_large()
            sink.write(chunk)
            progress(done)
    return done


def _checked_entries(source: Path, limit_bytes: int) -> list[zipfile.ZipInfo]:
    _check_directory(source)
    try:
        with zipfile.ZipFile(source) as archive:
            entries = [entry for entry in archive.infolist() if not entry.is_dir()]
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise _broken() from error
    names = [entry.filename for entry in entries]
    for entry in entries:
        path = PurePosixPath(entry.filename)
        outside = path.is_absolute() or ".." in path.parts or "\\" in entry.filename or ":" in entry.filename
        is_link = (entry.external_attr >> 16) & 0o170000 not in (0, 0o100000)
        if outside or is_link or "\0" in entry.filename:
            raise Refused(
                "unsafe_path",
                say("The zip holds an unsafe path: {filename}.", filename=entry.filename[:100]),
                hint=say("Zip the plain folder."),
            )
        if entry.flag_bits & 1:
            raise Refused("encrypted", say("The zip is encrypted."), hint=say("Zip the folder without a password."))
        if path.suffix.lower() in REFUSED_ENDINGS:
            raise Refused(
                "unsafe_file",
                say(
                    "{filename} is not taken: only safetensors weights and JSON, no pickles and no code.",
                    filename=entry.filename[:100],
                ),
                hint=say("Save the model with safe_serialization=True and leave other files out."),
            )
        if path.suffix != ".safetensors" and entry.file_size > LARGEST_TEXT_BYTES:
            raise _too_large()
        if entry.file_size > LARGEST_RATIO * max(entry.compress_size, 1024):
            raise Refused(
                "zip_bomb", say("{filename} unpacks to far more than a model would.", filename=entry.filename[:100])
            )
    if len(set(names)) < len(names):
        raise Refused("duplicate_file", say("The zip holds the same file twice."))
    if sum(entry.file_size for entry in entries) > limit_bytes:
        raise _too_large()
    return entries


def _check_directory(source: Path) -> None:
    """Look at the end of the zip before anything of its directory is read into memory."""
    size = source.stat().st_size
    with source.open("rb") as handle:
        handle.seek(max(0, size - 65_557))
        tail = handle.read()
    at = tail.rfind(b"PK\x05\x06")
    if at < 0 or len(tail) < at + 22:
        raise _broken()
    count, directory_bytes = struct.unpack_from("<HL", tail, at + 10)
    if count > MOST_FILES or directory_bytes > 1_000_000:
        raise Refused("too_many_files", say("A model folder has at most {most_files} files.", most_files=MOST_FILES))


def _common_folder(names: Iterable[str]) -> str:
    """The one folder around everything ("model/"), or ""."""
    tops = {name.split("/")[0] if "/" in name else "" for name in names if not name.startswith("__MACOSX/")}
    return f"{tops.pop()}/" if len(tops) == 1 and "" not in tops else ""


def _broken() -> Refused:
    return Refused(
        "zip_broken", say("The zip is damaged or incomplete."), hint=say("Zip the folder again and upload it.")
    )


def _too_large() -> Refused:
    return Refused("too_large", say("The model is larger than this installation allows."), status=413)
