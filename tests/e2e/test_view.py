"""`noisepress view`, and its page in a browser."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import noisepress

BROWSER = Path("/usr/bin/chromium")
QUIET = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
USE = """
<script>
const found = [];
addEventListener("securitypolicyviolation", event => found.push(event.violatedDirective));
found.push(`files ${[...document.querySelectorAll("h1")].map(one => one.textContent)}`);
const slider = document.querySelector("input");
const shown = document.querySelector(".step");
found.push(`last ${shown.textContent}`);
slider.value = 0;
slider.dispatchEvent(new Event("input"));
found.push(`first ${shown.textContent}`);
const images = [...document.images];
Promise.all(images.map(image => image.decode())).then(() => {
  found.push(`sizes ${images.map(i => `${i.naturalWidth}x${i.naturalHeight}`)}`);
  document.body.append(Object.assign(
    document.createElement("pre"), { id: "found", textContent: found.join("\\n") }));
});
</script>
"""


@pytest.fixture
def page(tmp_path: Path, lattice_model: str) -> Path:
    """The page of a file with levels, and of one without."""
    image = np.random.default_rng(0).integers(0, 256, (40, 48, 3), np.uint8)
    (tmp_path / "a.nzp").write_bytes(noisepress.encode(image, model=lattice_model, fallback=False))
    (tmp_path / "b.nzp").write_bytes(noisepress.encode(image[:9], "png", fallback=False))
    command = [sys.executable, "-m", "noisepress", "view", "a.nzp", "b.nzp", "-o", "out.html"]
    done = subprocess.run(
        [*command, "--model", lattice_model], cwd=tmp_path, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    again = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert again.returncode == 2 and "out.html exists" in again.stderr
    return tmp_path / "out.html"


def test_the_page_needs_nothing_else(page: Path) -> None:
    text = page.read_text()
    assert "http:" not in text and "https:" not in text and " src=" not in text
    assert text.count("data:image/png;base64,") == 4


@pytest.mark.slow
@pytest.mark.skipif(not BROWSER.exists(), reason="needs Chromium")
def test_in_a_browser(page: Path, tmp_path: Path) -> None:
    page.write_text(page.read_text().replace("</body>", USE + "</body>"))
    command = [str(BROWSER), *QUIET, f"--user-data-dir={tmp_path / 'profile'}"]
    command += ["--virtual-time-budget=5000", "--dump-dom", page.as_uri()]
    done = subprocess.run(command, capture_output=True, timeout=120, check=True)
    text = done.stdout.decode()
    assert 'data-ready="1"' in text
    found = text.split('<pre id="found">')[1].split("</pre>")[0].splitlines()
    sizes = [(tmp_path / f"{name}.nzp").stat().st_size for name in "ab"]
    assert found[0] == "files a.nzp,b.nzp"
    assert found[1] == f"last 100.0 % of the file: 48 x 40 from {sizes[0]:,} bytes"
    assert found[2].startswith("first ") and ": 24 x 20 from " in found[2]
    assert found[3:] == ["sizes 24x20,48x40,48x40,48x9"]
