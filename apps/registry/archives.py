"""Model folders as zip files: packed the same every time, unpacked only when nothing in them can do harm."""

import json
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
ARCHITECTURES = {
    "bert": "BertForSequenceClassification",
    "roberta": "RobertaForSequenceClassification",
    "xlm-roberta": "XLMRobertaForSequenceClassification",
    "camembert": "CamembertForSequenceClassification",
    "distilbert": "DistilBertForSequenceClassification",
    "electra": "ElectraForSequenceClassification",
    "deberta-v2": "DebertaV2ForSequenceClassification",
    "albert": "AlbertForSequenceClassification",
    "mpnet": "MPNetForSequenceClassification",
}
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
    "lingxi.json",
}
DESCRIBED: dict[str, Any] = {
    "labels": list,
    "multi_label": bool,
    "max_length_tokens": int,
    "decision_threshold": (int, float),
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


def check_model_folder(folder: Path) -> dict[str, Any]:
    """What the folder says of itself: {"labels", "multi_label", "architecture", "parameters"}.

    Raises Refused when files are missing, code is asked for or the architecture is not on the list.
    """
    for name in ("config.json", "model.safetensors", "tokenizer.json"):
        if not (folder / name).is_file():
            raise Refused(
                "file_missing",
                say("{name} is missing.", name=name),
                hint=say("Zip config.json, model.safetensors and tokenizer.json."),
            )
    config, tokenizer = _json(folder / "config.json"), _json(folder / "tokenizer_config.json")
    if any("auto_map" in found or "custom_pipelines" in found for found in (config, tokenizer)):
        raise Refused("custom_code", say("The model asks for code of its own (auto_map). Such models are not taken."))
    kind, names = config.get("model_type"), config.get("architectures")
    wanted = ARCHITECTURES.get(kind) if isinstance(kind, str) else None
    if wanted is None or names != [wanted]:
        raise Refused(
            "unknown_architecture",
            say("Models of kind “{value}” cannot be imported.", value=str(names or kind)[:100]),
            hint=say("Known are text classifiers: {architectures}.", architectures=", ".join(sorted(ARCHITECTURES))),
        )
    labels = _labels(config)
    multi_label = config.get("problem_type") == "multi_label_classification"
    parameters = _tensor_parameters(folder / "model.safetensors")
    _check_description(folder / "lingxi.json", labels, multi_label)
    return {"labels": labels, "multi_label": multi_label, "architecture": wanted, "parameters": parameters}


def _labels(config: Mapping[str, Any]) -> list[str]:
    names = config.get("id2label")
    if not isinstance(names, dict) or set(names) != {str(at) for at in range(len(names))} or len(names) < 2:
        raise Refused("no_labels", say("config.json must name at least two labels in id2label, numbered from 0."))
    labels = [names[str(at)] for at in range(len(names))]
    if not all(isinstance(label, str) and label.strip() and "\0" not in label for label in labels):
        raise Refused("no_labels", say("Every label in id2label must be a text."))
    if len(set(labels)) < len(labels):
        raise Refused("no_labels", say("Two labels in id2label are the same."))
    return labels


def _tensor_parameters(path: Path) -> int:
    """Number of parameters, from the safetensors header."""
    size = path.stat().st_size
    with path.open("rb") as handle:
        length = int.from_bytes(handle.read(8), "little")
        if not 2 <= length <= min(size, 100_000_000):
            raise Refused("weights_unreadable", say("model.safetensors is not a safetensors file."))
        try:
            header = json.loads(handle.read(length))
            count = 0
            for name, tensor in header.items():
                if name != "__metadata__":
                    product = 1
                    for extent in tensor["shape"]:
                        product *= int(extent)
                    count += product
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise Refused("weights_unreadable", say("model.safetensors is not a safetensors file.")) from error
    return count


def _check_description(path: Path, labels: Sequence[str], multi_label: bool) -> None:
    """lingxi.json, written by an export, must be whole and agree with the rest."""
    if not path.is_file():
        return
    found = _json(path)
    shaped = all(isinstance(found.get(name), kind) for name, kind in DESCRIBED.items())
    agrees = found.get("labels") == list(labels) and found.get("multi_label") == multi_label
    if not shaped or not agrees or found.get("pooling") not in ("mean", "native") or found.get("format") != 1:
        raise Refused(
            "description_disagrees",
            say("lingxi.json does not agree with config.json."),
            hint=say("Import the export as it is, or leave lingxi.json out."),
        )


def _json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError, RecursionError) as error:
        raise Refused("json_unreadable", say("{name} is not readable JSON.", name=path.name)) from error
    if not isinstance(found, dict):
        raise Refused("json_unreadable", say("{name} is not a JSON object.", name=path.name))
    return found


def _broken() -> Refused:
    return Refused(
        "zip_broken", say("The zip is damaged or incomplete."), hint=say("Zip the folder again and upload it.")
    )


def _too_large() -> Refused:
    return Refused("too_large", say("The model is larger than this installation allows."), status=413)
