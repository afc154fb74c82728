"""The programs in examples/ do what they say, against servers, images and files made here."""

import os
import sqlite3
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"


def run(program: str, *arguments: object, given: bytes = b"", timeout: float = 60) -> subprocess.CompletedProcess[str]:
    ran = subprocess.run(
        [sys.executable, "-W", "error", EXAMPLES / program, *map(str, arguments)],
        input=given,
        capture_output=True,
        timeout=timeout,
        check=False,
    )
    return subprocess.CompletedProcess(ran.args, ran.returncode, ran.stdout.decode(), ran.stderr.decode())


Answer = tuple[int, str, bytes]


class Site:
    """A web server that remembers what it was asked."""

    def __init__(self, answer: Callable[[str, int, bytes], Answer]) -> None:
        site = self
        self.lock = threading.Lock()
        self.asked: Counter[str] = Counter()
        self.busy: Counter[str] = Counter()
        self.busiest: Counter[str] = Counter()

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                with site.visit(self.headers["Host"]):
                    with site.lock:
                        site.asked[self.path] += 1
                        time = site.asked[self.path]
                    status, kind, text = answer(self.path, time, body)
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            do_POST = do_GET  # noqa: N815 - the name is the standard library's

            def log_message(self, *_: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            request_queue_size = 50
            daemon_threads = False

        self.server = Server(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]

    @contextmanager
    def visit(self, host: str) -> Iterator[None]:
        with self.lock:
            self.busy[host] += 1
            self.busiest[host] = max(self.busiest[host], self.busy[host])
        yield
        with self.lock:
            self.busy[host] -= 1

    def __enter__(self) -> "Site":
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


def test_the_link_checker_finds_what_is_broken_and_spares_the_hosts() -> None:
    pages = [f"/page-{n}.html" for n in range(30)]

    def answer(path: str, time: int, body: bytes) -> Answer:
        if path == "/":
            links = [*pages, "/missing", "/down", "/flaky", "mailto:anna@example.org", "#here"]
            elsewhere = f"http://localhost:{site.port}/elsewhere.html"
            text = "".join(f'<a href="{link}">x</a>' for link in [*links, elsewhere])
            return 200, "text/html", text.encode()
        if path == "/missing":
            return 404, "text/html", b"no"
        if path == "/down" or (path == "/flaky" and time < 3):
            return 503, "text/plain", b"later"
        if path == "/elsewhere.html":
            return 200, "text/html", b'<a href="/never-followed">x</a>'
        return 200, "text/html", b'<a href="/">home</a><img src="picture.png">'

    with Site(answer) as site:
        ran = run("link_checker.py", f"http://127.0.0.1:{site.port}/")
    start = f"http://127.0.0.1:{site.port}"
    assert sorted(ran.stdout.splitlines()) == sorted(
        [
            "36 links, 2 broken",
            f"{start}/down (on {start}/): HTTP Error 503: Service Unavailable, tried 3x",
            f"{start}/missing (on {start}/): HTTP Error 404: Not Found, tried 1x",
        ]
    )
    assert ran.stderr == ""
    assert ran.returncode == 1
    assert site.asked["/flaky"] == site.asked["/down"] == 3
    assert site.asked["/missing"] == site.asked["/picture.png"] == 1
    assert site.asked["/never-followed"] == 0
    assert max(site.busiest.values()) <= 2


@pytest.mark.skipif(bool(os.environ.get("HEADRACE_SANITIZER")), reason="what it would find in Pillow is not ours")
def test_thumbnails_are_made_and_broken_images_named(tmp_path: Path) -> None:
    images = pytest.importorskip("PIL.Image", reason="Pillow is not installed: pip install 'headrace[examples]'")
    pictures, thumbnails = tmp_path / "pictures", tmp_path / "thumbnails"
    (pictures / "holiday").mkdir(parents=True)
    for n, (size, mode) in enumerate([((800, 600), "RGB"), ((600, 900), "L"), ((100, 50), "RGBA"), ((512, 512), "P")]):
        images.new(mode, size).save(pictures / "holiday" / f"picture-{n}.png")
    turned = images.Exif()
    turned[0x0112] = 6  # orientation: a quarter turn
    images.new("RGB", (1000, 500)).save(pictures / "turned.JPG", "JPEG", exif=turned)
    (pictures / "broken.png").write_bytes(b"no image")
    (pictures / "notes.txt").write_text("nor this")
    ran = run("thumbnails.py", pictures, thumbnails)
    assert ran.stdout.splitlines()[0].startswith(f"{pictures / 'broken.png'}: cannot identify image file")
    assert "5 items" in ran.stdout.splitlines()[-1]
    assert ran.returncode == 1
    sizes = {}
    for path in thumbnails.rglob("*.jpg"):
        with images.open(path) as thumbnail:
            sizes[path.relative_to(thumbnails).as_posix()] = thumbnail.size
    assert sizes == {
        "holiday/picture-0.png.jpg": (256, 192),
        "holiday/picture-1.png.jpg": (171, 256),
        "holiday/picture-2.png.jpg": (100, 50),
        "holiday/picture-3.png.jpg": (256, 256),
        "turned.JPG.jpg": (128, 256),
    }


LINES = [b"line %d \xff\n" % n for n in range(2500)]


def test_the_log_shipper_loses_no_line_to_a_server_that_is_slow_and_often_down(tmp_path: Path) -> None:
    received: list[bytes] = []

    def answer(path: str, time: int, body: bytes) -> Answer:
        threading.Event().wait(0.02)  # slow
        if time % 5 == 0:
            return 503, "text/plain", b"down"
        with site.lock:
            received.extend(body.splitlines(keepends=True))
        return 200, "text/plain", b"thanks"

    with Site(answer) as site:
        ran = run("log_shipper.py", f"http://127.0.0.1:{site.port}/", tmp_path / "undelivered", given=b"".join(LINES))
    assert ran.returncode == 0, ran.stderr
    assert Counter(received) == Counter(LINES)
    assert (tmp_path / "undelivered").read_bytes() == b""
    assert "25 items" in ran.stdout
    assert ran.stderr.count("retried: 100 lines, attempt 1: HTTP Error 503") >= 1


def test_what_the_log_shipper_cannot_deliver_is_in_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    received: list[bytes] = []

    def answer(path: str, time: int, body: bytes) -> Answer:
        if b"line 150 " in body:
            return 400, "text/plain", b"never"
        with site.lock:
            received.extend(body.splitlines(keepends=True))
        return 200, "text/plain", b"thanks"

    monkeypatch.syspath_prepend(EXAMPLES)
    import log_shipper

    import headrace

    with Site(answer) as site:
        summary = log_shipper.ship(
            LINES, f"http://127.0.0.1:{site.port}/", tmp_path / "undelivered", headrace.Retry(attempts=3, delay=0.01)
        )
    assert Counter(received) == Counter(LINES) - Counter(LINES[100:200])
    assert (tmp_path / "undelivered").read_bytes() == b"".join(LINES[100:200])
    assert (summary.items, summary.dead, summary.retried) == (24, 1, 2)


def test_csv_files_become_tables(tmp_path: Path) -> None:
    customers = ["id,name", *(f'{n},"O\'Hara, {n}"' for n in range(2500))]
    (tmp_path / "customers.csv").write_text("\n".join(customers), encoding="utf-8")
    (tmp_path / "empty.csv").write_text('"a ""b""",c\n', encoding="utf-8")
    ran = run("csv_to_sqlite.py", tmp_path / "shop.db", tmp_path / "customers.csv", tmp_path / "empty.csv")
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.splitlines()[:2] == ["customers: 2,500 rows", "empty: 0 rows"]
    connection = sqlite3.connect(tmp_path / "shop.db")
    try:
        assert connection.execute("SELECT count(*), count(DISTINCT id) FROM customers").fetchone() == (2500, 2500)
        assert connection.execute("SELECT name FROM customers WHERE id = '7'").fetchone() == ("O'Hara, 7",)
        assert connection.execute('SELECT "a ""b""" FROM empty').fetchall() == []
    finally:
        connection.close()


def test_a_csv_file_that_is_wrong_is_named_and_ends_the_run(tmp_path: Path) -> None:
    (tmp_path / "wrong.csv").write_text("a,b\n1,2\n3\n", encoding="utf-8")
    ran = run("csv_to_sqlite.py", tmp_path / "shop.db", tmp_path / "wrong.csv")
    assert ran.returncode == 1
    assert f"ValueError: {tmp_path / 'wrong.csv'}: 2 columns, but a row is ['3']" in ran.stderr
