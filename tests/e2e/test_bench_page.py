"""The report's page in a browser."""

from __future__ import annotations

import math
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from noisepress.benchmarks.report import write_report
from noisepress.benchmarks.results import Measurement, Results, Setting

BROWSER = Path("/usr/bin/chromium")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not BROWSER.exists(), reason="needs Chromium"),
]

QUIET = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)

USE = """
<script>
const found = [];
const say = text => found.push(text);
addEventListener("securitypolicyviolation", event => say(`blocked ${event.violatedDirective}`));
const dots = () => document.querySelectorAll("#chart .dot").length;
const tip = () => document.querySelector(".tip");
const hits = () => [...document.querySelectorAll("#chart .hit")];
const key = name => document.activeElement.dispatchEvent(
  new KeyboardEvent("keydown", { key: name, bubbles: true, cancelable: true }));
say(`dots ${dots()}`);
document.querySelector("#legend button").click();
say(`dots with one codec hidden ${dots()}`);
document.querySelector("#legend button").click();
document.querySelectorAll("#metrics button")[1].click();
say(`dots of the second metric ${dots()}`);
document.querySelectorAll("#metrics button")[0].click();
hits()[0].dispatchEvent(new PointerEvent("pointerenter"));
say(`hover ${tip().hidden} ${tip().textContent}`);
hits()[0].dispatchEvent(new PointerEvent("pointerleave"));
say(`after hover ${tip().hidden}`);
hits()[0].focus();
key("ArrowRight");
say(`right ${document.activeElement.getAttribute("aria-label")}`);
key("ArrowDown");
say(`down ${document.activeElement.getAttribute("aria-label")}`);
say(`one stop for the tab key ${hits().filter(hit => hit.tabIndex === 0).length}`);
const stage = document.getElementById("stage");
const divider = stage.querySelector("input");
divider.value = 25;
divider.dispatchEvent(new Event("input"));
say(`divider ${getComputedStyle(stage.querySelector(".over")).clipPath}`);
const left = document.getElementById("side-0");
say(`choices ${[...left.options].map(one => one.text).join(" | ")}`);
left.value = 0;
left.dispatchEvent(new Event("change"));
say(`left ${document.getElementById("picture-0").alt}`);
say(`right facts ${document.getElementById("facts-1").textContent}`);
const images = [...stage.querySelectorAll("img")];
Promise.all(images.map(image => image.decode())).then(() => {
  say(`sizes ${images.map(i => `${i.naturalWidth}x${i.naturalHeight}`)}`);
  const out = document.createElement("pre");
  out.id = "found";
  out.textContent = found.join("\\n");
  document.body.append(out);
});
</script>
"""


def picture(seed: int) -> Image.Image:
    noise = np.random.default_rng(seed).integers(0, 256, (12, 16, 3), np.uint8)
    return Image.fromarray(noise).resize((192, 144), Image.Resampling.BICUBIC)


@pytest.fixture
def page(tmp_path: Path) -> Path:
    """A report of two lossy codecs on one picture."""
    folder = tmp_path / "pictures" / "a"
    folder.mkdir(parents=True)
    original = picture(0)
    original.save(folder / "original.png")
    measured = []
    for codec, step in (("jpeg", 1.0), ("webp", 0.75)):
        for quality in (20, 50, 80):
            setting = Setting(codec, {"quality": quality})
            size = round(step * 60 * quality)
            psnr = 20 + 6 * math.log2(quality)
            values = {"psnr": psnr, "ms-ssim": 1 - 1 / quality}
            if codec == "webp":
                values["ssimulacra2"] = float(quality)
            original.quantize(quality).convert("RGB").save(folder / f"{setting.slug}.png")
            measured.append(
                Measurement(
                    image="a.png",
                    setting=setting,
                    width=192,
                    height=144,
                    size=size,
                    encode_s=0.1,
                    decode_s=0.1,
                    quality=values,
                )
            )
    return write_report(Results({"processor": "abacus"}, tuple(measured)), tmp_path)


def browse(page: Path, profile: Path, *arguments: str) -> str:
    command = [str(BROWSER), *QUIET, f"--user-data-dir={profile}", *arguments, page.as_uri()]
    done = subprocess.run(command, capture_output=True, timeout=120, check=True)
    return done.stdout.decode()


def test_scripts_run(page: Path, tmp_path: Path) -> None:
    assert 'data-ready="1"' in browse(page, tmp_path / "profile", "--dump-dom")


def test_controls(page: Path, tmp_path: Path) -> None:
    used = page.with_name("used.html")
    used.write_text(page.read_text().replace("</body>", USE + "</body>"))
    text = browse(used, tmp_path / "profile", "--virtual-time-budget=5000", "--dump-dom")
    found = text.split('<pre id="found">')[1].split("</pre>")[0].splitlines()
    assert found == [
        "dots 6",
        "dots with one codec hidden 3",
        "dots of the second metric 6",
        "hover false jpeg quality=200.347 bpp, 45.93 dB, 1 image",
        "after hover true",
        "right jpeg quality=50: 0.868 bits per pixel, PSNR 53.86 dB",
        "down webp quality=50: 0.651 bits per pixel, PSNR 53.86 dB",
        "one stop for the tab key 1",
        "divider inset(0px 0px 0px 25%)",
        "choices original | jpeg quality=20, 0.347 bpp | jpeg quality=50, 0.868 bpp | "
        "jpeg quality=80, 1.389 bpp | webp quality=20, 0.260 bpp | webp quality=50, 0.651 bpp | "
        "webp quality=80, 1.042 bpp",
        "left a.png, original",
        "right facts Rate1.042 bppFile3,600 bytesPSNR57.93&nbsp;dBMS-SSIM0.9875SSIMULACRA 280.00",
        "sizes 192x144,192x144",
    ]


@pytest.mark.parametrize("scheme", [(), ("--force-dark-mode",)], ids=["light", "dark"])
def test_it_paints(page: Path, tmp_path: Path, scheme: tuple[str, ...]) -> None:
    shot = tmp_path / "shot.png"
    browse(page, tmp_path / "profile", *scheme, f"--screenshot={shot}", "--window-size=900,1200")
    with Image.open(shot) as painted:
        assert painted.size == (900, 1200)
        dark = np.asarray(painted.convert("L")).mean() < 128
        assert dark == bool(scheme)
