"""Shapes of accuracy matrices in the API."""

from typing import Any

from rest_framework import serializers

from apps.evaluation.remembering import Remembering


class RememberedSerializer(serializers.Serializer[Any]):
    """What a version does on a task."""

    model_version = serializers.IntegerField(
        source="version.pk",
        default=None,
        allow_null=True,
        help_text="Who was measured: with adapters of their own the version that learnt the task.",
    )
    value = serializers.FloatField(allow_null=True)
    low = serializers.FloatField(allow_null=True)
    high = serializers.FloatField(allow_null=True)
    evaluation = serializers.IntegerField(allow_null=True)
    is_measuring = serializers.BooleanField()
    why = serializers.CharField(help_text="Why there is no value.")


class LearntTaskSerializer(serializers.Serializer[Any]):
    """One training of the lineage."""

    model_version = serializers.IntegerField(source="version.pk")
    dataset_version = serializers.IntegerField(source="data.pk")
    split = serializers.CharField(help_text="The rows the task is measured on; empty when it has none.")
    figure = serializers.CharField(help_text="What is told of the task, in its column.")
    keep = serializers.CharField(source="version.spec.keep", default="none")
    results = RememberedSerializer(many=True, source="cells", help_text="One for each task, in the order of training.")


class TransferSerializer(serializers.Serializer[Any]):
    """A figure made of the matrix, or why it has no value."""

    value = serializers.FloatField(allow_null=True)
    low = serializers.FloatField(allow_null=True)
    high = serializers.FloatField(allow_null=True)
    why = serializers.CharField()


class SummarySerializer(serializers.Serializer[Any]):
    """The figures by name."""

    acc = TransferSerializer()
    aia = TransferSerializer()
    bwt = TransferSerializer()
    fwt = TransferSerializer()
    forgetting = TransferSerializer(help_text="The mean over all tasks but the last.")
    most_forgotten = TransferSerializer(help_text="The largest over all tasks but the last.")


class RememberingSerializer(serializers.Serializer[Any]):
    """The accuracy matrix of a version's lineage; row i is measured after training i, column j on the task of training j."""

    figure = serializers.SerializerMethodField(
        help_text="What is told of every task; several names with commas where tasks are told by different figures."
    )
    rows = serializers.SerializerMethodField()
    initial = RememberedSerializer(many=True, help_text="Of the version before the first task, where there is one.")
    summary = SummarySerializer()
    is_measuring = serializers.BooleanField()
    missing = serializers.SerializerMethodField(help_text="Evaluations that POST would start.")

    def get_figure(self, found: Remembering) -> str:
        """The names, those of the first tasks first."""
        return ", ".join(found.figures)

    def get_rows(self, found: Remembering) -> LearntTaskSerializer(many=True):  # type: ignore[valid-type]
        """Each step with its row."""
        rows = [
            {"version": step.version, "data": step.data, "split": step.split, "figure": step.figure, "cells": cells}
            for step, cells in found.rows
        ]
        return LearntTaskSerializer(rows, many=True).data

    def get_missing(self, found: Remembering) -> int:
        """How many."""
        return len(found.missing)
