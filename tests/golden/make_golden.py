"""How the container and entropy-coding files of this folder were made.

Run once, by hand, when a file was added: `python tests/golden/make_golden.py NAME...` writes
the named files and prints their lines for `manifest.json`. Tests never call it, and files that
exist are never written again: what was once a valid file has to decode for ever.
"""

from __future__ import annotations

import json
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from noisepress.bitstream.coders import Encoder, Stack
from noisepress.bitstream.container import (
    MAGIC,
    MAX_SIDE,
    VERSION,
    Header,
    Section,
    SectionKind,
    read,
    write,
)
from noisepress.bitstream.entropy import Categorical, LogisticMixture

FOLDER = Path(__file__).parent

HEADER = Header(codec=1, mode=2, width=300, height=4, check=0x89ABCDEF, parameters=b"\x07")
ICC = Section(SectionKind.ICC, b"icc")
FIRST = Section(SectionKind.DATA, b"first")
SECOND = Section(SectionKind.DATA, b"\x00\xff")
FULL = write(HEADER, [ICC, FIRST, SECOND])


def changed(data: bytes, position: int, value: int) -> bytes:
    return data[:position] + bytes([value]) + data[position + 1 :]


def with_body(stored: str) -> bytes:
    """A file that ends with its header, given in hexadecimal; its checksum is right."""
    body = bytes.fromhex(stored)
    head = MAGIC + bytes([VERSION, len(body)]) + body
    return head + zlib.crc32(head).to_bytes(4, "little")


def sized(width: int, height: int) -> bytes:
    return write(Header(codec=1, mode=2, width=width, height=height, check=0), [FIRST])


def foreign() -> bytes:
    other = write(
        Header(codec=1, mode=2, width=301, height=4, check=0, parameters=b"\x07"), [FIRST]
    )
    own = write(Header(codec=1, mode=2, width=300, height=4, check=0, parameters=b"\x07"), [FIRST])
    start = read(own).start
    return own[:start] + other[start:]


ENDS = read(FULL).ends()

CONTAINERS: dict[str, tuple[Callable[[], bytes], str]] = {
    "plain": (lambda: write(HEADER, [FIRST]), "one data section"),
    "full": (lambda: FULL, "skippable and data sections; the hex dump of docs/format.md"),
    "empty_payload": (lambda: write(HEADER, [Section(0, b"")]), "a section of no bytes"),
    "unknown_skippable": (
        lambda: write(HEADER, [Section(200, b"?"), FIRST]),
        "a kind of later releases that readers skip",
    ),
    "largest_size": (lambda: sized(MAX_SIDE, 64), "as many pixels as the default limit allows"),
    "cut_in_section": (lambda: FULL[: ENDS[2] + 1], "cut inside its last section"),
    "cut_behind_section": (lambda: FULL[: ENDS[2]], "cut after a whole section"),
    "cut_behind_header": (lambda: FULL[: ENDS[0]], "cut after its header: no section is left"),
    "cut_in_header": (lambda: FULL[: ENDS[0] - 1], "cut inside the header's checksum"),
    "empty": (lambda: b"", "no bytes at all"),
    "bad_magic": (lambda: b"\x89PNG" + FULL[4:], "the magic bytes of another format"),
    "text_unix": (lambda: FULL.replace(b"\r\n", b"\n"), "copied in text mode, CR LF to LF"),
    "text_dos": (
        lambda: FULL.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n"),
        "copied in text mode, LF to CR LF",
    ),
    "seven_bits": (lambda: bytes(b & 0x7F for b in FULL), "copied through a seven-bit channel"),
    "future_version": (lambda: changed(FULL, 8, 2), "format version 2"),
    "header_crc": (lambda: changed(FULL, ENDS[0] - 1, 0), "wrong checksum of the header"),
    "header_changed": (lambda: changed(FULL, 14, 5), "a damaged header field"),
    "section_crc": (lambda: changed(FULL, ENDS[2] - 1, 0), "wrong checksum of a section"),
    "section_changed": (lambda: changed(FULL, ENDS[1], 0x46), "a damaged payload"),
    "foreign_section": (foreign, "the section of another file, with that file's checksum"),
    "unknown_required": (
        lambda: write(HEADER, [FIRST, Section(63, b"?")]),
        "a kind of later releases that readers must know",
    ),
    "trailing_bytes": (lambda: FULL + b"\0", "a byte after the last section"),
    "oversized": (lambda: sized(MAX_SIDE, MAX_SIDE), "2^48 pixels"),
    "huge_header": (
        lambda: MAGIC + b"\x01" + b"\xff\xff\xff\xff\x7f" + bytes(20),
        "a header of 32 GiB",
    ),
    "zero_width": (lambda: with_body("01 02 00 04 00000000 01 00 00"), "an image without columns"),
    "too_wide": (
        lambda: with_body("01 02 81808008 04 00000000 01 00 00"),
        "a width of 2^24 + 1",
    ),
    "padded_number": (
        lambda: with_body("01 02 8300 04 00000000 01 00 00"),
        "a number in more bytes than it needs",
    ),
    "no_sections": (lambda: with_body("01 02 03 04 00000000 00"), "a table of no sections"),
    "short_header": (
        lambda: with_body("01 02 03 04 00000000 02 00 00"),
        "a header that ends before its fields do, with the right checksum",
    ),
}


def container(name: str) -> tuple[bytes, dict[str, Any]]:
    """Bytes and manifest entry of a container file."""
    make, about = CONTAINERS[name]
    data = make()
    entry: dict[str, Any] = {"layer": "container", "about": about}
    try:
        contents = read(data)
    except Exception as error:
        return data, entry | {"error": type(error).__name__}
    sections = [[int(part.kind), part.payload.hex()] for part in contents.sections]
    return data, entry | {"sections": sections, "truncated": contents.truncated}


def categorical_stream() -> dict[str, Any]:
    rng = np.random.default_rng(1)
    rows = np.floor(2 ** rng.uniform(0, 17, (40, 5))).astype(np.float32)
    rows[::7] = 1
    rows[3] = [1, 2**24 - 6, 1, 1, 1]
    rows[4] = [2**24 - 6, 1, 1, 1, 1]
    symbols = rng.integers(0, 5, 40).astype(np.int32)
    encoder = Encoder()
    encoder.code(symbols, Categorical(rows))
    return {
        "frequencies": rows.astype(int).tolist(),
        "symbols": symbols.tolist(),
        "bytes": encoder.finish().hex(),
    }


def mixture(seed: int, digits: int) -> tuple[LogisticMixture, np.ndarray[Any, Any], dict[str, Any]]:
    rng = np.random.default_rng(seed)
    n, k, top = 30, 3, 4**digits
    parts = {
        "logits": rng.integers(-200, 200, (n, k)),
        "locations": rng.integers(-200, 16 * top + 200, (n, k)),
        "scales": rng.integers(-60, 140, (n, k)),
    }
    parts["logits"][0] = [-100_000, 0, 100_000]
    parts["locations"][1] = [-100_000, 0, 100_000]
    parts["scales"][2] = [-48, 40, 128]
    symbols = rng.integers(0, top, n).astype(np.int32)
    symbols[1::2] = np.clip(parts["locations"][1::2, 0] // 16, 0, top - 1)
    model = LogisticMixture(**{k: v.astype(np.int32) for k, v in parts.items()}, digits=digits)
    entry = {"digits": digits} | {name: part.tolist() for name, part in parts.items()}
    return model, symbols, entry | {"symbols": symbols.tolist()}


def mixture_stream() -> dict[str, Any]:
    model, symbols, entry = mixture(2, 4)
    encoder = Encoder()
    encoder.code(symbols, model)
    return entry | {"bytes": encoder.finish().hex()}


def mixture_stack() -> dict[str, Any]:
    model, symbols, entry = mixture(3, 3)
    start = bytes(range(1, 12))
    stack = Stack(start)
    stack.push(symbols, model)
    return entry | {"start": start.hex(), "bytes": stack.seal().hex()}


STREAMS: dict[str, tuple[Callable[[], dict[str, Any]], str, str]] = {
    "categorical": (categorical_stream, "range", "range coder, skewed and flat rows of integers"),
    "mixture": (mixture_stream, "range", "range coder, logistic mixtures at and beyond limits"),
    "stack": (mixture_stack, "stack", "stack, logistic mixtures pushed on eleven bytes"),
}


def stream(name: str) -> tuple[bytes, dict[str, Any]]:
    """Bytes and manifest entry of an entropy-coded stream with its model."""
    make, coder, about = STREAMS[name]
    lines = ",\n".join(f" {json.dumps(key)}: {json.dumps(value)}" for key, value in make().items())
    return f"{{\n{lines}\n}}\n".encode(), {"layer": coder, "about": about}


def main(names: list[str]) -> None:
    made = {f"container_{name}.nzp": container(name) for name in CONTAINERS}
    made |= {f"stream_{name}.json": stream(name) for name in STREAMS}
    for name in names or made:
        data, entry = made[name]
        with open(FOLDER / name, "xb") as file:
            file.write(data)
        print(f" {json.dumps(name)}: {json.dumps(entry)},")


if __name__ == "__main__":
    main(sys.argv[1:])
