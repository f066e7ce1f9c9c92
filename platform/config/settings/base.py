"""Settings common to every deployment; every value that may differ comes from the environment."""

from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from django.utils.translation import gettext_lazy as _
from psycopg.conninfo import conninfo_to_dict

from config.env import env, env_bool, env_int, env_list

ROOT = Path(__file__).resolve().parents[3]
HOME = Path(
    env("LINGXI_HOME", str(ROOT / "var"), "Folder for everything Lingxi keeps: files, models, runs, logs.")
).resolve()

SECRET_KEY = env("LINGXI_SECRET_KEY", "", "Signs sessions and links; at least 50 random characters.")
DEBUG = False
ALLOWED_HOSTS = env_list(
    "LINGXI_ALLOWED_HOSTS", "localhost,127.0.0.1,[::1]", "Host names this installation answers to."
)
CSRF_TRUSTED_ORIGINS = env_list(
    "LINGXI_TRUSTED_ORIGINS", "", "Origins with scheme (https://nlp.example.com) that may post forms."
)
SITE_URL = env("LINGXI_SITE_URL", "http://127.0.0.1:8000", "Public address, used in mails and links.")

INSTALLED_APPS = [
    "apps.accounts",  # before allauth, whose templates it replaces
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.postgres",
    "django.contrib.humanize",
    "rest_framework",
    "django_filters",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "django_htmx",
    "allauth",
    "allauth.account",
    "allauth.socialaccount",
    "allauth.socialaccount.providers.openid_connect",
    "allauth.usersessions",
    "config",
    "core",
    "apps.notifications",
    "apps.datasets",
    "apps.registry",
    "apps.training",
    "apps.inference",
    "apps.evaluation",
    "apps.sentiment",
    "apps.dashboard",
]

MIDDLEWARE = [
    "core.streaming.StreamMiddleware",
    "core.traffic.TrafficMiddleware",
    "core.requests.RequestIdMiddleware",
    "core.requests.BodyLengthMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "apps.accounts.middleware.LanguageMiddleware",
    "apps.accounts.middleware.SessionSeenMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "core.requests.TimeZoneMiddleware",
    "core.requests.RefusedMiddleware",
]

ROOT_URLCONF = "config.urls"
ASGI_APPLICATION = "config.asgi.application"
WSGI_APPLICATION = None
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
APPEND_SLASH = False

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.template.context_processors.i18n",
                "django.template.context_processors.tz",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "core.pages.frame",
                "apps.accounts.pages.frame",
            ],
            "builtins": [
                "django.templatetags.i18n",
                "django.templatetags.static",
                "core.templatetags.lingxi",
            ],
        },
    }
]

# --- Database and Redis -------------------------------------------------------------------------------------
DATABASE_URL = env(
    "DATABASE_URL", "postgresql://lingxi@127.0.0.1:5432/lingxi", "PostgreSQL 15+ with pg_trgm and pgvector."
)
DATABASE_POOL = env_int("LINGXI_DATABASE_POOL", 0, "Connections a web process keeps; 0 opens one per request.")


def database(url: str, pool: int) -> dict[str, Any]:
    """Django's DATABASES entry for a libpq URL (sockets as ?host=/folder)."""
    parts = dict(conninfo_to_dict(url))
    entry: dict[str, Any] = {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": parts.pop("dbname", "lingxi"),
        "USER": parts.pop("user", ""),
        "PASSWORD": parts.pop("password", ""),
        "HOST": parts.pop("host", ""),
        "PORT": str(parts.pop("port", "")),
        "CONN_MAX_AGE": 0,
        "OPTIONS": {"options": "-c statement_timeout=120000", **parts},
    }
    if pool:
        entry["OPTIONS"]["pool"] = {"min_size": 1, "max_size": pool, "timeout": 10}
    return entry


DATABASES = {"default": database(DATABASE_URL, DATABASE_POOL)}
REDIS_URL = env("REDIS_URL", "redis://127.0.0.1:6379/0", "Redis or Valkey: broker, cache and streams.")
CACHES = {"default": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": REDIS_URL}}

METRICS_TOKEN = env(
    "LINGXI_METRICS_TOKEN", "", "Whoever sends it as a bearer token may read /metrics; empty closes it."
)

# --- Celery -------------------------------------------------------------------------------------------------
CELERY_BROKER_URL = env("LINGXI_BROKER_URL", "", "Celery's broker; empty takes REDIS_URL.") or REDIS_URL
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_DEFAULT_QUEUE = "io"
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_TASK_ACKS_LATE = False  # the row is the truth, a message only wakes
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_BEAT_SCHEDULE = {
    "sweep": {"task": "workers.sweep", "schedule": 10.0, "options": {"queue": "io", "expires": 10}},
    "collect": {"task": "workers.collect", "schedule": 15.0, "options": {"queue": "io", "expires": 15}},
    "watch": {"task": "workers.watch", "schedule": 10.0, "options": {"queue": "io", "expires": 10}},
    "link": {"task": "workers.link", "schedule": 15.0, "options": {"queue": "io", "expires": 15}},
    "tick": {"task": "workers.tick", "schedule": 15.0, "options": {"queue": "io", "expires": 15}},
    "clean-up": {"task": "workers.clean_up", "schedule": 3600.0, "options": {"queue": "io", "expires": 600}},
    "sweep-files": {"task": "workers.sweep_files", "schedule": 3600.0, "options": {"queue": "io", "expires": 600}},
}
CELERY_BEAT_SCHEDULE_FILENAME = str(HOME / "beat.schedule")

# --- Tenancy, jobs, storage ---------------------------------------------------------------------------------
WORKSPACE_MODEL = "accounts.Workspace"
ACTOR_FOR_PAGE = "apps.accounts.access.actor_for_page"
ALIAS_MOVER = "apps.evaluation.services.move_alias"  # who asks the gate before an alias moves
SCHEDULE_ACTIONS = {  # name -> where its core.schedules.actions.Action stands: all that schedules may do
    "sentiment.digest": "apps.sentiment.services.digests.DIGEST",
}
KEY_AUTHENTICATION = "apps.accounts.authentication.ApiKeyAuthentication"
JOB_LEASE_SECONDS = env_int("LINGXI_JOB_LEASE_SECONDS", 60, "A worker silent for this long loses its job.")
JOB_BEAT_SECONDS = env_int("LINGXI_JOB_BEAT_SECONDS", 10, "How often a worker says that it is alive.")
JOBS_RUNNING_PER_WORKSPACE = {
    "io": env_int("LINGXI_IO_JOBS_PER_WORKSPACE", 4, "Imports and exports one workspace may run at once."),
    "train": env_int("LINGXI_TRAIN_JOBS_PER_WORKSPACE", 1, "Training jobs one workspace may run at once."),
    "infer": env_int("LINGXI_INFER_JOBS_PER_WORKSPACE", 2, "Prediction jobs one workspace may run at once."),
}
TRAIN_THREADS = env_int("LINGXI_TRAIN_THREADS", 1, "Compute threads of a training run; raise it on idle cores.")
TRAIN_STALL_SECONDS = env_int(
    "LINGXI_TRAIN_STALL_SECONDS",
    300,
    "A step of a training that takes longer (and 50 times the usual) is given up; 0 waits.",
)
WANDB_PROJECT = env(
    "LINGXI_WANDB_PROJECT", "", "Weights & Biases project that curves are mirrored to; empty mirrors none."
)
WANDB_API_KEY = env("LINGXI_WANDB_API_KEY", "", "Key for Weights & Biases.")
WANDB_URL = env("LINGXI_WANDB_URL", "", "A Weights & Biases server of your own; empty is the public one.")
MLFLOW_URL = env("LINGXI_MLFLOW_URL", "", "MLflow tracking server that curves are mirrored to; empty mirrors none.")
MLFLOW_EXPERIMENT = env("LINGXI_MLFLOW_EXPERIMENT", "lingxi", "MLflow experiment of mirrored runs.")
INFER_THREADS = env_int("LINGXI_INFER_THREADS", 1, "Compute threads of a prediction or evaluation job.")
MODELS_BYTES = env_int(
    "LINGXI_MODELS_BYTES", 8_000_000_000, "Memory that loaded versions may take in one process, caches included."
)
GENERATION_LEASE_SECONDS = env_int(
    "LINGXI_GENERATION_LEASE_SECONDS", 15, "A process that is silent for this long loses the answers it was writing."
)
GENERATION_ENGINE = env(
    "LINGXI_GENERATION_ENGINE",
    "auto",
    "What multiplies for versions that write on a CPU: auto (OpenVINO where a version converts, which is faster) or torch "
    "(equal answers, bit by bit, in any company).",
)
GENERATION_PRECISION = env(
    "LINGXI_GENERATION_PRECISION",
    "fp32",
    "Numbers that OpenVINO multiplies with: fp32, or int8, which is faster and changes some answers; the share that stays "
    "equal is measured for each version and shown where versions in memory are listed.",
)
GENERATION_CACHE_BYTES = env_int(
    "LINGXI_GENERATION_CACHE_BYTES", 1_000_000_000, "Memory for keys and values of one version's running requests."
)
ONLINE_GATHER_MILLISECONDS = env_int(
    "LINGXI_ONLINE_GATHER_MILLISECONDS",
    4,
    "How long a request for labels or vectors may wait for others to be read together with; 0 waits for none.",
)
MOST_LISTENERS = env_int(
    "LINGXI_MOST_LISTENERS",
    2_000,
    "Answers that one web process sends piece by piece at the same time; who asks for one more is told to wait. "
    "Each takes about 130 kB and one open file.",
)
LEFTOVER_HOURS = env_int(
    "LINGXI_LEFTOVER_HOURS", 24, "Files that no row names are set aside after so many hours, and dropped after as many."
)
UPLOAD_LIMIT_BYTES = env_int("LINGXI_UPLOAD_LIMIT_BYTES", 1_000_000_000, "Largest file that may be uploaded.")
BASE_MODEL_FOLDERS = env_list(
    "LINGXI_BASE_MODEL_FOLDERS", str(HOME / "base-models"), "Folders whose model folders may be used as base models."
)
OUTBOUND_ALLOW = env_list(
    "LINGXI_OUTBOUND_ALLOW",
    "",
    "Private hosts or CIDR ranges that imports by URL may reach; empty forbids all.",
)
REMOTE_KEYS = dict(
    entry.split("=", 1)
    for entry in env_list(
        "LINGXI_REMOTE_KEYS",
        "",
        "Keys of other servers that answer for models here, as address=key: https://vllm.example.com/v1=secret.",
    )
    if "=" in entry
)
DATA_UPLOAD_MAX_MEMORY_SIZE = 5_000_000
FILE_UPLOAD_HANDLERS = ["django.core.files.uploadhandler.TemporaryFileUploadHandler"]

# --- Accounts -----------------------------------------------------------------------------------------------
AUTH_USER_MODEL = "accounts.User"
AUTHENTICATION_BACKENDS = ["allauth.account.auth_backends.AuthenticationBackend"]
LOGIN_URL = "/login"
LOGIN_REDIRECT_URL = "/"
ACCOUNT_ADAPTER = "apps.accounts.adapter.AccountAdapter"
SOCIALACCOUNT_ADAPTER = "apps.accounts.adapter.SocialAccountAdapter"
ACCOUNT_LOGIN_METHODS = {"email"}
ACCOUNT_SIGNUP_FIELDS = ["email*", "password1*"]
ACCOUNT_USER_MODEL_USERNAME_FIELD = None
ACCOUNT_EMAIL_VERIFICATION = "none"
ACCOUNT_EMAIL_UNKNOWN_ACCOUNTS = False  # no mail to strangers, the same answer for everybody
ACCOUNT_EMAIL_SUBJECT_PREFIX = "[Lingxi] "
ACCOUNT_LOGOUT_REDIRECT_URL = "/login"
ACCOUNT_RATE_LIMITS = {
    "login": "30/m/ip",
    "login_failed": "10/m/ip,5/5m/key",
    "reset_password": "20/m/ip,5/m/key",
}
ACCOUNT_SESSION_REMEMBER = True
USERSESSIONS_TRACK_ACTIVITY = False  # apps.accounts.middleware does, without a write per request
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {
        "NAME": "django.contrib.auth.password_validation.MinimumLengthValidator",
        "OPTIONS": {"min_length": 10},
    },
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
]
OIDC_NAME = env("LINGXI_OIDC_NAME", "", "Name on the single sign-on button; empty leaves it off.")
OIDC_SERVER = env("LINGXI_OIDC_SERVER", "", "OpenID Connect issuer address.")
OIDC_CLIENT_ID = env("LINGXI_OIDC_CLIENT_ID", "", "OpenID Connect client id.")
OIDC_SECRET = env("LINGXI_OIDC_SECRET", "", "OpenID Connect client secret.")
OIDC_ENABLED = bool(OIDC_NAME and OIDC_SERVER and OIDC_CLIENT_ID)
OIDC_ORIGIN = "{0.scheme}://{0.netloc}".format(urlsplit(OIDC_SERVER))
OIDC_APP = {
    "provider_id": "oidc",
    "name": OIDC_NAME,
    "client_id": OIDC_CLIENT_ID,
    "secret": OIDC_SECRET,
    "settings": {"server_url": OIDC_SERVER, "oauth_pkce_enabled": True},
}
SOCIALACCOUNT_PROVIDERS: dict[str, Any] = {"openid_connect": {"APPS": [OIDC_APP]}} if OIDC_ENABLED else {}
SOCIALACCOUNT_EMAIL_AUTHENTICATION = True  # joins the user whose address the provider has verified
SOCIALACCOUNT_EMAIL_AUTHENTICATION_AUTO_CONNECT = True  # and knows them by their subject from then on
SOCIALACCOUNT_STORE_TOKENS = False
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
CSRF_COOKIE_SAMESITE = "Lax"
CSRF_FAILURE_VIEW = "config.health.csrf_failed"
CSRF_COOKIE_HTTPONLY = False  # small ES modules read it to sign htmx requests

# --- Mail ---------------------------------------------------------------------------------------------------
EMAIL_HOST = env("LINGXI_SMTP_HOST", "", "SMTP server; empty writes mails to the log instead.")
EMAIL_PORT = env_int("LINGXI_SMTP_PORT", 587, "SMTP port.")
EMAIL_HOST_USER = env("LINGXI_SMTP_USER", "", "SMTP user.")
EMAIL_HOST_PASSWORD = env("LINGXI_SMTP_PASSWORD", "", "SMTP password.")
EMAIL_USE_TLS = env_bool("LINGXI_SMTP_TLS", True, "STARTTLS for SMTP.")
EMAIL_TIMEOUT = 20
NOTICE_SECONDS = env_int("LINGXI_NOTICE_SECONDS", 30, "A job that ran this long tells its starter when it is done.")
DEFAULT_FROM_EMAIL = env("LINGXI_MAIL_FROM", "lingxi@localhost", "Sender of mails.")
EMAIL_BACKEND = (
    "django.core.mail.backends.smtp.EmailBackend" if EMAIL_HOST else "django.core.mail.backends.console.EmailBackend"
)

# --- Language and time --------------------------------------------------------------------------------------
LANGUAGE_CODE = "en"
LANGUAGES = [("en", "English"), ("zh-hans", "简体中文")]
USE_I18N = True
USE_TZ = True
TIME_ZONE = env("LINGXI_TIME_ZONE", "UTC", "Time zone for people who have not chosen one.")
# before the catalogues of packages, which would win for a text that they know as well
LOCALE_PATHS = sorted([*ROOT.glob("apps/*/locale"), *ROOT.glob("platform/*/locale"), ROOT / "workers/locale"])
LANGUAGE_COOKIE_NAME = "lingxi_language"

# --- Static files -------------------------------------------------------------------------------------------
STATIC_URL = "/static/"
STATIC_ROOT = HOME / "static"
VENDOR_STATIC = Path(
    env("LINGXI_VENDOR_STATIC", str(ROOT / "vendor-static"), "Front-end packages copied by the set-up.")
)
STATICFILES_DIRS = [("vendor", VENDOR_STATIC)] if VENDOR_STATIC.is_dir() else []
WHITENOISE_USE_FINDERS = True
WHITENOISE_AUTOREFRESH = True  # a checkout changes while it is served: sizes and dates are looked up with each answer
STORAGES = {
    "default": {
        "BACKEND": "django.core.files.storage.FileSystemStorage",
        "OPTIONS": {"location": HOME / "files"},
    },
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}

# --- Security -----------------------------------------------------------------------------------------------
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": ["'self'"],
        "script-src": ["'self'"],
        "style-src": ["'self'"],
        "style-src-attr": ["'unsafe-inline'"],  # chart libraries size their boxes; scripts stay strict
        "img-src": ["'self'", "data:", "blob:"],
        "font-src": ["'self'"],
        "connect-src": ["'self'"],
        "object-src": ["'none'"],
        "base-uri": ["'self'"],
        "form-action": ["'self'", *([OIDC_ORIGIN] if OIDC_ENABLED else [])],  # the log-in form leads there
        "frame-ancestors": ["'none'"],
    }
}

# --- REST API -----------------------------------------------------------------------------------------------
API_RATE_PER_MINUTE = env_int("LINGXI_API_RATE_PER_MINUTE", 1200, "API requests one key or user may make a minute.")
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "apps.accounts.authentication.ApiKeyAuthentication",
        "apps.accounts.authentication.WorkspaceSessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["core.api.permissions.ActorMay"],
    "DEFAULT_PAGINATION_CLASS": "core.api.paging.KeysetPagination",
    "DEFAULT_SCHEMA_CLASS": "core.api.schema.Schema",
    "DEFAULT_FILTER_BACKENDS": ["django_filters.rest_framework.DjangoFilterBackend"],
    "DEFAULT_THROTTLE_CLASSES": ["core.api.throttle.ActorThrottle"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": [
        "core.api.parsers.JsonParser",
        "rest_framework.parsers.MultiPartParser",
        "rest_framework.parsers.FormParser",
    ],
    "EXCEPTION_HANDLER": "core.api.problems.problem_response",
    "UNAUTHENTICATED_USER": None,
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Lingxi API",
    "VERSION": "1",
    "OAS_VERSION": "3.1.0",
    "DESCRIPTION": _("Datasets, training, registry, evaluation and prediction of a Lingxi workspace."),
    "SERVE_INCLUDE_SCHEMA": False,
    "SCHEMA_PATH_PREFIX": r"/api/v1",
    "COMPONENT_SPLIT_REQUEST": True,
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "core.api.examples.add_examples",
    ],
    "SWAGGER_UI_DIST": "SIDECAR",
    "ENUM_NAME_OVERRIDES": {
        "JobState": "core.jobs.states.State",
        "ModelVersionState": "apps.registry.models.VersionState",
        "ModelVersionSource": "apps.registry.models.Source",
        "ModelExportKind": "apps.registry.models.ExportKind",
        "CheckVerdictState": "apps.evaluation.verdicts.STATES",
        "LineageKind": "apps.dashboard.lineage.KIND_CODES",
        "BaseModelKind": "apps.registry.models.BaseKind",
        "AliasMoveKind": "apps.registry.models.MoveKind",
        "ApprovalState": "apps.registry.models.Decision",
        "InvitationState": "apps.accounts.models.InvitationState",
        "ApiKeyState": "apps.accounts.models.ApiKeyState",
        "OnlineRequestState": "apps.inference.models.OnlineState",
        "GenerationState": "apps.inference.models.GenerationState",
        "GenerationKind": "apps.inference.models.GenerationKind",
        "GuardAction": "apps.inference.guards.models.Action",
        "SuiteDirection": "apps.evaluation.models.Direction",
        "GuardDirection": "apps.inference.guards.models.Direction",
        "DeploymentEventKind": "apps.inference.deployments.EventKind",
        "MessageRole": "engine.specs.records.ROLES",
        "MemberRole": "apps.accounts.serializers.ROLES",
        "ReceiverKind": "apps.notifications.models.ReceiverKind",
        "ReceiverLanguage": LANGUAGES,
        "DeliveryState": "apps.notifications.models.deliveries.DeliveryState",
        "SourceKind": "apps.sentiment.models.SourceKind",
        "EntityKind": "apps.sentiment.models.EntityKind",
        "RuleKind": "apps.sentiment.models.RuleKind",
        "SavedViewKind": "apps.sentiment.models.ViewKind",
        "AlertState": "apps.sentiment.models.AlertState",
        "AlertEventKind": "apps.sentiment.models.alerts.EventKind",
    },
}

# --- Logging ------------------------------------------------------------------------------------------------
LOG_LEVEL = env("LINGXI_LOG_LEVEL", "INFO", "DEBUG, INFO, WARNING or ERROR.")
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(name)s %(message)s"}},
    "filters": {"not_busy": {"()": "core.requests.NotBusy"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["console"], "level": LOG_LEVEL},
    "loggers": {
        "httpx": {"level": "WARNING"},
        "fontTools": {"level": "WARNING"},
        "django.request": {"level": "ERROR", "filters": ["not_busy"]},
    },
}
