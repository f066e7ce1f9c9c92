"""Thumbs, corrections and reasons below an answer: one part for the playground and the page of a request."""

from typing import Any

from django import forms
from django.http import HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_http_methods

from apps.inference import services
from apps.inference.models import Feedback, Reason, Thumb
from apps.inference.selectors import said_answer
from core.access import PageRequest, page


class FeedbackForm(forms.Form):
    """What the part below an answer sends; a thumb comes alone, the rest together."""

    thumb = forms.ChoiceField(choices=Thumb.choices, required=False)
    reason = forms.ChoiceField(label=_("Reason"), choices=[("", "–"), *Reason.choices], required=False)
    corrected_answer = forms.CharField(
        label=_("What would have been right"),
        required=False,
        strip=False,
        max_length=100_000,
        widget=forms.Textarea(attrs={"rows": 4, "dir": "auto"}),
    )
    corrected_labels = forms.CharField(
        label=_("Labels that would have been right, one a line"),
        required=False,
        max_length=10_000,
        widget=forms.Textarea(attrs={"rows": 2}),
    )
    note = forms.CharField(
        label=_("Note"), required=False, max_length=5_000, widget=forms.Textarea(attrs={"rows": 2, "dir": "auto"})
    )

    def said(self) -> dict[str, Any]:
        """What was sent, and nothing else."""
        given = {name: value for name, value in self.cleaned_data.items() if name in self.data}
        if "corrected_labels" in given:
            lines = [line.strip() for line in given["corrected_labels"].splitlines()]
            given["corrected_labels"] = [line for line in lines if line] or None
        return given


@require_http_methods(["GET", "POST"])
@page("inference.read")
def feedback(request: PageRequest, target: str, index: int) -> HttpResponse:
    """What the reader thinks of one answer, and where it is changed."""
    needed = "inference.write" if request.method == "POST" else "inference.read"
    found = services.feedback_target(request.actor, target, index, needed)
    mine = services.own_feedback(request.actor, found)
    ids = f"{found.name}-{index}-%s"  # several of these parts stand on one page
    form = FeedbackForm(request.POST or None, initial=_initial(found, mine), auto_id=ids)
    if form.is_bound and form.is_valid():
        mine = services.give_feedback(actor=request.actor, target=found, said=form.said())
        form = FeedbackForm(initial=_initial(found, mine), auto_id=ids)
    context = {"target": found, "mine": mine, "form": form, "is_kept": request.method == "POST" and not form.errors}
    return render(request, "inference/_feedback.html", context, status=422 if form.errors else 200)


def _initial(target: services.Target, mine: Feedback | None) -> dict[str, Any]:
    said = said_answer(target.row, target.index)
    if mine is None:
        return {"corrected_answer": said.text, "corrected_labels": "\n".join(said.labels)}
    labels = said.labels if mine.corrected_labels is None else mine.corrected_labels
    return {
        "reason": mine.reason,
        "note": mine.note,
        "corrected_answer": mine.corrected_answer or said.text,
        "corrected_labels": "\n".join(labels),
    }
