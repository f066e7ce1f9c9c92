"""Pages of the evaluation app."""

from django.http import HttpRequest, HttpResponse
from django.urls import path

app_name = "evaluation"


def soon(request: HttpRequest, **kwargs: object) -> HttpResponse:
    return HttpResponse("soon")


urlpatterns = [path("new", soon, name="new"), path("compare-versions", soon, name="compare_versions")]
