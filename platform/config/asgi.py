"""The ASGI application that uvicorn serves."""

import os

from django.core.asgi import get_asgi_application

from core.uploads import BodyLimit

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings.embedded")

application = BodyLimit(get_asgi_application())
