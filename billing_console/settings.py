"""Settings of the console. The environment (and .env beside manage.py) is read here and nowhere else."""

from email.utils import getaddresses
from pathlib import Path

import django_stubs_ext
import environ
from django.core.exceptions import ImproperlyConfigured

from billing_console.theme import UNFOLD as UNFOLD

# Lets `ModelAdmin[Meter]` be written where Django itself is not subscriptable.
django_stubs_ext.monkeypatch()

BASE_DIR = Path(__file__).resolve().parent.parent
VAR_DIR = BASE_DIR / "var"
VAR_DIR.mkdir(exist_ok=True)

env = environ.Env()
if not env.bool("IGNORE_DOTENV", default=False):
    env.read_env(BASE_DIR / ".env")


def whole(name: str, default: int, *, least: int = 0) -> int:
    """Return a whole number from the environment; ImproperlyConfigured says what to write instead."""
    text = env.str(name, default=str(default)).strip()
    if not text.isdecimal() or int(text) < least:
        sentence = f"{name}={text} is no whole number from {least} on; correct it in the environment or .env."
        raise ImproperlyConfigured(sentence)
    return int(text)


def one_of(name: str, *words: str) -> str:
    """Return one of these words from the environment, the first where it is not set."""
    text = env.str(name, default="").strip() or words[0]
    if text not in words:
        sentence = f"{name}={text} is none of {', '.join(words)}; correct it in the environment or .env."
        raise ImproperlyConfigured(sentence)
    return text


DEBUG = env.bool("DJANGO_DEBUG", default=False)
SECRET_KEY = env.str("DJANGO_SECRET_KEY", default="")
"""Signs sessions. Empty is refused by wsgi.py and by the check sync.E001, but with DJANGO_DEBUG."""
if not SECRET_KEY:
    from django.core.management.utils import get_random_secret_key

    # A shell command needs no stable key; the console does, and its check says so.
    SECRET_KEY = "insecure-" + get_random_secret_key()
ALLOWED_HOSTS = env.list("DJANGO_ALLOWED_HOSTS", default=["127.0.0.1", "localhost"])

INSTALLED_APPS = [
    # Before Django's admin, whose templates it replaces.
    "unfold",
    "unfold.contrib.filters",
    "unfold.contrib.forms",
    "unfold.contrib.import_export",
    "unfold.contrib.simple_history",
    # Pages are found when the addresses are read (urls.py): a shell command has no use for them.
    "django.contrib.admin.apps.SimpleAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "import_export",
    "simple_history",
    # Before django_q: its qcluster command is ours, which ends in order.
    "sync",
    "django_q",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    # Writes who is logged in beside every change of a mapping.
    "simple_history.middleware.HistoryRequestMiddleware",
]

ROOT_URLCONF = "billing_console.urls"
LOGIN_REDIRECT_URL = "admin:index"  # for those who open the login page itself
WSGI_APPLICATION = "billing_console.wsgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
            "libraries": {"console": "sync.admin.tags"},
        },
    },
]

DATABASES = {"default": env.db_url("DATABASE_URL", default=f"sqlite:///{VAR_DIR / 'console.sqlite3'}")}
if not DATABASES["default"].get("ENGINE"):
    sentence = "DATABASE_URL is no database address; write it like postgres://user:password@host:5432/name."
    raise ImproperlyConfigured(sentence)
if DATABASES["default"]["ENGINE"] == "django.db.backends.sqlite3":
    DATABASES["default"]["OPTIONS"] = {
        # A writer waits for another instead of failing, and takes its lock when the transaction begins:
        # a read that later turns into a write could not be retried by SQLite.
        "transaction_mode": "IMMEDIATE",
        "timeout": 60,
        # A delivered report must survive a power cut: FULL, not WAL's usual NORMAL.
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;",
    }
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in ("UserAttributeSimilarityValidator", "MinimumLengthValidator", "CommonPasswordValidator")
]

LANGUAGE_CODE = "en"
USE_I18N = False
USE_TZ = True
TIME_ZONE = "UTC"
STATIC_URL = "static/"
# The console serves its own style sheets, in production too; nothing has to be collected first.
WHITENOISE_USE_FINDERS = True

# Behind TLS unless somebody develops on their own machine.
if not DEBUG:
    SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = env.bool("DJANGO_TLS", default=True)
    # Probes come from the inside, without TLS.
    SECURE_REDIRECT_EXEMPT = [r"^(healthz|readyz)$"]
    SECURE_SSL_REDIRECT = env.bool("DJANGO_TLS", default=True)
    SECURE_HSTS_SECONDS = 31_536_000 if env.bool("DJANGO_TLS", default=True) else 0
    SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = True
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")

RUN_BUDGET_MINUTES = whole("RUN_BUDGET_MINUTES", 20, least=1)
"""How long a run in the background goes on before it leaves the rest to the next one."""
# The ledger, not the queue, owns retries: a task runs once, and a second run of it changes nothing.
Q_CLUSTER = {
    # Consoles that share a Redis need queues of their own.
    "name": env.str("QUEUE_NAME", default="billing-console"),
    "workers": 3,
    # Runs end by themselves long before: this is for what hangs. docs/decisions/0006 has the numbers.
    "timeout": RUN_BUDGET_MINUTES * 60 * 3,
    "retry": RUN_BUDGET_MINUTES * 60 * 3 + 300,
    "max_attempts": 1,
    "ack_failures": True,
    "catch_up": False,
    "save_limit": 1000,
    "label": "Background",
}
REDIS_URL = env.str("REDIS_URL", default="")
if REDIS_URL:
    Q_CLUSTER["redis"] = REDIS_URL
else:
    Q_CLUSTER["orm"] = "default"

# Who is told what keeps usage from being billed in time: "ada@example.com, Ops <ops@example.com>".
ADMINS = [
    (name or address, address) for name, address in getaddresses([env.str("ADMINS", default="")]) if address
]
SERVER_EMAIL = DEFAULT_FROM_EMAIL = env.str("SERVER_EMAIL", default="") or "billing-console@localhost"
EMAIL_SUBJECT_PREFIX = "[Billing console] "
EMAIL_TIMEOUT = 15
"""Seconds; a mail server that hangs must not stop the watch."""
try:
    # Without a mail server, e-mails go to the standard output of whoever sends them.
    mail_server = env.email_url_config(env.str("EMAIL_URL", default="") or "consolemail://")
except (ImproperlyConfigured, KeyError, ValueError) as error:
    sentence = "EMAIL_URL is no mail server's address; write it like smtp+tls://user:password@host:587."
    raise ImproperlyConfigured(sentence) from error
vars().update({name: value for name, value in mail_server.items() if value is not None})

# A cell that a spreadsheet would carry out as a formula is quoted.
IMPORT_EXPORT_ESCAPE_FORMULAE_ON_EXPORT = True

LOG_LEVEL = env.str("LOG_LEVEL", default="WARNING").upper()
if LOG_LEVEL not in {"DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"}:
    sentence = f"LOG_LEVEL={LOG_LEVEL} is no level; write DEBUG, INFO, WARNING, ERROR or CRITICAL."
    raise ImproperlyConfigured(sentence)
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "plain": {
            "()": "billing_console.redaction.RedactingFormatter",
            "format": "{asctime} {levelname} {name} {message}",
            "style": "{",
        }
    },
    "filters": {
        # Django e-mails ADMINS what it logs as an error; 503 is what a probe answers, again and again.
        "no_probe": {
            "()": "django.utils.log.CallbackFilter",
            "callback": lambda record: getattr(record, "status_code", 0) != 503,
        }
    },
    "loggers": {"django.request": {"filters": ["no_probe"]}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "plain"}},
    "root": {"handlers": ["stderr"], "level": LOG_LEVEL},
}

DEFAULT_EXCEPTION_REPORTER = "billing_console.redaction.RedactingReporter"

# --- the console's own settings; sync.conf turns them into one typed object -------------------------------

STRIPE_KEY = env.str("STRIPE_KEY", default="")
STRIPE_API_BASE = env.str("STRIPE_API_BASE", default="") or "https://api.stripe.com"
STRIPE_RATE_LIMIT = whole("STRIPE_RATE_LIMIT", 0)
STRIPE_WEBHOOK_SECRET = env.str("STRIPE_WEBHOOK_SECRET", default="")
STRIPE_THIN_WEBHOOK_SECRET = env.str("STRIPE_THIN_WEBHOOK_SECRET", default="")
OPENMETER_URL = env.str("OPENMETER_URL", default="") or "http://localhost:8888"
OPENMETER_TOKEN = env.str("OPENMETER_TOKEN", default="")
ALLOW_LIVE = env.bool("ALLOW_LIVE", default=False)
REPORT_TAIL_HOURS = whole("REPORT_TAIL_HOURS", 3, least=1)
REPORT_BRAKE_PERCENT = whole("REPORT_BRAKE_PERCENT", 5)
INVOICE_GRACE_MINUTES = whole("INVOICE_GRACE_MINUTES", 60)
LATE_USAGE = one_of("LATE_USAGE", "ask", "carry_forward")
CONFIRM_AMOUNT = whole("CONFIRM_AMOUNT", 1000)
"""From this amount on, in a price's own currency, a dialog wants it typed."""
