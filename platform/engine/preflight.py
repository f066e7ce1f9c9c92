"""What a run would be like, before it is queued: problems with rows named, lengths, balance, size and time."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from engine.outlook.classify import preflight_classify
from engine.outlook.embed import preflight_embed
from engine.outlook.extract import preflight_extract
from engine.outlook.few_shot import preflight_few_shot
from engine.outlook.parts import of_processes
from engine.outlook.prefer import preflight_prefer
from engine.outlook.pretrain import preflight_pretrain
from engine.outlook.rerank import preflight_rerank
from engine.outlook.sft import preflight_sft
from engine.outlook.tag import preflight_tag
from engine.report import Report
from engine.specs import RECIPES, Spec
from engine.specs.classify import ClassifySpec
from engine.specs.distil import DistilSpec
from engine.specs.distil_text import DistilTextSpec
from engine.specs.embed import EmbedSpec
from engine.specs.extract import ExtractSpec
from engine.specs.few_shot import FewShotSpec
from engine.specs.prefer import PreferSpec
from engine.specs.pretrain import PretrainSpec
from engine.specs.rerank import RerankSpec
from engine.specs.sft import SftSpec
from engine.specs.tag import TagSpec


def preflight(spec: Spec, data: Path, report: Report, **options: Any) -> dict[str, Any]:
    """Problems and figures as plain JSON; the run may start when no problem is an error.

    `data_kind` says what the rows are to a recipe that learns from several kinds.
    """
    recipe = next(name for name, known in RECIPES.items() if known.spec is type(spec))
    return of_processes(spec, recipe, CHECKS[type(spec)](spec, data, report, **options))


CHECKS: Mapping[type[Any], Callable[..., dict[str, Any]]] = {
    ClassifySpec: preflight_classify,
    DistilSpec: preflight_classify,
    FewShotSpec: preflight_few_shot,
    PreferSpec: preflight_prefer,
    SftSpec: preflight_sft,
    DistilTextSpec: preflight_sft,
    TagSpec: preflight_tag,
    ExtractSpec: preflight_extract,
    EmbedSpec: preflight_embed,
    RerankSpec: preflight_rerank,
    PretrainSpec: preflight_pretrain,
}
