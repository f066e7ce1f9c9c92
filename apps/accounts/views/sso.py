"""Single sign-on: allauth's two steps, with a sentence when the provider does not answer."""

import logging
from collections.abc import Callable
from typing import Any

import requests
from allauth.socialaccount.providers.openid_connect import views as oidc
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

logger = logging.getLogger(__name__)


def begin(request: HttpRequest, provider_id: str) -> HttpResponse:
    """Send the person to the provider."""
    return _or_sentence(oidc.login, request, provider_id)


def come_back(request: HttpRequest, provider_id: str) -> HttpResponse:
    """Take the provider's answer."""
    return _or_sentence(oidc.callback, request, provider_id)


def _or_sentence(view: Callable[..., Any], request: HttpRequest, provider_id: str) -> HttpResponse:
    try:
        answer: HttpResponse = view(request, provider_id=provider_id)
    except (requests.RequestException, KeyError) as error:  # down, no JSON, or a document without its addresses
        logger.warning("single sign-on provider %s failed: %s", provider_id, error)
        return render(request, "socialaccount/authentication_error.html", status=502)
    return answer
