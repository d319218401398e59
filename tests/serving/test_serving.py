"""The server of results: asked over real sockets, and never leaving its directory."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from opv2v_doctor.languages import say
from opv2v_doctor.serving.access import is_private, verify_token
from opv2v_doctor.serving.index import MOST_PICTURES, listing
from opv2v_doctor.user_error import UsageError

uvicorn = pytest.importorskip("uvicorn", reason="no starlette and uvicorn: make test")
pytest.importorskip("starlette", reason="no starlette and uvicorn: make test")
TOKEN = "a-token-that-nobody-guesses"
MISSION = Path(__file__).parents[2] / "examples" / "mission" / "train.log"
SECRET = "what lies outside"


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: str


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with results, and everything that must not be served."""
    import cv2
    import numpy as np

    place = tmp_path_factory.mktemp("served")
    (place / "secret.txt").write_text(SECRET)
    root = place / "results"
    preview, reports, hidden = root / "preview" / "val_0", root / "reports", root / ".git"
    for folder in (preview, reports, hidden, place / "results-of-others"):
        folder.mkdir(parents=True)
    (place / "results-of-others" / "a.txt").write_text(SECRET)
    cv2.imwrite(str(preview / "panorama.png"), np.full((64, 1024, 3), 128, np.uint8))
    (preview / "page.html").write_text("<script>document.title = 'ran'</script>")
    (preview / "agent <b>1&2.png").write_bytes(b"no picture")
    (reports / "report.json").write_text(json.dumps({"exit_code": 1, "counts": {"passed": 2, "failed": 1}}))
    (reports / "broken.json").write_text("{")
    (reports / "record.md").write_text("# A <b>record</b>\n\n| a | b |\n|---|---|\n| 1 | ![x](y.png) |\n")
    for name, rate in (("one", 1), ("two", 2), ("three", 3)):
        (root / "runs" / name / ".hydra").mkdir(parents=True)
        shutil.copy(MISSION, root / "runs" / name)
        (root / "runs" / name / ".hydra" / "config.yaml").write_text(f"train_params: {{lr: {rate}}}\n")
    (root / "runs" / "three" / ".hydra" / "config.yaml").unlink()
    (place / "config.yaml").write_text(f"word: {SECRET}\n")
    (root / "runs" / "three" / ".hydra" / "config.yaml").symlink_to(place / "config.yaml")
    (hidden / "config.json").write_text(SECRET)
    (root / "checkpoint-last.pth").write_bytes(SECRET.encode())
    (root / "link.txt").symlink_to(place / "secret.txt")
    (root / "up").symlink_to(place)
    (root / "disguised.txt").symlink_to(hidden / "config.json")
    (root / "inside.json").symlink_to(reports / "report.json")
    os.mkfifo(root / "pipe.txt")
    odd = root / os.fsdecode(b"odd \xe9\xff")
    odd.mkdir()
    (odd / os.fsdecode(b"\xff.json")).write_text("{}")
    (odd / os.fsdecode(b"\xff.png")).write_bytes(b"no picture")
    (odd / "run.json").write_text("[" * 100_000)
    os.mkfifo(odd / "report.json")
    (odd / "summary.json").symlink_to("/dev/zero")
    return root


def served(root: Path, **options: Any) -> Iterator[int]:
    """The port of a server that runs in a thread."""
    from opv2v_doctor.serving.application import application
    from opv2v_doctor.serving.server import server

    listening, running = socket.create_server(("127.0.0.1", 0)), server(application(root, **options))
    thread = threading.Thread(target=running.run, kwargs={"sockets": [listening]})
    thread.start()
    end = time.monotonic() + 60
    while not running.started and time.monotonic() < end:
        time.sleep(0.01)
    yield listening.getsockname()[1]
    running.should_exit = True
    thread.join()


@pytest.fixture(scope="module")
def port(root: Path) -> Iterator[int]:
    yield from served(root)


@pytest.fixture(scope="module")
def locked(root: Path) -> Iterator[int]:
    yield from served(root, token=TOKEN, hosts=("*",))


def ask(port: int, path: str, method: str = "GET", **headers: str) -> Answer:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request(
            method, path, headers={name.replace("_", "-"): value for name, value in headers.items()}
        )
        answer = connection.getresponse()
        body = answer.read().decode("utf-8", "replace")
        return Answer(answer.status, {name.lower(): value for name, value in answer.getheaders()}, body)
    finally:
        connection.close()


def test_the_index_shows_verdicts_pages_and_pictures(port: int) -> None:
    answer = ask(port, "/")
    assert answer.status == 200
    assert "2 passed, 1 failed" in answer.body
    assert '<a href="/files/preview/val_0/page.html">page.html</a>' in answer.body
    assert '<a href="/read/reports/record.md">record.md</a>' in answer.body
    assert 'src="/thumbnails/preview/val_0/panorama.png"' in answer.body
    assert "agent &lt;b&gt;1&amp;2.png" in answer.body
    assert "checkpoint" not in answer.body


def test_names_that_are_no_utf_8_cost_at_most_their_row(port: int) -> None:
    answer = ask(port, "/")
    assert (answer.status, "2 passed, 1 failed" in answer.body) == (200, True)
    for path in ("/files/odd%20%E9%FF/%FF.json", "/thumbnails/odd%20%E9%FF/%FF.png"):
        assert ask(port, path).status in (200, 404)
    assert ask(port, "/").status == 200


def test_files_are_served_as_they_are_and_kept_apart(port: int) -> None:
    answer = ask(port, "/files/preview/val_0/page.html")
    assert (answer.status, answer.body) == (200, "<script>document.title = 'ran'</script>")
    assert answer.headers["content-security-policy"].startswith("sandbox ")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert ask(port, "/files/preview/val_0/" + quote("agent <b>1&2.png")).body == "no picture"
    assert ask(port, "/files/inside.json").status == 200


def test_markdown_is_rendered_and_what_is_html_in_it_is_text(port: int) -> None:
    answer = ask(port, "/read/reports/record.md")
    assert (answer.status, "<td>1</td>" in answer.body) == (200, True)
    assert "&lt;b&gt;record" in answer.body and "<img" not in answer.body
    assert answer.headers["content-security-policy"].startswith("sandbox ")
    for path in ("/read/reports/report.json", "/read/../secret.txt", "/read/link.txt", "/read/up/secret.txt"):
        assert ask(port, path).status in (307, 400, 404)


def test_runs_lie_over_each_other_with_what_differs_in_their_configs(port: int) -> None:
    answer = ask(port, "/compare?run=runs/one&run=runs/two")
    assert answer.status == 200 and "train_params.lr" in answer.body
    assert answer.headers["content-security-policy"].startswith("sandbox ")


@pytest.mark.parametrize(
    "query", ["", "run=runs/one", "run=runs/one&run=../secret", "run=runs/one&run=runs/three"]
)
def test_nothing_else_can_be_compared(port: int, query: str) -> None:
    answer = ask(port, f"/compare?{query}")
    assert answer.status == 404 and SECRET not in answer.body


def test_thumbnails_are_small_pictures(port: int, root: Path) -> None:
    answer = ask(port, "/thumbnails/preview/val_0/panorama.png")
    assert (answer.status, answer.headers["content-type"]) == (200, "image/jpeg")
    assert int(answer.headers["content-length"]) < 3000
    assert ask(port, "/thumbnails/preview/val_0/" + quote("agent <b>1&2.png")).status == 404
    assert ask(port, "/thumbnails/reports/report.json").status == 404


OUTSIDE = [
    "../secret.txt",
    "%2e%2e/secret.txt",
    "..%2fsecret.txt",
    "preview/../../secret.txt",
    "..\\secret.txt",
    "%2e%2e%2fresults-of-others/a.txt",
    "/etc/hostname",
    "%2fetc%2fhostname",
    "link.txt",
    "up/secret.txt",
    "up/results/reports/report.json/../../../secret.txt",
    ".git/config.json",
    "disguised.txt",
    "checkpoint-last.pth",
    "pipe.txt",
    "preview",
    "",
    "a%00.txt",
    "x" * 5000 + ".txt",
]


@pytest.mark.parametrize("path", OUTSIDE)
@pytest.mark.parametrize("kind", ["files", "thumbnails"])
def test_nothing_else_is_served(port: int, kind: str, path: str) -> None:
    answer = ask(port, f"/{kind}/{path}")
    assert answer.status in (307, 400, 404)
    assert SECRET not in answer.body


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
def test_nothing_can_be_changed(port: int, method: str) -> None:
    assert ask(port, "/files/reports/report.json", method).status == 405
    assert ask(port, "/", method).status == 405


def test_a_head_has_no_body(port: int) -> None:
    answer = ask(port, "/files/reports/report.json", "HEAD")
    assert (answer.status, answer.body) == (200, "")


def test_a_foreign_name_that_was_bound_to_us_is_refused(port: int) -> None:
    assert ask(port, "/", Host="evil.example").status == 400
    assert ask(port, "/", Host=f"localhost:{port}").status == 200


@pytest.mark.parametrize(
    "path", ["/", "/files/reports/report.json", "/thumbnails/preview/val_0/panorama.png"]
)
def test_who_shows_no_token_sees_nothing(locked: int, path: str) -> None:
    for given in ({}, {"Authorization": "Bearer wrong"}, {"Cookie": f"opv2v_doctor={TOKEN}"}):
        assert ask(locked, path, **given).status == 401
    for query in ("token=", "token=wrong", f"token={TOKEN}x", "token=%ff"):
        assert ask(locked, f"{path}?{query}").status == 401


def test_a_token_in_the_address_becomes_a_cookie(locked: int) -> None:
    answer = ask(locked, f"/files/reports/report.json?token={TOKEN}")
    assert (answer.status, answer.headers["location"]) == (303, "/files/reports/report.json")
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert TOKEN not in cookie
    assert ask(locked, "/files/reports/report.json", Cookie=cookie.partition(";")[0]).status == 200


def test_a_bearer_token_is_accepted(locked: int) -> None:
    assert ask(locked, "/", Authorization=f"Bearer {TOKEN}").status == 200


def test_a_token_redirects_nowhere_else(locked: int) -> None:
    answer = ask(locked, f"//evil.example/?token={TOKEN}")
    assert answer.status in (303, 404)
    assert not answer.headers.get("location", "/").startswith(("//", "http"))


def test_loopback_is_private_and_all_else_is_not() -> None:
    assert [is_private(host) for host in ("127.0.0.1", "127.5.5.5", "::1", "localhost")] == [True] * 4
    assert [is_private(host) for host in ("0.0.0.0", "::", "192.0.2.1")] == [False] * 3
    with pytest.raises(UsageError, match="--host"):
        is_private("no such host")


def test_a_public_address_needs_a_token_that_cannot_be_guessed() -> None:
    verify_token("127.0.0.1", None)
    verify_token("0.0.0.0", TOKEN)
    for host, token in (("0.0.0.0", None), ("0.0.0.0", "short"), ("127.0.0.1", "")):
        with pytest.raises(UsageError, match="token"):
            verify_token(host, token)


def test_a_run_that_failed_is_no_good_whatever_the_gate_said(tmp_path: Path) -> None:
    stamp = {"gate": {"exit_code": 0}, "commit": "0123456789abcdef"}
    for name, status in (("good", "finished"), ("bad", "failed")):
        launch = {"stamp": stamp, "digest": "", "started": "2026-01-02T03:04:05Z", "status": status}
        (tmp_path / name).mkdir()
        (tmp_path / name / "run.json").write_text(json.dumps({"schema": 1, "launches": [launch]}))
    found = {
        shown.name: (shown.state, str(shown.verdict), shown.tone, shown.commit) for shown in listing(tmp_path)
    }
    assert found["good"] == ("finished", "gate passed", "good", "01234567")
    assert found["bad"] == ("failed", "gate passed", "bad", "01234567")


def test_an_inference_shows_its_numbers_and_its_cloud_first(tmp_path: Path) -> None:
    summary = {"total": {"pose_rmse": 0.1234567, "bounds": [1, 2], "pred_mask_mean": None}}
    folder = tmp_path / "pointcloud"
    folder.mkdir()
    (folder / "summary.json").write_text(json.dumps(summary))
    for name in ("a", "b", "c", "d", "e", "val_0_pointcloud"):
        (folder / f"{name}.png").write_bytes(b"")
    (shown,) = listing(tmp_path)
    assert shown.numbers == (("pose_rmse", "0.1235"),)
    assert shown.pictures[0] == "pointcloud/val_0_pointcloud.png"
    assert len(shown.pictures) == MOST_PICTURES


def test_a_run_tells_how_far_it_came_and_what_its_best_was(root: Path) -> None:
    (one,) = (row for row in listing(root) if row.folder == "runs/one")
    assert (one.kind, one.steps, str(one.course.told)) == ("run", 4000, "10 of 10")
    assert str(one.course.best) == "loss 39.4 (epoch 6)"
    assert one.course.sparkline.count("<polyline") == 2


def test_the_index_speaks_chinese(root: Path) -> None:
    from opv2v_doctor.serving.application import page

    shown = page(root, "zh")
    assert '<html lang="zh">' in shown
    assert say("Runs", "zh") in shown and say("Runs", "zh") != "Runs"
    assert not re.search(r">\d+ files?<", shown)


def test_an_empty_directory_says_what_makes_results(tmp_path: Path) -> None:
    from opv2v_doctor.serving.application import application

    assert listing(tmp_path) == []
    assert application(tmp_path).routes


HEAD = b"GET /files/large.log HTTP/1.1\r\nHost: localhost\r\n"
Impatient = Callable[..., int]


@pytest.fixture
def impatient(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Impatient]:
    """The port of a server of a large log that has little patience."""
    from opv2v_doctor.serving import server

    (tmp_path / "large.log").write_bytes(bytes(64 << 20))
    with contextlib.ExitStack() as stack:

        def start(**bounds: float) -> int:
            for name, value in bounds.items():
                monkeypatch.setattr(server, name, value)
            return stack.enter_context(contextlib.contextmanager(served)(tmp_path))

        yield start


def ended(connection: socket.socket) -> int:
    """How many bytes came until the server closed or reset the connection."""
    connection.settimeout(30)
    count = 0
    with contextlib.suppress(ConnectionError):
        while chunk := connection.recv(1 << 20):
            count += len(chunk)
    return count


@pytest.mark.parametrize("begun", [b"", b"G", HEAD[:-2], HEAD + b"A: b\r\n"])
def test_who_never_ends_a_request_is_cut_though_each_byte_comes_in_time(
    impatient: Impatient, begun: bytes
) -> None:
    begin = time.monotonic()
    with socket.create_connection(("127.0.0.1", impatient(PATIENCE=0.5))) as slow:
        slow.sendall(begun)
        with contextlib.suppress(ConnectionError):
            while time.monotonic() < begin + 30:
                slow.sendall(b"x" if begun else b"")
                slow.settimeout(0.1)
                with contextlib.suppress(TimeoutError):
                    assert slow.recv(1) == b""
                    break
    assert time.monotonic() < begin + 20


def test_who_never_sends_the_body_is_answered_and_cut(impatient: Impatient) -> None:
    with socket.create_connection(("127.0.0.1", impatient(PATIENCE=0.5))) as slow:
        slow.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n")
        assert ended(slow) > 0


def test_who_does_not_read_is_cut_and_who_reads_slowly_gets_all(impatient: Impatient) -> None:
    port = impatient(PATIENCE=1.0)
    with (
        socket.create_connection(("127.0.0.1", port)) as idle,
        socket.create_connection(("127.0.0.1", port)) as slow,
    ):
        for each in (idle, slow):
            each.sendall(HEAD + b"\r\n")
        time.sleep(0.1)
        count = 0
        while count < 64 << 20:
            count += len(slow.recv(1 << 19))
            time.sleep(0.03)  # four seconds in all
        assert ended(idle) < 64 << 20


def test_connections_are_few_and_there_is_room_again(impatient: Impatient) -> None:
    port = impatient(MOST=5, PATIENCE=1.0)
    with contextlib.ExitStack() as stack:
        for _ in range(20):
            stack.enter_context(socket.create_connection(("127.0.0.1", port)))
        time.sleep(0.2)
        with pytest.raises((ConnectionError, http.client.HTTPException)):
            ask(port, "/")
        time.sleep(2.5)
        assert ask(port, "/").status == 200


def test_200_requests_at_once_are_all_answered(port: int) -> None:
    paths = ["/", "/files/reports/report.json", "/thumbnails/preview/val_0/panorama.png", "/files/none"] * 50
    with ThreadPoolExecutor(200) as threads:
        statuses = list(threads.map(lambda path: ask(port, path).status, paths))
    assert statuses == [200, 200, 200, 404] * 50


@pytest.mark.parametrize("size", [1 << 20, 1 << 26])
def test_a_file_that_changes_while_it_is_sent_ends_the_answer_and_no_more(
    impatient: Impatient, size: int, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    port = impatient()
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(HEAD + b"Connection: close\r\n\r\n")
        head = connection.recv(1000)
        with (tmp_path / "large.log").open("r+b") as file:
            file.truncate(size)
            file.seek(0, os.SEEK_END)
            file.write(b"more\n" * (size > 1 << 20))
        count = len(head.partition(b"\r\n\r\n")[2]) + ended(connection)
    assert count == 64 << 20 if size > 1 << 20 else count < 64 << 20
    assert "Traceback" not in capfd.readouterr().err
    assert ask(port, "/").status == 200


def test_what_is_no_http_behind_a_request_is_no_traceback(
    port: int, capfd: pytest.CaptureFixture[str]
) -> None:
    for behind in (b"\0\0", b"POST / HTTP/9\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n"):
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.sendall(
                b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\n" + behind * 9
            )
            assert ended(connection) > 0
    assert capfd.readouterr().err == ""


HOSTILE = {
    "run.json": [b"", b"{", b"[" * 100_000, b'{"schema": 1, "launches": [{}]}', b"\xff\xfe", b"9" * 9000],
    "report.json": [
        b'{"counts": {"a": {}, "\\ud800": 1}, "exit_code": []}',
        b'{"counts": {"\\u202e\\u001b[2J": 1e999}, "exit_code": 1}',
        b'{"counts": []}',
    ],
    "summary.json": [b'{"total": {"\\u0000": 1e999, "a": true}}', b'{"total": {"a": ' + b"9" * 299 + b"}}"],
    "\udcff\udcfe.png": [b"\x89PNG\r\n\x1a\n"],
    "\x1b[2J\u202e.html": [b"x"],
    "a\nb.txt": [b"x"],
    "events.jsonl": [b'{"event": "loader", "name": {}}\n'],
    "checkpoint-1.pth": [b"PK", b"\x80\x02."],
}


def test_the_index_survives_any_file_below_it(tmp_path: Path) -> None:
    from opv2v_doctor.serving.application import page

    for name, contents in HOSTILE.items():
        for number, content in enumerate(contents):
            folder = tmp_path / f"{name.encode('utf-8', 'surrogateescape').hex()}-{number}"
            folder.mkdir()
            (folder / "page.html").touch()
            (folder / name).write_bytes(content)
            os.utime(folder / name, (-(10**11), 10**12))  # before and behind every calendar
    (tmp_path / "gone.html").symlink_to("nowhere")
    shown = page(tmp_path)
    assert shown.count("<article") + shown.count('<tr class="run') == sum(map(len, HOSTILE.values()))
    shown.encode()
    assert not {letter for letter in shown if not letter.isprintable()} - {"\n"}


def test_the_index_survives_what_comes_and_goes_meanwhile(tmp_path: Path) -> None:
    over = threading.Event()

    def churn() -> None:
        for number in range(10**6):
            folder = tmp_path / f"{number % 7}"
            folder.mkdir(exist_ok=True)
            for name in ("run.json", "page.html", "train.log"):
                (folder / name).write_bytes(b"{}")
            shutil.rmtree(folder)
            if over.is_set():
                return

    thread = threading.Thread(target=churn)
    thread.start()
    try:
        end = time.monotonic() + 2
        while time.monotonic() < end:
            listing(tmp_path)
    finally:
        over.set()
        thread.join()
