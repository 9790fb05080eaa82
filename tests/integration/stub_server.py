"""An HTTP server on loopback that gives the answers a test scripts, for peers that misbehave."""

import contextlib
import json
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

HTML = "<!doctype html><title>Log in</title>"


@dataclass
class Answer:
    """One scripted answer; `cut` drops the connection after the request was read."""

    body: Any = None
    status: int = 200
    kind: str = "application/json"
    delay_seconds: float = 0
    cut: bool = False
    location: str = ""


@dataclass
class Asked:
    """A request as it came in."""

    method: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    body: str


@dataclass
class Stub:
    """Answers in the scripted order, the last one for ever, and remembers what was asked."""

    url: str
    answers: list[Answer] = field(default_factory=list)
    asked: list[Asked] = field(default_factory=list)

    def will(self, *answers: Any) -> None:
        """Script the answers; anything but an `Answer` is a JSON body."""
        self.answers = [one if isinstance(one, Answer) else Answer(one) for one in answers]


class _Handler(BaseHTTPRequestHandler):
    stub: Stub

    def do_GET(self) -> None:
        """Give the next answer."""
        length = int(self.headers.get("content-length") or 0)
        parts = urlsplit(self.path)
        headers = {name.lower(): value for name, value in self.headers.items()}
        body = self.rfile.read(length).decode()
        self.stub.asked.append(Asked(self.command, parts.path, parse_qs(parts.query), headers, body))
        answers = self.stub.answers
        self._give(answers.pop(0) if len(answers) > 1 else answers[0])

    do_POST = do_GET

    def _give(self, answer: Answer) -> None:
        time.sleep(answer.delay_seconds)
        if answer.cut:
            self.connection.shutdown(socket.SHUT_RDWR)
            self.close_connection = True
            return
        text = answer.body if isinstance(answer.body, str) else json.dumps(answer.body)
        with contextlib.suppress(OSError):
            self.send_response(answer.status)
            self.send_header("content-type", answer.kind)
            self.send_header("content-length", str(len(text.encode())))
            self.send_header("request-id", "req_stub")
            if answer.location:
                self.send_header("location", answer.location)
            self.end_headers()
            self.wfile.write(text.encode())

    def log_message(self, *_: Any) -> None:
        """Stay silent."""


@contextlib.contextmanager
def running_stub() -> Iterator[Stub]:
    """Yield a stub that answers on a free port until the block ends."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as server:
        stub = Stub(f"http://127.0.0.1:{server.server_port}")
        server.RequestHandlerClass = type("_Bound", (_Handler,), {"stub": stub})
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        yield stub
        server.shutdown()
        thread.join()


def unused_url() -> str:
    """Return an address on which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"
