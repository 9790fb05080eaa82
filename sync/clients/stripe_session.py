"""The connections that calls to Stripe go over."""

from requests import Session
from requests.adapters import HTTPAdapter
from requests.utils import get_environ_proxies

CONNECTIONS = 64
"""As many as delivery has calls in flight: none has to be opened anew."""


def stripe_session(base: str) -> Session:
    """Return the session that the SDK uses for calls to `base`, in all threads.

    It goes through the environment's proxies but never reads ~/.netrc, whose entries would take the place
    of our Authorization header, and looks the proxies up once instead of at every call. Sharing it is
    safe: Stripe sets no cookies, and the connection pools are locked.
    """
    session = Session()
    session.trust_env = False
    session.proxies = get_environ_proxies(base)
    for scheme in ("https://", "http://"):
        session.mount(scheme, HTTPAdapter(pool_connections=1, pool_maxsize=CONNECTIONS))
    return session
