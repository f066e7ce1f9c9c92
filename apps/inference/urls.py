"""Pages of the inference app."""

from django.http import HttpRequest, HttpResponse
from django.urls import path

app_name = "inference"


def soon(request: HttpRequest, **kwargs: object) -> HttpResponse:
    return HttpResponse("soon")


urlpatterns = [path("new", soon, name="new")]
