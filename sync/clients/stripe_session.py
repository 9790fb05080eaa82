"""The connections that calls to Stripe go over."""

from collections.abc import Mapping
from typing import Any

from requests import PreparedRequest, Response, Session
from requests.adapters import HTTPAdapter
from requests.structures import CaseInsensitiveDict
from requests.utils import get_environ_proxies
from urllib3.connectionpool import HTTPConnectionPool

CONNECTIONS = 64
"""As many as delivery has calls in flight: none has to be opened anew."""


def stripe_session(base: str) -> Session:
    """Return the session that the SDK uses for calls to `base`, in all threads.

    It goes through the environment's proxies but never reads ~/.netrc, whose entries would take the place
    of our Authorization header, and looks the proxies up once instead of at every call. Sharing it is
    safe: it keeps no cookies, and the connection pools are locked.
    """
    session = _PlainSession()
    session.trust_env = False
    session.proxies = get_environ_proxies(base)
    for scheme in ("https://", "http://"):
        session.mount(scheme, _OneHostAdapter(pool_connections=1, pool_maxsize=CONNECTIONS))
    return session


class _PlainSession(Session):
    """Sends what the SDK has made ready as it is.

    Requests would merge settings, cookies and hooks into every call and quote again what is quoted, which
    takes half of a meter event's time. It would also follow a redirect, which Stripe's API never answers
    with, and make a question of the event on the way.
    """

    def request(  # type: ignore[override]  # the SDK asks for no more than this
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str],
        data: str | None,
        timeout: Any,
        verify: Any,
    ) -> Response:
        """Return what `url` answers; headers and data go out unchanged."""
        prepared = PreparedRequest()
        prepared.method, prepared.url = method.upper(), url
        prepared.headers = CaseInsensitiveDict({"Accept-Encoding": "gzip, deflate", **headers})
        if data is not None:
            prepared.body = data.encode()
            prepared.headers["Content-Length"] = str(len(prepared.body))
        adapter = self.get_adapter(url)
        return adapter.send(prepared, timeout=timeout, verify=verify, proxies=self.proxies)


class _OneHostAdapter(HTTPAdapter):
    """Finds the connections to the one host it is used for once."""

    _pool: HTTPConnectionPool | None = None

    def get_connection_with_tls_context(self, *args: Any, **options: Any) -> HTTPConnectionPool:
        """Return the host's connections."""
        self._pool = self._pool or super().get_connection_with_tls_context(*args, **options)
        return self._pool
