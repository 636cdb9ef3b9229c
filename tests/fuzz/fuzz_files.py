"""Coverage-guided fuzzing of everything that reads files, with atheris (extra `fuzz`, Linux).

    PYTHONPATH=tests python tests/fuzz/fuzz_files.py FOLDER -runs=100000

FOLDER is the corpus; it starts as the golden files and the earlier findings. Inputs are damaged
with right checksums (`damage.mutate_contents`). Each finding is kept as FOLDER/findings/PLACE.nzp,
one for every place in the code, and the run goes on; its options are those of libFuzzer.

A finding is an exception that is no `NoisepressError`, or a file that takes more than SECONDS
of processor time.
Pictures of codecs with networks or kernels take a hundred times as long as all else, so they are
decoded of one file in SHARE; all else is done with every file.
"""

from __future__ import annotations

import random
import sys
import time
import traceback
import zlib
from pathlib import Path

import atheris

TESTS = Path(__file__).parents[1]
COMPILED = [
    f"noisepress.bitstream.{path.stem}" for path in TESTS.parent.glob("bitstream/_[a-z]*.py")
]
"""Modules of numba kernels, whose bytecode has to stay as it is."""

with atheris.instrument_imports(
    include=["noisepress.bitstream", "noisepress.codec"], exclude=COMPILED
):
    from fuzz.damage import LIMITS, mutate, mutate_contents, outcomes

    import noisepress.codec.archive
    import noisepress.codec.ardm.coding
    import noisepress.codec.diffc.coding
    import noisepress.codec.frames.coding
    import noisepress.codec.hfd.coding
    import noisepress.codec.screen.coding
    import noisepress.codec.vdm.coding  # noqa: F401  (imported here to be instrumented)
    from noisepress.bitstream.container import outline, read
    from noisepress.bitstream.errors import NoisepressError
    from noisepress.codec.registry import by_name

GOLDEN, FINDINGS = TESTS / "golden" / "codec", TESTS / "fuzz" / "findings"
MODELS = [str(path) for path in sorted(GOLDEN.glob("*.safetensors"))]
SECONDS = 10
SHARE = 256
QUICK = {by_name(name).ID for name in ("webp", "png", "jpegxl", "jpegfile")}
LIGHT = ("inspect", "members", "truncate")


def damaged(data: bytes, max_size: int, seed: int) -> bytes:
    """Another input for libFuzzer: mostly one behind right checksums."""
    rng = random.Random(seed)
    try:
        contents = read(data)
        if contents.sections and rng.random() < 0.95:
            return mutate_contents(contents, rng)[:max_size]
    except NoisepressError:
        pass
    return mutate(data, rng)[:max_size]


class Target:
    """What atheris calls with each input.

    Args:
        folder: where findings are kept.
    """

    def __init__(self, folder: Path) -> None:
        self._folder, self._known = folder, {path.stem for path in folder.glob("*.nzp")}

    def __call__(self, data: bytes) -> None:
        start = time.process_time()
        try:
            outcomes(data, MODELS, None if zlib.crc32(data) % SHARE == 0 else _light(data))
        except Exception as error:
            frames = traceback.extract_tb(error.__traceback__)
            own = [frame for frame in frames if "/tests/" not in frame.filename][-1]
            place = f"{type(error).__name__}-{Path(own.filename).stem}-{own.lineno}"
            self._keep(place, data, "".join(traceback.format_exception(error)))
        if time.process_time() - start > SECONDS:
            self._keep(
                f"slow-{data[10:16].hex()}",
                data,
                f"{time.process_time() - start} s of the processor",
            )

    def _keep(self, place: str, data: bytes, text: str) -> None:
        if place not in self._known:
            self._known.add(place)
            (self._folder / f"{place}.nzp").write_bytes(data)
            (self._folder / f"{place}.txt").write_text(text)
            print(f"finding {place}", file=sys.stderr, flush=True)


def _light(data: bytes) -> tuple[str, ...]:
    """What is done with a file that is not among those whose pictures are decoded anyway."""
    try:
        codec = outline(data, LIMITS).header.codec
    except NoisepressError:
        return LIGHT
    return (*LIGHT, "decode") if codec in QUICK else LIGHT


def main() -> None:
    corpus = Path(sys.argv[1])
    findings = corpus / "findings"
    findings.mkdir(parents=True, exist_ok=True)
    seeds = corpus / "corpus"
    if not seeds.exists():
        seeds.mkdir()
        for path in (*GOLDEN.glob("*.nzp"), *FINDINGS.glob("*.nzp")):
            (seeds / path.name).write_bytes(path.read_bytes())
    options = [f"-artifact_prefix={findings}/", "-timeout=300", "-rss_limit_mb=4000", *sys.argv[2:]]
    for path in GOLDEN.glob("*.nzp"):  # so that no file seems slow because kernels are compiled
        outcomes(path.read_bytes(), MODELS)
    atheris.Setup([sys.argv[0], str(seeds), *options], Target(findings), custom_mutator=damaged)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
