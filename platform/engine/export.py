"""A model folder converted for use elsewhere, and the conversion measured: merged, adapter, ONNX or GGUF."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from engine import int8
from engine.base_models import own_description
from engine.embedder_folder import holds_embedder
from engine.export_folders import write_adapter, write_merged
from engine.export_gguf import write_gguf
from engine.export_onnx import write_onnx
from engine.export_parity import Logits, int8_difference, measured, served
from engine.export_ranking import RANKING_WRITERS, served_scores
from engine.export_tokens import TOKEN_WRITERS, served_tokens
from engine.export_vectors import VECTOR_WRITERS, served_vectors
from engine.failures import RunFailed
from engine.ranker_folder import holds_ranker
from engine.reader_folder import holds_reader
from engine.report import Report
from engine.tagger_folder import holds_tagger
from engine.verbaliser_folder import holds_verbaliser
from words import say

Writer = Callable[..., tuple[str, Any, dict[str, Any]]]
# kind -> writes the files of a model folder into another one; gives the name of what can run them, a function that
# runs them as they lie there, and facts that were checked besides ({"name": bool}). That of an adapter is also told
# where the versions lie that it may have been trained on.
WRITERS: dict[str, Writer] = {
    "merged": write_merged,
    "adapter": write_adapter,
    "onnx": write_onnx,
    "gguf": write_gguf,
}


def export(order: dict[str, Any], out: Path, report: Report) -> dict[str, Any]:
    """Convert order["model"] to order["kind"]; the result names the folder, its files and the measured parity.

    `parity["passed"]` tells whether the written files, read back by what will use them, give the served logits. The
    caller keeps the figures and refuses what did not pass. A student of int8 weights leaves as the floats they stand for,
    and is compared with those; `int8_difference` tells how far the version itself is from them.
    """
    kind, folder, target = order["kind"], Path(order["model"]), out / "export"
    writers, serve = _ways(folder)
    if kind not in WRITERS:
        raise RunFailed(
            "unknown_export", say("There is no export called {kind}.", kind=kind), say("Choose another one.")
        )
    if holds_verbaliser(folder):
        raise RunFailed(
            "export_unavailable",
            say("This version tells labels by words of a language model, which exports cannot say."),
            say("Download the version: its folder is a plain language model with the words in lingxi.json."),
        )
    if kind not in writers:
        raise RunFailed(
            "not_for_gguf",
            say(
                "A version that makes vectors, scores pairs, marks spans or answers questions has no export of this kind."
            ),
            say("Export merged weights or ONNX."),
        )
    target.mkdir(parents=True)
    report.progress(0, 3, "steps", say("converting"))
    places = {"bases": order.get("bases")} if kind == "adapter" else {}
    by, run, checked = writers[kind](folder, target, **places)
    report.progress(1, 3, "steps", say("running the trained model"))
    sequences, reference = serve(folder)
    report.progress(2, 3, "steps", say("running what was written"))
    parity = measured(reference, run(sequences), by=by) | {"checked": checked}
    parity["passed"] = parity["passed"] and all(checked.values())
    if own_description(str(folder)).get("weights") == int8.WEIGHTS:
        parity["int8_difference"] = int8_difference(folder, sequences, reference)
    report.progress(3, 3, "steps", say("comparing"))
    files = sorted(path.relative_to(target).as_posix() for path in target.rglob("*") if path.is_file())
    return {"folder": str(target), "files": files, "parity": parity}


def _ways(folder: Path) -> tuple[Mapping[str, Writer], Callable[[Path], tuple[Any, Logits]]]:
    """(what writes each kind of export of the version in a folder, what gives fixed texts and their served logits)."""
    if holds_embedder(folder):
        return VECTOR_WRITERS, served_vectors
    if holds_ranker(folder):
        return RANKING_WRITERS, served_scores
    if holds_tagger(folder) or holds_reader(folder):
        return TOKEN_WRITERS, served_tokens
    return WRITERS, served
