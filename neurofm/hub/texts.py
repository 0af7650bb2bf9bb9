"""All that a file says, as texts with their places: whatever form the words have.

Text in any encoding, with its escapes, entities and base64 decoded; tensor names and metadata of
safetensors; schemas and text columns of Parquet and Arrow; metadata of images; what archives hold;
and of all other bytes the runs that could be read.
"""

import base64
import gzip
import html
import io
import json
import re
import struct
import unicodedata
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import unquote

import numpy as np

Text = tuple[str, str]  # (place in the file, what stands there)
RAW = "raw "  # before a place among bytes of which the texts have been read in their own form

_LARGEST = 2**28  # bytes that a compressed file inside may unpack to
_CHUNK, _OVERLAP = 2**24, 2**12
_BLOCK = 2**14  # characters of a text that are looked at together; longer lines are cut
_RUNS = [(re.compile(rb"[\x20-\x7e]{16,}"), "ascii"),
         (re.compile(rb"(?:[\x20-\x7e]\x00){10,}"), "utf-16-le"),
         (re.compile(rb"(?:\x00[\x20-\x7e]){10,}"), "utf-16-be")]
_BOMS = [(b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe\0\0", "utf-32"), (b"\0\0\xfe\xff", "utf-32"),
         (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16")]
_CLOSED = {b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"(\xb5/\xfd": "zstd", b"7z\xbc\xaf": "7z",
           b"Rar!": "rar", b"%PDF": "PDF", b"\x89HDF": "HDF5"}
_IMAGES = (b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"RIFF", b"II*\0", b"MM\0*")
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{20,}={0,2}")
_HEX = re.compile(r"\b(?:[0-9a-fA-F]{2}){12,}\b")
_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|x([0-9a-fA-F]{2})|(.))")
_UNSEEN = re.compile("[\u00ad\u200b-\u200f\u2060-\u2064\ufeff]")
_TAG = re.compile(r"<[^<>]{1,200}>")


class Unreadable(ValueError):
    """What a file holds cannot be looked at."""


def of_file(path: Path) -> Iterator[Text]:
    """Everything that a file says. Raises Unreadable."""
    with open(path, "rb") as file:
        head = file.read(16)
    reader = _reader(head, path.name)
    if reader is not None:
        yield from _read(reader, path)
    if reader is not None or _is_binary(path):
        yield from _raw(path, reader)
    else:
        yield from _lines(path.read_bytes())


def of_bytes(data: bytes, name: str = "", depth: int = 0) -> Iterator[Text]:
    """The same of what lies inside another file."""
    if depth > 3:
        raise Unreadable("files inside files, more than three deep")
    reader = _reader(data[:16], name)
    if reader is not None:
        yield from _read(reader, io.BytesIO(data), depth)
    if reader is not None or (b"\0" in data[:4096] and not _bom(data)):
        yield from _raw(io.BytesIO(data), reader)
    else:
        yield from _lines(data)


def forms(text: str) -> set[str]:
    """A text as it stands, and decoded: entities, escapes, percent signs, base64, hexadecimal
    digits, unseen characters, tags between letters; codes inside codes, too."""
    found, waiting = {text}, [(text, 0)]
    while waiting and len(found) < 100:
        one, depth = waiting.pop()
        for other in _decoded(one) if depth < 4 else ():
            if other not in found and other.strip():
                found.add(other)
                waiting.append((other, depth + 1))
    return found


def _decoded(text: str) -> Iterator[str]:
    if "&" in text:
        yield html.unescape(text)
    if "%" in text:
        yield unquote(text)
    if "\\" in text:
        yield _ESCAPE.sub(_unescaped, text)
    if "<" in text:
        yield _TAG.sub("", text)
    if not text.isascii():
        yield unicodedata.normalize("NFKC", _UNSEEN.sub("", text))
    for chunk in _BASE64.findall(text):
        bare = chunk.rstrip("=").replace("-", "+").replace("_", "/")
        for start in range(4 if len(bare) < 400 else 1):  # letters before it may look like its own
            part = bare[start:]
            yield from _readable(base64.b64decode(part[:len(part) - (len(part) % 4 == 1)]
                                                  + "=" * (-len(part) % 4)))
    for chunk in _HEX.findall(text):
        yield from _readable(bytes.fromhex(chunk))


def _unescaped(match: re.Match) -> str:
    number = match[1] or match[2]
    return chr(int(number, 16)) if number else {"n": "\n", "t": "\t"}.get(match[3], match[3])


def _readable(data: bytes) -> Iterator[str]:
    """The text of decoded bytes, where they are one; of an image or an archive what it says."""
    try:
        if _reader(data[:16], "") is not None:
            yield from [text for _, text in of_bytes(data, depth=2)]
            return
    except Unreadable:
        if len(data) > 200 and _closed(data):
            raise
    for encoding in ("utf-8", "utf-16-le"):
        try:
            text = data.decode(encoding)
        except UnicodeDecodeError:
            continue
        shown = sum(letter.isprintable() or letter.isspace() for letter in text)
        if len(text) >= 6 and shown > 0.95 * len(text) and (
                encoding == "utf-8" or text.isascii()):
            yield text
            return


Reader = Callable[..., Iterator[Text]]


def _read(reader: Reader, source, depth: int = 0) -> Iterator[Text]:
    try:
        yield from reader(source, depth)
    except Unreadable:
        raise
    except (OSError, ValueError, KeyError, TypeError, EOFError, struct.error) as error:
        raise Unreadable(f"damaged, so it could not be searched ({str(error)[:100]})") from error


def _reader(head: bytes, name: str) -> Reader | None:
    """Of the files whose form is known. Raises Unreadable for those that are closed to us."""
    if head[:4] == b"PAR1":
        return _parquet
    if head[:6] == b"ARROW1" or head[:4] == b"\xff\xff\xff\xff":
        return _arrow
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") < 2**30:
        return _safetensors
    if head[:4].startswith(_IMAGES):
        return _image
    if head[:2] == b"\x1f\x8b":
        return _gzip
    if head[:4] == b"PK\x03\x04":
        return _zip
    if kind := _closed(head):
        raise Unreadable(f"{kind}, which the search for secrets cannot look into")
    return None


def _closed(head: bytes) -> str:
    return next((kind for start, kind in _CLOSED.items() if head.startswith(start)), "")


def _open(source) -> io.IOBase:
    return source if isinstance(source, io.BytesIO) else open(source, "rb")


def _bom(data: bytes) -> str:
    return next((encoding for bom, encoding in _BOMS if data.startswith(bom)), "")


def _is_binary(path: Path) -> bool:
    with open(path, "rb") as file:
        start = file.read(4096)
    return b"\0" in start and not _bom(start)


def _lines(data: bytes) -> Iterator[Text]:
    encoding = _bom(data) or "utf-8"
    text = data.decode(encoding, errors="replace")
    for number, line in enumerate(text.splitlines() or [""], 1):
        for piece in _pieces(line):
            yield f"line {number}", piece
    if "\ufffd" in text and b"\0" not in data:  # of an older encoding
        yield "", data.decode("latin-1")[:_BLOCK]
    if "<" in text:  # a tag may stand in the middle of a word, and on the next line
        yield "", html.unescape(re.sub(r"<[^<>]{1,2000}>", "", text))


def _pieces(line: str) -> Iterator[str]:
    """A long line in pieces that overlap; a piece begins with a letter, as in the middle of words,
    since what stands before it cannot be seen."""
    yield line[:_BLOCK]
    for start in range(_BLOCK, len(line), _BLOCK):
        yield "x" + line[start - 512:start + _BLOCK]


def _runs(source) -> Iterator[Text]:
    """What could be read among bytes that are no text."""
    file, at, before = _open(source), 0, b""
    file.seek(0)
    while chunk := file.read(_CHUNK):
        data = before + chunk
        for begin, end in _readable_parts(data):
            for pattern, encoding in _RUNS:
                for match in pattern.finditer(data, begin, end):
                    for piece in _pieces(match[0].decode(encoding, errors="ignore")):
                        yield f"byte {at + match.start()}", piece
        before = data[-_OVERLAP:]
        at += len(data) - len(before)
    if not isinstance(source, io.BytesIO):
        file.close()


def _raw(source, reader: "Reader | None") -> Iterator[Text]:
    """Runs among all bytes of a file, besides what its reader has said."""
    mark = RAW if reader in (_parquet, _arrow) else ""
    for place, text in _runs(source):
        yield f"{mark}{place}", text


def _readable_parts(data: bytes) -> Iterator[tuple[int, int]]:
    """Where runs may be: every one of `_RUNS` has eight aligned bytes that are all letters, or
    letters and zeros in turn. Most of the bytes of weights and signals are passed over so."""
    words = np.frombuffer(data, dtype="<u8", count=len(data) // 8)
    ascii_, odd, even = (np.uint64(mask) for mask in (
        0x8080808080808080, 0xFF00FF00FF00FF00, 0x00FF00FF00FF00FF))
    some = np.flatnonzero(((words & ascii_) == 0) & (words != 0))
    letters = words[some].view(np.uint8).reshape(-1, 8)
    shown = (letters >= 32) & (letters < 127)
    in_turn = ((words[some] & odd) == 0) & shown[:, ::2].all(1)
    in_turn |= ((words[some] & even) == 0) & shown[:, 1::2].all(1)
    some = some[shown.all(1) | in_turn]
    for part in np.split(some, np.flatnonzero(np.diff(some) > 1) + 1) if len(some) else ():
        yield max(int(part[0]) * 8 - 24, 0), int(part[-1]) * 8 + 32
    if len(data) < 64:
        yield 0, len(data)


def _safetensors(source, depth: int = 0) -> Iterator[Text]:
    file = _open(source)
    file.seek(0)
    size = int.from_bytes(file.read(8), "little")
    header = json.loads(file.read(size))
    for key, value in (header.pop("__metadata__", None) or {}).items():
        yield f"metadata {key}", f"{key}: {value}"
    for name, entry in header.items():
        yield f"the name of tensor {name}", name
        yield "", json.dumps(entry)
        if isinstance(entry, dict) and entry.get("dtype") in ("U8", "I8", "BOOL"):
            begin, end = entry["data_offsets"]
            file.seek(8 + size + begin)
            data = file.read(min(end - begin, _CHUNK))
            shown = sum(32 <= byte < 127 or byte in (0, 9, 10, 13) for byte in data[:4096])
            if data.strip(b"\0") and shown > 0.9 * len(data[:4096]):
                yield f"tensor {name}", data.replace(b"\0", b" ").decode("latin-1")
    if not isinstance(source, io.BytesIO):
        file.close()


def _parquet(source, depth: int = 0) -> Iterator[Text]:
    from pyarrow import parquet

    with parquet.ParquetFile(source) as file:
        schema = file.schema_arrow
        for key, value in (file.metadata.metadata or {}).items():
            if key == b"ARROW:schema":  # the same schema once more, see below
                continue
            yield f"metadata {_shown(key)}", f"{_shown(key)}: {_shown(value)}"
        yield from _schema(schema)
        for number in range(file.num_row_groups):
            yield from _columns(file.read_row_group(number))


def _arrow(source, depth: int = 0) -> Iterator[Text]:
    import pyarrow as pa

    with pa.memory_map(str(source)) if isinstance(source, Path) else pa.BufferReader(
            source.getvalue()) as mapped:
        start = mapped.read(6)
        mapped.seek(0)
        if start == b"ARROW1":
            whole = pa.ipc.open_file(mapped)
            yield from _schema(whole.schema)
            yield from _columns(whole.read_all())
            return
        reader = pa.ipc.open_stream(mapped)
        yield from _schema(reader.schema)
        for batch in reader.iter_batches_with_custom_metadata():
            for key, value in (batch.custom_metadata or {}).items():
                yield f"metadata {_shown(key)}", f"{_shown(key)}: {_shown(value)}"
            yield from _columns(pa.table(batch.batch))


def _schema(schema) -> Iterator[Text]:
    for key, value in (schema.metadata or {}).items():
        yield f"metadata {_shown(key)}", f"{_shown(key)}: {_shown(value)}"
    for field in schema:
        yield f"the name of column {field.name}", field.name
        for key, value in (field.metadata or {}).items():
            yield f"metadata of column {field.name}", f"{_shown(key)}: {_shown(value)}"


def _columns(table) -> Iterator[Text]:
    """Texts of every column, each once, with the row where it stands first."""
    import pyarrow as pa

    for name in table.column_names:
        column = table.column(name)
        chunk = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
        for path, values in _leaves(chunk, name):
            if pa.types.is_binary(values.type) or pa.types.is_large_binary(values.type):
                data = b"\0".join(value for value in values.to_pylist() if value)
                for place, text in _runs(io.BytesIO(data)):
                    yield f"column {path}, {place}", text
                continue
            if not pa.types.is_dictionary(values.type):
                if not (pa.types.is_string(values.type) or pa.types.is_large_string(values.type)):
                    continue
                values = values.dictionary_encode()
            codes = values.indices.fill_null(-1).to_numpy(zero_copy_only=False)
            first = dict(zip(*np.unique(codes, return_index=True), strict=True))
            for code, value in enumerate(values.dictionary.to_pylist()):
                row = f", row {first[code]}" if path == name and code in first else ""
                if isinstance(value, str):
                    yield f"column {path}{row}", f"{name}: {value}"


def _leaves(array, path: str) -> Iterator[tuple]:
    """Arrays without lists and structs around them."""
    import pyarrow as pa

    if isinstance(array, pa.ChunkedArray):
        for chunk in array.chunks:
            yield from _leaves(chunk, path)
        return
    if isinstance(array, pa.ExtensionArray):
        array = array.storage
    kind = array.type
    if pa.types.is_struct(kind):
        for field in kind:
            yield from _leaves(array.field(field.name), f"{path}.{field.name}")
    elif pa.types.is_map(kind):
        yield from _leaves(array.keys, path)
        yield from _leaves(array.items, path)
    elif pa.types.is_list(kind) or pa.types.is_large_list(kind) \
            or pa.types.is_fixed_size_list(kind):
        yield from _leaves(array.flatten(), f"{path}[]")
    else:
        yield path, array


def _image(source, depth: int = 0) -> Iterator[Text]:
    from PIL import Image

    try:
        with Image.open(source) as image:
            image.load()
            said = {**image.info, **getattr(image, "text", {})}
            for tag, value in image.getexif().items():
                said[f"EXIF {tag}"] = value
    except (SyntaxError, Image.DecompressionBombError) as error:
        raise Unreadable(f"an image that cannot be read ({error})") from error
    for key, value in said.items():
        yield f"metadata {key}", f"{key}: {_shown(value)}"


def _gzip(source, depth: int = 0) -> Iterator[Text]:
    with gzip.open(source) as file:
        data = file.read(_LARGEST + 1)
    yield from _inside(data, "", depth)


def _zip(source, depth: int = 0) -> Iterator[Text]:
    try:
        with zipfile.ZipFile(source) as archive:
            yield "comment", archive.comment.decode("latin-1")
            for entry in archive.infolist():
                yield "the name of a file in it", entry.filename
                with archive.open(entry) as file:
                    data = file.read(_LARGEST + 1)
                yield from _inside(data, entry.filename, depth)
    except (zipfile.BadZipFile, RuntimeError, NotImplementedError) as error:
        raise Unreadable(f"a zip archive that cannot be read ({error})") from error


def _inside(data: bytes, name: str, depth: int) -> Iterator[Text]:
    if len(data) > _LARGEST:
        raise Unreadable(f"{name or 'it'} unpacks to more than {_LARGEST} bytes")
    for place, text in of_bytes(data, name, depth + 1):
        yield f"{name} {place}".strip(), text


def _shown(value) -> str:
    return value.decode("utf-8", errors="replace") if isinstance(value, bytes) else str(value)
