"""All the web may know of the engine: specs, records and problems, free of torch and numpy."""

from engine.specs.base_models import BaseModel
from engine.specs.classify import ClassifySpec
from engine.specs.common import Spec
from engine.specs.embed import EmbedSpec
from engine.specs.extract import ExtractSpec
from engine.specs.fields import FieldInfo
from engine.specs.prefer import PreferSpec
from engine.specs.pretrain import PretrainSpec
from engine.specs.problems import Problem, has_errors
from engine.specs.recipes import RECIPES, Recipe, parse_spec, spec_fields, spec_hash, to_mapping
from engine.specs.records import KINDS, check_record, parquet_columns
from engine.specs.rerank import RerankSpec
from engine.specs.sft import SftSpec
from engine.specs.tag import TagSpec

__all__ = [
    "KINDS",
    "RECIPES",
    "BaseModel",
    "ClassifySpec",
    "EmbedSpec",
    "ExtractSpec",
    "FieldInfo",
    "PreferSpec",
    "PretrainSpec",
    "Problem",
    "Recipe",
    "RerankSpec",
    "SftSpec",
    "Spec",
    "TagSpec",
    "check_record",
    "has_errors",
    "parquet_columns",
    "parse_spec",
    "spec_fields",
    "spec_hash",
    "to_mapping",
]
