"""How the first files of `findings/` were made: golden files with one thing wrong each.

Run by hand: `PYTHONPATH=tests python tests/fuzz/make_findings.py` writes the missing files
and prints their lines for `manifest.json`. What a fuzzer finds goes into the folder as it is.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from fuzz.damage import outcomes

from noisepress.bitstream.container import Header, Section, pack_member, read, write
from noisepress.codec.archive import files_of

TESTS = Path(__file__).parents[1]
GOLDEN, FOLDER = TESTS / "golden" / "codec", TESTS / "fuzz" / "findings"
Change = Callable[[Header, list[Section]], tuple[Header, list[Section]]]


def header(**fields: Any) -> Change:
    """Common fields changed."""
    return lambda h, s: (replace(h, **fields), s)


def parameter(place: int, *values: int) -> Change:
    """Bytes of the codec's own fields changed; a negative place counts from the end."""

    def change(h: Header, s: list[Section]) -> tuple[Header, list[Section]]:
        at = place % len(h.parameters)
        changed = h.parameters[:at] + bytes(values) + h.parameters[at + 1 :]
        return replace(h, parameters=changed), s

    return change


def section(at: int, change: Callable[[bytes], bytes]) -> Change:
    """The payload of a section changed."""
    return lambda h, s: (
        h,
        [
            Section(old.kind, change(old.payload)) if index == at % len(s) else old
            for index, old in enumerate(s)
        ],
    )


def sections(change: Callable[[list[Section]], list[Section]]) -> Change:
    return lambda h, s: (h, change(s))


def member(at: int, change: Change) -> Change:
    """A member of the first group of an archive changed."""

    def changed(payload: bytes, count: int) -> bytes:
        files, details = files_of(payload, count)
        out, before = b"", None
        for index, file in enumerate(map(read, files)):
            new = read(write(*change(file.header, list(file.sections)))) if index == at else file
            out += pack_member(new, before)
            before = new.header.parameters
        return out + details

    return lambda h, s: (
        h,
        [s[0], Section(s[1].kind, changed(s[1].payload, s[0].payload[0])), *s[2:]],
    )


FINDINGS: dict[str, tuple[str, str, Change]] = {
    "ardm_order": ("lattice_grey", "an order that does not exist", parameter(0, 7)),
    "ardm_block": ("lattice_blocks", "a block of 15 pixels", parameter(-3, 15)),
    "ardm_digest": ("lattice_grey", "another model of that number", parameter(3, 0)),
    "ardm_model": ("lattice_grey", "a model that does not exist", parameter(1, 0x91)),
    "ardm_left_over": ("lattice_grey", "a byte after the fields", parameter(-1, 0, 0)),
    "ardm_width": ("lattice_grey", "more columns than were coded", header(width=72)),
    "ardm_pyramid": ("lattice_grey", "more levels than sections", header(width=700, height=20)),
    "ardm_layout": ("lattice_grey", "16 bits without a section of values", header(mode=7)),
    "ardm_bilevel": ("lattice_grey", "a layout that ardm leaves to others", header(mode=0)),
    "ardm_alone": ("lattice_deep", "16 bits without online mixing", parameter(-2, 0)),
    "ardm_shift": ("lattice_deep", "levels too coarse", section(0, lambda p: b"\x09" + p[1:])),
    "ardm_values": ("lattice_deep", "no values in use", section(0, lambda p: p[:1])),
    "ardm_deep_ones": ("lattice_deep", "a section of ones", section(1, lambda p: b"\xff" * 200)),
    "ardm_map": ("lattice_deep_ranks", "a map cut short", section(0, lambda p: p[:40])),
    "ardm_check": ("lattice_grey", "the checksum of other samples", header(check=1)),
    "ardm_empty": ("lattice_grey", "a section without a byte", section(0, lambda p: b"")),
    "ardm_ones": ("lattice_grey", "a section of ones", section(0, lambda p: b"\xff" * 200)),
    "ardm_cut": (
        "lattice_blocks",
        "a payload cut in half",
        section(-1, lambda p: p[: len(p) // 2]),
    ),
    "ardm_ranks": (
        "lattice_ranks",
        "ranks above those of the values in use",
        section(0, lambda p: b""),
    ),
    "random_calls": ("random_equal", "fewer calls than stages", parameter(-1, 3)),
    "random_schedule": ("random_equal", "a schedule that does not exist", parameter(-2, 2)),
    "random_grey": ("random_equal", "a grey image in random order", header(mode=1)),
    "vdm_steps": ("vdm_small", "a chain without a step", parameter(-2, 0, 0)),
    "vdm_coarse": ("vdm_small", "a coarse model that does not exist", parameter(6, 0x91)),
    "vdm_no_stack": ("vdm_small", "details without a stack", section(-2, lambda p: p[:1])),
    "vdm_plain": (
        "vdm_small",
        "more plain tiles than tiles",
        section(-2, lambda p: b"\x7f" + p[1:]),
    ),
    "vdm_sections": ("vdm_small", "no section of details", sections(lambda s: s[1:])),
    "diffc_states": ("diffc_rgb", "a trellis without states", parameter(7, 0)),
    "diffc_reverse": ("diffc_rgb", "a coder that does not exist", parameter(6, 2)),
    "diffc_levels": ("diffc_small", "steps beyond the highest level", sections(lambda s: s * 9)),
    "diffc_ones": ("diffc_rgb", "a section of ones", section(0, lambda p: b"\xff" * 200)),
    "diffc_layout": ("diffc_rgb", "a layout of 16 bits", header(mode=7)),
    "hfd_step": ("hfd_pixel", "a step of zero", parameter(6, 0)),
    "hfd_sections": ("hfd_rgb", "sections too many", sections(lambda s: [*s, *s])),
    "hfd_ones": ("hfd_rgb", "a section of ones", section(0, lambda p: b"\xff" * 200)),
    "hfd_cut": ("hfd_large", "a payload cut in half", section(-1, lambda p: p[: len(p) // 2])),
    "hfd_layout": ("hfd_rgb", "a layout of 16 bits", header(mode=7)),
    "hfd_opacity": (
        "hfd_grey_alpha",
        "opacity packed in an unknown way",
        section(-1, lambda p: b"\7" + p[1:]),
    ),
    "hfd_opacity_size": ("hfd_grey_alpha", "opacity of another size", header(width=10)),
    "webp_foreign": (
        "webp_grey_alpha",
        "not a WebP file",
        section(0, lambda p: b"RIFF" + bytes(30)),
    ),
    "webp_cut": ("webp_palette", "a cut WebP", section(0, lambda p: p[:-7])),
    "webp_size": ("webp_grey_alpha", "a WebP of another size", header(height=7)),
    "webp_parameters": (
        "webp_grey_alpha",
        "fields that WebP does not have",
        lambda h, s: (replace(h, parameters=b"\0"), s),
    ),
    "webp_palette": ("webp_palette", "a palette of one colour", section(-1, lambda p: b"\0\0abc")),
    "png_depth": ("png_rgb16", "a PNG of other depth", header(mode=3)),
    "jpegxl_size": ("jpegxl_rgba16", "a JPEG XL image of another size", header(width=10)),
    "jpegxl_depth": ("jpegxl_rgba16", "16 bits in an 8-bit layout", header(mode=4)),
    "jpegxl_layout": ("jpegxl_rgba16", "opacity in a layout without it", header(mode=7)),
    "jpegxl_cut": ("jpegxl_rgba16", "a cut codestream", section(0, lambda p: p[:-20])),
    "jpegxl_boxes": (
        "jpegxl_rgba16",
        "boxes around the codestream",
        section(0, lambda p: b"\0\0\0\x0cJXL \r\n\x87\n" + p),
    ),
    "jpegxl_palette": (
        "jpegxl_palette",
        "indices packed in an unknown way",
        section(0, lambda p: b"\7" + p[1:]),
    ),
    "jpegxl_parameters": (
        "jpegxl_bilevel",
        "fields that JPEG XL does not have",
        lambda h, s: (replace(h, parameters=b"\0"), s),
    ),
    "screen_kind": ("screen_page", "neither pixels nor a page", parameter(0, 2)),
    "screen_colour": ("screen_page", "a colour that the layout lacks", parameter(-1, 0x80, 2)),
    "screen_layout": ("screen_rgba", "a layout of 16 bits", header(mode=9)),
    "screen_cut": ("screen_rgba", "a payload cut in half", section(-1, lambda p: p[: len(p) // 2])),
    "screen_ones": ("screen_rgba", "a payload of ones", section(-1, lambda p: b"\xff" * 200)),
    "reduction_mode": (
        "png_levels",
        "a layout that does not exist",
        section(0, lambda p: b"\x0b" + p[1:]),
    ),
    "reduction_simpler": (
        "png_levels",
        "a simpler image that is not simpler",
        section(0, lambda p: b"\5" + p[1:]),
    ),
    "reduction_values": ("png_levels", "a list cut short", section(0, lambda p: p[:-3])),
    "reduction_left_over": ("png_two_levels", "bytes left over", section(0, lambda p: p + b"?")),
    "reduction_both": (
        "png_two_levels",
        "samples both multiplied and scaled",
        section(0, lambda p: p[:-1] + b"\xff\1"),
    ),
    "reduction_cut": ("png_two_levels", "a field cut short", section(0, lambda p: p[:2])),
    "reduction_layout": ("png_levels", "levels of 16 bits in an 8-bit layout", header(mode=1)),
    "jpegfile_payload": (
        "jpegfile_transcoded",
        "JPEG XL that was changed",
        section(0, lambda p: p[:200] + b"\xff" + p[201:]),
    ),
    "jpegfile_zeros": ("jpegfile_transcoded", "no JPEG XL", section(0, lambda p: bytes(90))),
    "jpegfile_packing": ("jpegfile_stored", "a file that is not deflated", parameter(0, 1)),
    "jpegfile_unknown": ("jpegfile_stored", "a packing that does not exist", parameter(0, 3)),
    "jpegfile_crc": ("jpegfile_stored", "another JPEG file", section(0, lambda p: p + b"?")),
    "jpegfile_size": ("jpegfile_stored", "more columns than the picture", header(width=10)),
    "jpegfile_layout": ("jpegfile_stored", "the layout of another picture", header(mode=3)),
    "jpegfile_check": ("jpegfile_transcoded", "the checksum of other samples", header(check=1)),
    "jpegfile_sections": ("jpegfile_stored", "two files", sections(lambda s: s * 2)),
    "metadata_damaged": ("lattice_metadata", "deflated bytes changed", section(2, lambda p: p[:9])),
    "metadata_packing": (
        "lattice_metadata",
        "a profile packed in an unknown way",
        section(2, lambda p: b"\x09" + p[1:]),
    ),
    "archive_count": ("vdm_archive", "more images than groups", section(0, lambda p: b"\2\x70")),
    "archive_index": ("vdm_archive", "an index that ends early", section(0, lambda p: p[:-3])),
    "archive_left_over": ("vdm_archive", "bytes after the index", section(0, lambda p: p + b"a")),
    "archive_name": (
        "vdm_archive",
        "a name with a slash",
        section(0, lambda p: p.replace(b"b.png", b"b/png")),
    ),
    "archive_twice": (
        "vdm_archive",
        "two images of one name",
        section(0, lambda p: p.replace(b"b.png", b"a.png")),
    ),
    "archive_group": ("vdm_archive", "a group that ends early", section(1, lambda p: p[:40])),
    "archive_member": (
        "vdm_archive",
        "a member of no layout",
        section(1, lambda p: b"\5\77" + p[2:]),
    ),
    "archive_layout": (
        "vdm_archive",
        "another layout in the index than in the member",
        section(0, lambda p: p[:2] + b"\1" + p[3:]),
    ),
    "archive_frames_first": (
        "frames_archive",
        "a first frame that goes on after none",
        member(0, parameter(-1, 1)),
    ),
    "archive_frames_start": (
        "frames_archive",
        "a start that does not exist",
        member(1, parameter(-1, 2)),
    ),
    "archive_frames_anew": (
        "frames_archive",
        "a frame that starts anew and was coded after another",
        member(1, parameter(-1, 0)),
    ),
    "archive_frames_width": (
        "frames_archive",
        "a frame of another size than the one it follows",
        member(2, header(width=70)),
    ),
    "archive_frames_ones": (
        "frames_archive",
        "a frame of ones",
        member(1, section(-2, lambda p: b"\xff" * 200)),
    ),
    "archive_size": (
        "vdm_archive",
        "another size in the index than in the member",
        section(0, lambda p: p[:3] + bytes([p[3] + 1]) + p[4:]),
    ),
}


def main() -> None:
    for name, (golden, about, change) in FINDINGS.items():
        path = FOLDER / f"{name}.nzp"
        if path.exists():
            continue
        contents = read((GOLDEN / f"{golden}.nzp").read_bytes())
        path.write_bytes(write(*change(contents.header, list(contents.sections))))
        found = outcomes(path.read_bytes(), [str(model) for model in GOLDEN.glob("*.safetensors")])
        error = found["Archive" if name.startswith("archive") else "decode"]
        print(f' "{path.name}": {json.dumps({"about": about, "error": error})},')


if __name__ == "__main__":
    main()
