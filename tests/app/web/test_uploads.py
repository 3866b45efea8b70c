"""Uploads: piece by piece, refused early when too large, never more on disk or in memory than was said."""

import errno
import io
import socket
import tracemalloc
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from regulars.app import uploads
from regulars.app.access import Person
from regulars.app.server import create_server, served

HEADERS = {"X-Regulars": "upload"}
CSV = b"customer,date,amount\n" + b"".join(b"c%d,2024-01-%02d,%d.50\n" % (i % 7, 1 + i % 28, i) for i in range(500))


@pytest.fixture
def place(tmp_path):
    return tmp_path / "shop"


@pytest.fixture
def sender(place):
    app = create_server(place / "warehouse", warm=False)
    client = app.server.test_client()

    def send(path: str, data: bytes = b"", **headers: str):
        return client.post(path, data=data, headers={**HEADERS, **headers})

    send.app = app
    return send


def upload(send, name: str, data: bytes, piece: int = uploads.PIECE_BYTES):
    begun = send(f"/upload?name={name}&size={len(data)}")
    if begun.status_code != 200:
        return begun
    for at in range(0, len(data), piece):
        answer = send(f"/upload/{begun.get_json()['id']}?offset={at}", data[at : at + piece])
        if answer.status_code != 200:
            return answer
    return send(f"/upload/{begun.get_json()['id']}/end")


def kept(place: Path) -> list[str]:
    folder = place / "uploads"
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []


def parquet(rows: int = 10) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.table({"a": list(range(rows))}), sink)
    return sink.getvalue()


def test_a_file_arrives_as_it_was_sent(sender, place):
    answer = upload(sender, "orders.csv", CSV, piece=1000)
    assert answer.get_json() == {"path": "uploads/orders.csv"}
    assert (place / "uploads" / "orders.csv").read_bytes() == CSV
    assert upload(sender, "orders.csv", CSV).get_json() == {"path": "uploads/orders-2.csv"}
    assert upload(sender, "o.parquet", parquet()).get_json() == {"path": "uploads/o.parquet"}
    audited = sender.app.server.extensions["regulars"].state.audit_lines()
    assert [(line.person, line.action, line.subject) for line in audited[:1]] == [("local", "upload", "o.parquet")]


@pytest.mark.parametrize(
    ("name", "data", "status", "said"),
    [
        ("orders.csv", b"", 422, "is empty"),
        ("orders.xlsx", b"PK\x03\x04xxxx", 415, "neither CSV nor Parquet"),
        ("orders", CSV, 415, "neither CSV nor Parquet"),
        ("orders.csv.gz", b"\x1f\x8b" + b"x" * 50, 415, "is packed"),
        ("orders.csv", b"PK\x03\x04" + b"\x00" * 50, 415, "looks like an Excel or zip file"),
        ("orders.csv", b"\x1f\x8b\x08\x00" + b"\x00" * 50, 415, "is packed with gzip"),
        ("orders.csv", b"  \n \n", 415, "holds nothing but blanks"),
        ("orders.csv", parquet(), 415, "Parquet by its content"),
        ("orders.parquet", CSV, 415, "cannot be read as Parquet"),
        ("orders.parquet", parquet()[:-3], 415, "cut short"),
        ("orders.parquet", b"PAR1" + b"x" * 100 + b"PAR1", 415, "cannot be read as Parquet"),
        ("orders.parquet", parquet(0), 422, "holds no line"),
    ],
)
def test_what_is_no_table_is_refused_and_not_kept(sender, place, name, data, status, said):
    answer = upload(sender, name, data)
    assert answer.status_code == status
    assert said in answer.get_json()["error"]
    assert kept(place) == []


def test_two_gigabytes_are_refused_before_the_first_byte(sender, place):
    answer = sender(f"/upload?name=orders.csv&size={2 << 30}")
    assert answer.status_code == 413
    assert "name its folder instead" in answer.get_json()["error"]
    assert kept(place) == []


@pytest.mark.parametrize(
    ("head", "body"),
    [
        (b"Content-Length: 2147483648\r\n\r\n", b"x"),
        (b"Transfer-Encoding: chunked\r\n\r\n", b"10000\r\n" + b"x" * 0x10000 + b"\r\n"),
    ],
    ids=["a length that is claimed", "a body without length or end"],
)
def test_a_request_that_claims_to_be_large_is_refused_by_the_server_itself(place, head, body):
    with served(create_server(place / "warehouse", warm=False)) as address:
        host, port = address.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=60) as line:
            line.sendall(b"POST /upload/x?offset=0 HTTP/1.1\r\nHost: localhost\r\nX-Regulars: upload\r\n" + head)
            answer = b""
            line.settimeout(0.05)
            for _ in range(200):
                try:
                    line.sendall(body)
                    answer = line.recv(200)
                except TimeoutError:
                    continue
                except ConnectionError:
                    break
                if answer:
                    break
    assert b" 413 " in answer.partition(b"\r\n")[0] + b" "
    assert kept(place) == []


def test_more_than_was_said_is_refused_and_forgotten(sender, place):
    begun = sender("/upload?name=a.csv&size=10").get_json()["id"]
    assert sender(f"/upload/{begun}?offset=0", b"x" * 11).status_code == 413
    assert sender(f"/upload/{begun}?offset=0", b"x" * 5).status_code == 404
    assert kept(place) == []


def test_pieces_come_in_their_order_or_not_at_all(sender, place):
    begun = sender("/upload?name=a.csv&size=10").get_json()["id"]
    assert sender(f"/upload/{begun}?offset=5", b"x" * 5).status_code == 409
    assert sender(f"/upload/{begun}?offset=0", b"x" * 5).get_json() == {"bytes": 5}
    assert sender(f"/upload/{begun}?offset=0", b"x" * 5).status_code == 409
    assert sender(f"/upload/{begun}/end").status_code == 422
    assert kept(place) == []


def test_an_upload_that_is_stopped_leaves_nothing(sender, place):
    begun = sender("/upload?name=a.csv&size=10").get_json()["id"]
    sender(f"/upload/{begun}?offset=0", b"x" * 5)
    assert sender(f"/upload/{begun}/stop").status_code == 200
    assert kept(place) == []
    assert sender(f"/upload/{begun}/stop").status_code == 404


@pytest.mark.parametrize(
    "query", ["", "name=a.csv", "name=a.csv&size=-1", "name=a.csv&size=1e9", "name=a.csv&size=²", "size=9" * 9]
)
def test_a_size_that_is_none_is_refused(sender, query):
    assert sender(f"/upload?{query}").status_code == 400


@pytest.mark.parametrize(
    ("name", "stored"),
    [
        ("../../etc/passwd.csv", "passwd.csv"),
        ("..\\..\\boot.csv", "boot.csv"),
        ("<img src=x onerror=alert(1)>.csv", "img src_x onerror_alert_1_.csv"),
        (".hidden.csv", "hidden.csv"),
        ("_SUCCESS.csv", "SUCCESS.csv"),
        ("Größe 漢字.csv", "Größe 漢字.csv"),
        ("a\x00b.csv", "a_b.csv"),
        ("x" * 300 + ".csv", "x" * 100 + ".csv"),
        ("*[a]?.csv", "a_.csv"),
        (".csv", "orders.csv"),
    ],
)
def test_a_name_is_only_a_name(name, stored):
    assert uploads.safe_name(name) == stored


def test_other_sites_and_other_roles_may_not_upload(sender, monkeypatch, place):
    client = sender.app.server.test_client()
    assert client.post("/upload?name=a.csv&size=5").status_code == 403
    assert sender("/upload?name=a.csv&size=5", Origin="http://evil.example").status_code == 403
    assert sender("/upload?name=a.csv&size=5", **{"Sec-Fetch-Site": "cross-site"}).status_code == 403
    assert sender("/upload?name=a.csv&size=5", Origin="http://localhost").status_code == 200
    for role in ("viewer", "analyst"):
        monkeypatch.setattr("regulars.app.access.current_person", lambda role=role: Person("eve", role))
        assert sender("/upload?name=a.csv&size=5").status_code == 403
    assert len(kept(place)) == 1


def test_nobody_ends_the_upload_of_another(sender, monkeypatch):
    begun = sender("/upload?name=a.csv&size=5").get_json()["id"]
    monkeypatch.setattr("regulars.app.access.current_person", lambda: Person("eve", "admin"))
    assert sender(f"/upload/{begun}/stop").status_code == 404


def test_a_disk_that_is_full_is_said_at_once_and_on_the_way(sender, place, monkeypatch):
    monkeypatch.setattr(uploads.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 100 << 20}))
    answer = sender(f"/upload?name=a.csv&size={500 << 20}")
    assert answer.status_code == 507
    assert "free space" in answer.get_json()["error"]
    monkeypatch.undo()
    begun = sender("/upload?name=a.csv&size=10").get_json()["id"]

    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "open", full)
    answer = sender(f"/upload/{begun}?offset=0", b"x" * 10)
    monkeypatch.undo()
    assert answer.status_code == 507
    assert "the disk is full" in answer.get_json()["error"]
    assert kept(place) == []


def test_only_so_many_at_once(sender):
    for _ in range(4):
        assert sender("/upload?name=a.csv&size=10").status_code == 200
    assert sender("/upload?name=a.csv&size=10").status_code == 429


def test_a_part_that_was_left_long_ago_is_cleared_away(sender, place):
    import os

    (place / "uploads").mkdir(parents=True)
    for name, age in ((".part-old", 90_000), (".part-new", 10)):
        (place / "uploads" / name).write_bytes(b"x")
        now = (place / "uploads" / name).stat().st_mtime
        os.utime(place / "uploads" / name, (now - age, now - age))
    upload(sender, "a.csv", CSV)
    assert kept(place) == [".part-new", "a.csv"]


def test_memory_stays_at_a_piece(sender):
    size = 24 << 20
    begun = sender(f"/upload?name=a.csv&size={size}").get_json()["id"]
    piece = b"a,b\n" * (uploads.PIECE_BYTES // 4)
    tracemalloc.start()
    for at in range(0, size, len(piece)):
        sender(f"/upload/{begun}?offset={at}", piece[: size - at])
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 8 * len(piece)
    assert sender(f"/upload/{begun}/end").status_code == 200


def test_an_example_and_a_folder_that_cannot_be_written_say_so(tmp_path):
    example = Path(uploads.__file__).parents[1] / "docs" / "examples" / "cdnow" / "regulars.toml"
    client = create_server(tmp_path / "w", settings=example, warm=False).server.test_client()
    answer = client.post("/upload?name=a.csv&size=5", headers=HEADERS)
    assert answer.status_code == 409
    assert "shows an example" in answer.get_json()["error"]
