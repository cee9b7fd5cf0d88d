"""A tracking server that is down, hangs, is overloaded or is not MLflow: one line within 60 s."""

import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from bench.store.client import StoreError
from bench.store.mirror import Mirror
from bench.store.reading import read_study

pytestmark = pytest.mark.long

# Two retries with their waits take 6 to 9 s; obeying the server's Retry-After would take an hour.
SOON = 60.0


class Server(BaseHTTPRequestHandler):
    """Answers every request with the fault that the request's path names."""

    released = threading.Event()

    def answer(self) -> None:
        way = self.path.removeprefix("/").partition("/")[0]
        if way == "hangs":
            self.released.wait()
        status = 503 if way == "overloaded" else 200
        body = b"<html><body>\nSign in, please.</body></html>"
        self.send_response(status)
        self.send_header("Retry-After", "3600")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = answer  # noqa: N815 (the base class looks for these names)

    def log_message(self, format: str, *args: object) -> None:
        """Print nothing."""


@pytest.fixture(scope="module")
def address():
    Server.released.clear()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
    threading.Thread(target=server.serve_forever).start()
    yield f"http://user:secret@127.0.0.1:{server.server_port}"
    Server.released.set()
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    ("way", "cause"),
    [("hangs", "Read timed out"), ("overloaded", "503"), ("sign-in", "not in a valid JSON format")],
)
def test_a_faulty_server_is_one_line(fresh, address, monkeypatch, way, cause):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    fresh.finish("CE", 0)
    started = time.monotonic()
    with pytest.raises(StoreError, match=cause) as caught:
        Mirror(f"{address}/{way}", fresh.root).sync(fresh.root, fresh.manifest)
    assert time.monotonic() - started < SOON
    assert len(str(caught.value).splitlines()) == 1
    assert "secret" not in str(caught.value)


def test_a_server_that_is_down_is_refused(fresh):
    started = time.monotonic()
    with pytest.raises(StoreError, match="Connection refused"):
        read_study("http://127.0.0.1:9", fresh.manifest.study, fresh.manifest.profile)
    assert time.monotonic() - started < SOON
