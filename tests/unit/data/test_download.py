"""Downloads from a server of our own on the loopback: whole, broken off, wrong, refused."""

import hashlib
import http.server
import io
import os
import re
import socket
import tarfile
import threading
from collections import namedtuple

import pytest
from filelock import FileLock

from bench.data import download as module
from bench.data.download import Source, download, find_source, sources
from bench.errors import DataError, SpecError

PICTURE = os.urandom(300_000)
LOCK = ".voc.tgz.lock"


def archive(*extra):
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as tar:
        for name, content in (("VOCdevkit/VOC2012/a.jpg", PICTURE), *extra):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return stream.getvalue()


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves one body; what the server's ``breaks`` says is sent in part only."""

    def do_GET(self):
        server = self.server
        server.ranges.append(self.headers.get("Range"))
        if self.path != "/voc.tgz":
            self.send_error(404)
            return
        body, start = server.body, 0
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range") or "")
        if asked and server.knows_ranges:
            start = int(asked[1])
            if start >= len(body):
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(body)}")
                self.end_headers()
                return
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        else:
            self.send_response(200)
        if server.says_length:
            self.send_header("Content-Length", str(len(body) - start))
        self.end_headers()
        send = server.breaks.pop(0) if server.breaks else len(body)
        self.wfile.write(body[start : start + send])

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.body = archive()
        server.ranges, server.breaks = [], []
        server.knows_ranges = server.says_length = True
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch):
    monkeypatch.setattr(module, "PAUSES", (0.0, 0.0))


def source_of(server, path="/voc.tgz"):
    return Source(
        url=f"http://127.0.0.1:{server.server_port}{path}",
        file="voc.tgz",
        md5=hashlib.md5(server.body).hexdigest(),
        holds="VOCdevkit/VOC2012",
    )


def names(folder):
    return sorted(path.name for path in folder.iterdir() if path.suffix != ".lock")


def test_fetched_checked_and_unpacked(server, tmp_path):
    shown = []
    (tmp_path / "VOCdevkit" / "VOC2007").mkdir(parents=True)
    place = download(source_of(server), tmp_path, lambda *progress: shown.append(progress))
    assert place == tmp_path / "VOCdevkit" / "VOC2012"
    assert (place / "a.jpg").read_bytes() == PICTURE
    assert shown[-1] == (len(server.body), len(server.body))
    assert names(tmp_path) == ["VOCdevkit", "voc.tgz"]
    assert names(tmp_path / "VOCdevkit") == ["VOC2007", "VOC2012"]
    assert download(source_of(server), tmp_path) == place
    assert server.ranges == [None]


def test_an_archive_that_is_there_is_not_fetched(server, tmp_path):
    (tmp_path / "voc.tgz").write_bytes(server.body)
    download(source_of(server), tmp_path)
    assert server.ranges == []


def test_another_archive_of_that_name_is_not_touched(server, tmp_path):
    (tmp_path / "voc.tgz").write_bytes(b"mine")
    with pytest.raises(DataError, match=r"voc\.tgz: md5 \w+, not \w+; delete the file"):
        download(source_of(server), tmp_path)
    assert (tmp_path / "voc.tgz").read_bytes() == b"mine"


def test_a_broken_transfer_goes_on(server, tmp_path):
    server.breaks = [100_000, 50_000]
    place = download(source_of(server), tmp_path)
    assert (place / "a.jpg").read_bytes() == PICTURE
    assert server.ranges == [None, "bytes=100000-", "bytes=150000-"]


def test_the_next_call_goes_on_where_the_last_gave_up(server, tmp_path):
    server.breaks = [100_000, 0, 0, 0]
    with pytest.raises(DataError, match=r"interrupted after 100000 bytes .* resumes it"):
        download(source_of(server), tmp_path)
    assert names(tmp_path) == ["voc.tgz.part"]
    server.ranges.clear()
    download(source_of(server), tmp_path)
    assert server.ranges == ["bytes=100000-"]


def test_a_part_that_is_whole_is_only_checked(server, tmp_path):
    (tmp_path / "voc.tgz.part").write_bytes(server.body)
    download(source_of(server), tmp_path)
    assert server.ranges == [f"bytes={len(server.body)}-"]


def test_a_part_that_is_too_long_is_begun_again(server, tmp_path):
    (tmp_path / "voc.tgz.part").write_bytes(server.body + b"x")
    download(source_of(server), tmp_path)
    assert server.ranges == [f"bytes={len(server.body) + 1}-", None]


def test_a_server_without_ranges_sends_all_again(server, tmp_path):
    server.knows_ranges = False
    server.breaks = [100_000]
    place = download(source_of(server), tmp_path)
    assert (place / "a.jpg").read_bytes() == PICTURE
    assert server.ranges == [None, "bytes=100000-"]


def test_a_server_that_says_no_length(server, tmp_path):
    server.says_length = False
    place = download(source_of(server), tmp_path)
    assert (place / "a.jpg").read_bytes() == PICTURE


def test_a_wrong_checksum_is_said_and_nothing_used(server, tmp_path):
    source = source_of(server)
    server.body = b"<html>Please log in</html>"
    with pytest.raises(DataError, match=r"the 26 bytes received have md5 \w{32}, not \w{32}; rem"):
        download(source, tmp_path)
    assert names(tmp_path) == []


def test_a_part_of_another_file_does_no_harm(server, tmp_path):
    (tmp_path / "voc.tgz.part").write_bytes(b"other")
    with pytest.raises(DataError, match="removed: try again"):
        download(source_of(server), tmp_path)
    download(source_of(server), tmp_path)


def test_refusals_are_one_line(server, tmp_path):
    with pytest.raises(DataError, match=r"/gone\.tgz: 404 Not Found; try another --url"):
        download(source_of(server, "/gone.tgz"), tmp_path)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        source = Source(url=f"http://127.0.0.1:{taken.getsockname()[1]}/x.tgz", file="x", holds="x")
        with pytest.raises(DataError, match=r"no connection \(Connection refused\); try again"):
            download(source, tmp_path)
    assert names(tmp_path) == []


def test_a_silent_server_is_given_up(server, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "TIMEOUT_SECONDS", 0.05)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/x.tgz"
        with pytest.raises(DataError, match=r"interrupted after 0 bytes \(timed out\)"):
            download(Source(url=url, file="x", holds="x"), tmp_path)


def test_too_little_room_is_said_before(server, tmp_path, monkeypatch):
    usage = namedtuple("usage", "free")
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage(1000))
    with pytest.raises(DataError, match=r"0\.0 GB are free, 0\.0 GB are needed for the archive"):
        download(source_of(server), tmp_path)


@pytest.mark.parametrize("name", ["../outside.txt", "/tmp/outside.txt"])
def test_nothing_is_unpacked_elsewhere(server, tmp_path, name):
    server.body = archive((name, b"x"))
    folder = tmp_path / "a" / "b"
    if name.startswith("/"):
        download(source_of(server), folder)  # an absolute path loses its root
    else:
        with pytest.raises(DataError, match=r"voc\.tgz: cannot be unpacked: .*outside"):
            download(source_of(server), folder)
        assert names(folder) == ["voc.tgz"]
    assert not [path for path in tmp_path.rglob("outside.txt") if folder not in path.parents]


@pytest.mark.parametrize("harm", ["truncated", "no archive", "other content"])
def test_what_cannot_be_unpacked_leaves_nothing(server, tmp_path, harm):
    server.body = {
        "truncated": server.body[:-5000],
        "no archive": b"<html></html>",
        "other content": archive(),
    }[harm]
    source = source_of(server)
    if harm == "other content":
        source = source.model_copy(update={"holds": "benchmark_RELEASE"})
    with pytest.raises(
        DataError, match=r"voc\.tgz: (cannot be unpacked|holds no folder)"
    ) as caught:
        download(source, tmp_path)
    assert "\n" not in str(caught.value)
    assert names(tmp_path) == ["voc.tgz"]


def test_a_killed_unpacking_is_begun_again(server, tmp_path):
    left = tmp_path / ".voc.tgz.unpacking" / "VOCdevkit" / "VOC2012" / "half.jpg"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"half")
    assert names(download(source_of(server), tmp_path)) == ["a.jpg"]


def test_two_downloads_do_not_meet(server, tmp_path):
    with (
        FileLock(tmp_path / LOCK),
        pytest.raises(DataError, match="another download is running there"),
    ):
        download(source_of(server), tmp_path)
    download(source_of(server), tmp_path)


def test_a_place_that_cannot_be_written(server, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=r"file: (File exists|Not a directory); choose another fo"):
        download(source_of(server), tmp_path / "file")


def test_the_shipped_sources_are_torchvisions():
    from torchvision.datasets import SBDataset
    from torchvision.datasets.voc import DATASET_YEAR_DICT

    found, theirs = sources(), DATASET_YEAR_DICT["2012"]
    assert (found["voc"].md5, found["voc"].holds) == (theirs["md5"], theirs["base_dir"])
    assert found["sbd"].md5 == SBDataset.md5
    assert found["voc"].file == theirs["filename"]
    assert found["sbd"].file == SBDataset.filename


@pytest.mark.parametrize(
    ("name", "url", "message"),
    [
        ("vox", None, "unknown data set to download 'vox'; did you mean 'voc'"),
        ("camvid", None, "camvid cannot be downloaded: nobody publishes it with a checksum"),
        ("voc", "ftp://here/x.tar", "--url 'ftp://here/x.tar': an address with http://"),
    ],
)
def test_what_cannot_be_fetched_is_refused(name, url, message):
    with pytest.raises(SpecError, match=re.escape(message)):
        find_source(name, url)
