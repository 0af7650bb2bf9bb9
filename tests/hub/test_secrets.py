"""What must never be published: each kind is planted, and found by name and place."""

import base64
import getpass
import gzip
import io
import json
import lzma
import socket
import zipfile
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image, PngImagePlugin
from safetensors.torch import save_file

from neurofm.hub import rules, secrets

HF = "hf_" + "a1B2c3D4" * 4
HOME = "/home/mmuster/eeg/run7"
TOKEN, PATH, MAIL = "a token or key", "a path of a machine", "an e-mail address"
NET, NAME, BORN = "an address in a network", "a person's name", "a birth date"
KEY, HEX = "40 hexadecimal digits", "0123456789abcdef" * 2 + "89abcdef"

# file, what stands in it, what it is called, where it is
WRITTEN = [
    ("README.md", f"# Model\n\nSee {HF}\n", TOKEN, "line 3"),
    ("a01.txt", "ghp_" + "a1B2" * 9, TOKEN, "line 1"),
    ("a02.txt", "github_pat_" + "a1B2" * 9, TOKEN, "line 1"),
    ("a03.txt", "glpat-" + "a1B2c" * 4, TOKEN, "line 1"),
    ("a04.txt", "sk-proj-" + "a1B2" * 9, TOKEN, "line 1"),
    ("a05.txt", "sk-ant-api03-" + "a1B2" * 9, TOKEN, "line 1"),
    ("a06.yaml", "n: 1\nkey: AKIA" + "IOSFODNN7EXAMPLX", TOKEN, "line 2"),
    ("a07.yaml", "aws_secret_access_key: " + "wJalrXUtnFEMI/K7MDENG" * 2, TOKEN, "line 1"),
    ("a08.txt", "AIza" + "Sy1234567" * 4, TOKEN, "line 1"),
    ("a09.txt", "xoxb-" + "123456789012-abcdefGHIJKL", TOKEN, "line 1"),
    ("a10.txt", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJlMTIz", TOKEN, "line 1"),
    ("a11.txt", "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEA\n", TOKEN, "line 1"),
    ("a12.txt", "ssh-ed25519 AAAA" + "C3NzaC1lZDI1NTE5" * 3, TOKEN, "line 1"),
    ("a13.json", '{"a": 1,\n "password": "hunter2hunter2"}', TOKEN, "line 2"),
    ("a14.yaml", "wandb_api_key: " + "0123456789abcdef" * 2, TOKEN, "line 1"),
    ("a15.txt", "postgres://me:" + "pa55w0rd@db.lab/eeg", "a password in a URL", "line 1"),
    ("a16.txt", "https://ghtoken1234@git.lab.org/eeg.git", "a token in a URL", "line 1"),
    ("a17.txt", "https://b.s3.amazonaws.com/x.edf?X-Amz-Signature=0a1b2c3d4e5f", TOKEN, "line 1"),
    ("a18.txt", "machine data.lab login me password s3cret", TOKEN, "line 1"),
    ("a19.txt", "Authorization: Bearer a1b2c3d4e5f6a7b8c9", TOKEN, "line 1"),
    ("a20.txt", "sk_live_" + "a1B2c3D4" * 4, TOKEN, "line 1"),
    ("a21.txt", "SG." + "a1B2c3D4e5F6g7H8i9J0k1." + "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8s9T0u1V",
     TOKEN, "line 1"),
    ("a22.txt", "AccountKey=" + "a1B2c3D4" * 10 + "abcdef==", TOKEN, "line 1"),
    ("a23.txt", "1234567890:AA" + "a1B2c3D4" * 4 + "x", TOKEN, "line 1"),
    ("a24.json", '{"command": "neurofm x --token abcdef123456"}', TOKEN, "line 1"),
    ("a25.txt", "AP5a1B2c3D4e5F6g7H8i9J", TOKEN, "line 1"),
    ("a26.txt", "AKC" + "a1B2c3D4" * 4, TOKEN, "line 1"),
    ("b01.json", f'{{"data": "{HOME}"}}', PATH, "line 1"),
    ("b02.txt", "read from /scratch/u1234/corpus", PATH, "line 1"),
    ("b03.txt", "/gpfs/fs1/lab/corpus", PATH, "line 1"),
    ("b04.txt", "x=/p/project/hai_42", PATH, "line 1"),
    ("b05.txt", "(/lustre/work/x.fif)", PATH, "line 1"),
    ("b06.txt", "in '/opt1/odd place/eeg'", PATH, "line 1"),
    ("b07.json", r'{"at": "C:\\Users\\Maria\\eeg"}', PATH, "line 1"),
    ("b08.txt", r"\\fileserver\eeg\raw", PATH, "line 1"),
    ("b09.txt", "~/eeg/raw", PATH, "line 1"),
    ("b10.txt", "file:///net/eeg", PATH, "line 1"),
    ("b11.txt", "s3://our-lab-private/eeg", PATH, "line 1"),
    ("b12.txt", "copied from anna@login01:/eeg", PATH, "line 1"),
    ("c01.md", "ask maria.muster@uni-x.de", MAIL, "line 1"),
    ("c02.md", "ask maria.muster [at] uni-x.de", MAIL, "line 1"),
    ("c03.txt", "served at 10.11.12.13:8080", NET, "line 1"),
    ("c04.txt", "fe80::1ff:fe23:4567:890a", NET, "line 1"),
    ("c05.txt", "00:1B:44:11:3A:B7", NET, "line 1"),
    ("c06.txt", "trained on gpu07.cluster", "the name of a machine", "line 1"),
    ("c07.txt", "made by {user}", "the name of this user", "line 1"),
    ("c08.txt", "made on {host}", "the name of this host", "line 1"),
    ("c09.txt", "call +49 89 1234 5678", "a telephone number", "line 1"),
    ("c10.txt", "078-05-1120", "a social security number", "line 1"),
    ("c11.json", '{"MRN": "00123456"}', "a number of a patient", "line 1"),
    ("c12.tsv", "sub\tnote\n01\tborn 12.03.1985\n", BORN, "line 2"),
    ("c13.json", '{"birth_date": "1985-03-12"}', BORN, "line 1"),
    ("c14.txt", "X F 02-MAY-1951 Haagse", BORN, "line 1"),
    ("c15.txt", "Muster^Maria", NAME, "line 1"),
    ("c16.json", '{"patient_name": "Maria M"}', NAME, "line 1"),
    ("c17.txt", "measured by Dr. Anna Weber", NAME, "line 1"),
    ("c18.yaml", "experimenter: anna", NAME, "line 1"),
    ("a25.txt", "gsk_" + "a1B2c3D4" * 6, TOKEN, "line 1"),
    ("a26.txt", "PuTTY-User-Key-File-3: ssh-ed25519", TOKEN, "line 1"),
    ("c19.json", '{"PatientBirthDate": "19850312"}', BORN, "line 1"),
    ("c20.txt", "{'birthday': (1985, 3, 12)}", BORN, "line 1"),
    ("c21.txt", "born March 12, 1985", BORN, "line 1"),
    ("c22.md", "ask maria.muster (at) uni-x (dot) de", MAIL, "line 1"),
    ("f01.txt", "at 3.2 s: 510502/1234", "a birth number", "line 1"),
    ("f02.txt", "NHS: 943 476 5919", "a number of a patient", "line 1"),
    ("f03.txt", "19811228-9874", "a personal number", "line 1"),
    ("f04.txt", "CPR 010190-1234", "a personal number", "line 1"),
    ("f05.txt", "01129910042", "a personal number", "line 1"),
    ("f06.txt", "131052-308T", "a personal number", "line 1"),
    ("f07.txt", "RSSMRA85T10A562S", "a personal number", "line 1"),
    ("f08.txt", "1 85 05 78 006 084 91", "a personal number", "line 1"),
    ("f09.txt", "44051401359", "a personal number", "line 1"),
    ("f10.txt", "DNI 12345678Z", "a personal number", "line 1"),
    ("f11.txt", "529.982.247-25", "a personal number", "line 1"),
    ("f12.txt", "0000-0002-1825-0097", "an ORCID", "line 1"),
    ("f13.txt", "MRN 00482913", "a number of a patient", "line 1"),
    ("f14.txt", "Patient: Svoboda", NAME, "line 1"),
    ("f15.txt", "Name: Jan Novak", NAME, "line 1"),
    ("f16.txt", "recorded by Jana Dvorakova", NAME, "line 1"),
    ("f17.txt", "operator Jana", NAME, "line 1"),
    ("f18.txt", "ask Dr. Müller", NAME, "line 1"),
    ("f19.txt", "Dlouha 12, 110 00 Praha 1", "an address of somebody", "line 1"),
    ("f20.txt", "12 Long Street", "an address of somebody", "line 1"),
    ("f21.txt", "Lange Straße 12", "an address of somebody", "line 1"),
    ("f22.txt", "pw: hunter2horse", TOKEN, "line 1"),
    ("f23.txt", "heslo: kocka123", TOKEN, "line 1"),
    ("f24.txt", "wandb " + "0123456789abcdef" * 2 + "01234567", TOKEN, "line 1"),
    ("f25.md", "as it was before.\n\n" + HEX, KEY, "line 3"),
    ("f26.md", f"Made by Weber, {HEX.upper()}.", KEY, "line 1"),
    ("f27.json", f'{{"note": "{HEX}"}}', KEY, "line 1"),
    ("f28.txt", f"x={HEX}", KEY, "line 1"),
    # the same in disguise
    ("d01.html", "<p>&#47;home&#x2f;mmuster&sol;eeg</p>", PATH, "line 1"),
    ("d02.html", "<p>\nhf_<b>a1B2c3D4a1B2</b>c3D4a1B2</p>", TOKEN, "line 2"),
    ("d03.md", f"[here](x?y={quote(HOME, safe='')})", PATH, "line 1"),
    ("d04.json", json.dumps(HOME).replace("/", "\\u002f"), PATH, "line 1"),
    ("d05.json", json.dumps(f"a\nb {HOME}"), PATH, "line 1"),
    ("d06.txt", base64.b64encode(f"key {HF}".encode()).decode(), TOKEN, "line 1"),
    ("d07.txt", f"see {HOME}".encode().hex(), PATH, "line 1"),
    ("d08.txt", "ask maria\u200b.muster@\u200buni-x.de", MAIL, "line 1"),
    ("d09.txt", "ｍａｒｉａ＠ｕｎｉ－ｘ．ｄｅ", MAIL, "line 1"),
    ("d10.txt", base64.b64encode(quote(f"x {HF}").encode()).decode(), TOKEN, "line 1"),
]


def _png(**kept) -> bytes:
    note, out = PngImagePlugin.PngInfo(), io.BytesIO()
    for key, value in kept.items():
        note.add_text(key, value, zip=key == "packed")
    Image.new("L", (4, 4)).save(out, "png", pnginfo=note)
    return out.getvalue()


def _jpeg() -> bytes:
    exif, out = Image.Exif(), io.BytesIO()
    exif[0x013B] = f"made in {HOME}"
    Image.new("L", (8, 8)).save(out, "jpeg", exif=exif)
    return out.getvalue()


def _zip() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("notes.txt", f"x\nsee {HOME}")
    return out.getvalue()


# file, its bytes, what it is called, where it is
BYTES = [
    ("e01.txt", f"see {HOME}".encode("utf-16"), PATH, "line 1"),
    ("e02.txt", b"\0" * 99 + f"see {HOME} in".encode("utf-16-le"), PATH, "byte "),
    ("e03.txt", b"\0" * 99 + f"see {HOME} in".encode("utf-16-be"), PATH, "byte "),
    ("e04.dat", b"\0\1" * 50 + f"see {HOME} there".encode() + b"\xff\0" * 9, PATH, "byte "),
    ("e05.txt", f"dürfen {HOME}".encode("latin-1"), PATH, "line 1"),
    ("e06.png", _png(Comment=f"from {HOME}"), PATH, "metadata Comment"),
    ("e07.png", _png(packed=f"from {HOME} " * 20), PATH, "metadata packed"),
    ("e08.jpg", _jpeg(), PATH, "metadata EXIF 315"),
    ("e09.json.gz", gzip.compress(f"see {HOME}".encode()), PATH, "line 1"),
    ("e10.npz", _zip(), PATH, "notes.txt line 2"),
    ("e11.html", b"<img src='data:image/png;base64," + base64.b64encode(
        _png(Author="ask maria.muster@uni-x.de")) + b"'>", MAIL, "line 1"),
    ("e12.xz", lzma.compress(b"x" * 99), "xz, which", ""),
]


def _arrow(folder: Path) -> list[tuple]:
    schema = pa.schema([pa.field("x", pa.int8(), metadata={"note": MAIL_TEXT}),
                        ("who", pa.large_string())], metadata={"made": HOME})
    batch = pa.record_batch([pa.array([1, 2], pa.int8()), pa.array(["fine", HF])], schema=schema)
    with pa.OSFile(str(folder / "f1.arrow"), "wb") as sink, \
            pa.ipc.new_stream(sink, schema) as writer:
        writer.write_batch(batch, custom_metadata={"by": "Muster^Maria"})
    nested = pa.table({"layers": pa.array([["fine"], ["in", HOME]]),
                       "info": pa.array([{"a": "fine"}, {"a": MAIL_TEXT}]),
                       "code": pa.array(["fine", HF]).dictionary_encode(),
                       "raw": pa.array([b"\1\2", f"in {HOME} there".encode()])})
    pq.write_table(nested.replace_schema_metadata({"made": "on 10.11.12.13"}),
                   folder / "f2.parquet", compression="zstd")
    return [("f1.arrow", PATH, "metadata made"), ("f1.arrow", MAIL, "metadata of column x"),
            ("f1.arrow", TOKEN, "column who, row 1"), ("f1.arrow", NAME, "metadata by"),
            ("f2.parquet", PATH, "column layers[]"), ("f2.parquet", MAIL, "column info.a"),
            ("f2.parquet", PATH, "column raw"), ("f2.parquet", TOKEN, "column code, row 1"),
            ("f2.parquet", NET, "metadata made")]


MAIL_TEXT = "maria.muster@uni-x.de"


def _weights(folder: Path) -> list[tuple]:
    text = torch.frombuffer(bytearray(f"trained in {HOME} ".encode() * 3), dtype=torch.uint8)
    save_file({"ok": torch.randn(64, 64), "at.gpu07.cluster": torch.zeros(2), "note": text},
              folder / "g1.safetensors", metadata={"format": "pt", "from": HOME})
    return [("g1.safetensors", PATH, "metadata from"), ("g1.safetensors", PATH, "tensor note"),
            ("g1.safetensors", "the name of a machine", "the name of tensor at.gpu07.cluster")]


@pytest.fixture(scope="module")
def planted_secrets(tmp_path_factory):
    """A folder with all of them, and (file, what, place) of each."""
    folder = tmp_path_factory.mktemp("secrets")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(getpass, "getuser", lambda: "mmuster42")
        patch.setattr(socket, "gethostname", lambda: "gpubox07.lab.example")
        wanted = []
        for name, text, what, place in WRITTEN:
            (folder / name).write_text(text.replace("{user}", "mmuster42")
                                       .replace("{host}", "gpubox07"))
            wanted.append((name, what, place))
        for name, data, what, place in BYTES:
            (folder / name).write_bytes(data)
            wanted.append((name, what, place))
        wanted += _arrow(folder) + _weights(folder)
        (folder / "h1_anna@lab.org.txt").write_text("fine")
        wanted.append(("h1_anna@lab.org.txt", MAIL, "its name"))
        (folder / "h2.txt").symlink_to(folder / "a01.txt")
        wanted.append(("h2.txt", "no regular file", ""))
        return folder, wanted, secrets.found_in(folder)


def test_each_kind_is_found_by_name_and_place(planted_secrets):
    _, wanted, found = planted_secrets
    missed = [case for case in wanted if not any(
        each.file == case[0] and each.what.startswith(case[1]) and each.place.startswith(case[2])
        for each in found)]
    assert missed == []
    assert len({name for name, *_ in wanted}) == len({each.file for each in found})
    assert len(wanted) > 80


def test_no_message_holds_a_token(planted_secrets):
    *_, found = planted_secrets
    told = "\n".join(map(str, found))
    for token in (HF, "hunter2hunter2", "pa55w0rd", "s3cret", "abcdef123456", "a1B2c3D4a1B2"):
        assert token not in told


def test_what_may_stay_is_said_and_no_token_may(tmp_path):
    (tmp_path / "README.md").write_text(f"ask {MAIL_TEXT} {HF}")
    found = secrets.found_in(tmp_path, allow=[MAIL_TEXT, HF])
    assert [each.what for each in found] == [TOKEN]


CLEAN = """\
float32 [channel, time]; 8-30 Hz, 0.5/45 Hz, fT/cm, µV/√Hz, and/or, n/a, 12:30:45, 1.2.3
https://huggingface.co/org/name/resolve/main/config.json https://doi.org/10.18112/openneuro.ds000117
s3://openneuro.org/ds000117 org/name@v1.0 ../runs/decoder ./a/b runs/eegmat/decoder torch==2.13.0
{"license": "cc-by-4.0", "tokens": null, "tokenizer": "brain_tokenizer", "keep": 2, "secret": null}
3b7dd7a1f99088aef2f5a89fd12b1e40b8c3bd2e7a1c0ffee0ddf00dcafe0123 sub-01_ses-02_task-rest_run-1
<td>left</td></tr><br/> @misc{x, title = {A}} p < .05 planted/sub-00_run-0 NYU_0050952 ~0.3 ~5/6
AP0123456789 AP0A1B2C3D4E5 AP01_task-rest
ds000117-download v1.2.3.4 c++/cuda "**/*.edf" 2026-11-30T11:29:23Z \\d+ \\\\w C3-M2 blocks.0.attn.q
patient: control, Patient: Healthy, name: Eyes Open, pretty_name: Rest, recorded by Brain Products
revision: 0123456789abcdef0123456789abcdef01234567 510502-1234567 943-476-5918 12345678A 20190304-1
12345678901 0.12345678901 1234-5678-9012-3456 2026-11-30 120/1234 operator overloading, Stroop 12, 5
{"loss per token": 0.6931471805599453, "next-token": -12.34567890123e-05}
[95 %] −0.12 … 0.3 (p = .04); +1.5 dB, Dr and Prof, born in the lab, http://localhost:8080
"""


HASHES = f"""commit {HEX} {{"sha1": "{HEX}", "subject": "{HEX}", "dataset_revision": "{HEX}"}}
https://github.com/a/b/tree/{HEX} org/name@{HEX} SHA1E-s123--{HEX}.edf lab/{HEX} git {HEX}
"""


def test_clean_text_has_no_secrets(tmp_path):
    (tmp_path / "clean.json").write_text(CLEAN + HASHES)
    rng = np.random.default_rng(0)
    (tmp_path / "noise.bin").write_bytes(rng.bytes(2**21))
    (tmp_path / "noise.txt").write_text(base64.b64encode(rng.bytes(2**18)).decode())
    assert secrets.found_in(tmp_path) == []


@pytest.mark.parametrize("name", ["neurofm", "brain", "Test"])
def test_the_user_of_our_image_is_no_secret(tmp_path, monkeypatch, name):
    monkeypatch.setattr(getpass, "getuser", lambda: name)
    monkeypatch.setattr(socket, "gethostname", lambda: name)
    (tmp_path / "README.md").write_text("pip install neurofm; tags: brain; split: test")
    assert secrets.found_in(tmp_path) == []


@pytest.mark.parametrize("name", ["corpus", "decoder", "tokenizer", "tokens", "brainomni"])
def test_clean_artifacts_have_no_secrets(name):
    folder = Path(__file__).parent.parent / "old_artifacts" / name
    assert secrets.found_in(folder) == []


def test_masks_and_paths():
    assert rules.masked("403 for Bearer hf_abcdefghijklmnopqrst!") == "403 for Bearer hf_***!"
    assert rules.without_paths({"a": ["/data/x/y.fif", 3], "b": "runs/x", "c": "C:\\u\\z"}) == {
        "a": ["y.fif", 3], "b": "runs/x", "c": "z"}
    assert rules.without_paths("https://huggingface.co/data/x") == (
        "https://huggingface.co/data/x")
    assert rules.without_paths("/gpfs/fs1/me/corpus") == "corpus"


@pytest.mark.parametrize("length", [33, 43, 46, 47, 64, 92, 126])
def test_a_length_before_a_text_is_no_part_of_it(tmp_path, length):
    """Parquet and Arrow keep lengths as bytes: 47 is a slash, and the text a path by that."""
    text = ("data/sub-01_task-rest_eeg/" + "a.b.c/" * 30)[:length]
    table = pa.table({"source": [text, text], "label": ["x", "y"]})
    pq.write_table(table, tmp_path / "a.parquet", compression=None)
    with pa.OSFile(str(tmp_path / "a.arrow"), "wb") as sink, \
            pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    assert secrets.found_in(tmp_path) == []


def test_what_stands_often_is_one_finding(tmp_path):
    (tmp_path / "a.txt").write_text("".join(f"{n}: see {HOME}\n" for n in range(100))
                                    + f"see {HOME}2\n")
    assert [(each.text, each.times) for each in secrets.found_in(tmp_path)] == [
        (HOME, 100), (f"{HOME}2", 1)]


def test_thanks_are_those_of_the_terms(tmp_path):
    (tmp_path / "datasets.json").write_text('{"a": {"acknowledge": "Prof. Weber"}}')
    (tmp_path / "README.md").write_text("To be cited: Prof. Weber. Ask Dr. Müller.")
    assert [each.text for each in secrets.found_in(tmp_path)] == ["Dr. Müller"]


def test_a_long_line_takes_no_time(tmp_path):
    """Patterns are bounded: none is quadratic in a line of a megabyte."""
    import time

    for name, piece in (("a", "a"), ("b", "a."), ("c", "/a"), ("d", "-_"), ("e", "1 "), ("f", "@"),
                        ("g", "+1"), ("h", "::"), ("i", "\\u"), ("j", "%2"), ("k", "A" * 79 + "+")):
        (tmp_path / f"{name}.txt").write_text(piece * (2**18 // len(piece)))
    start = time.process_time()
    secrets.found_in(tmp_path)
    assert time.process_time() - start < 20
