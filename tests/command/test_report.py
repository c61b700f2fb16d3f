"""The page of ``neurenix eval``: what it holds, and in a browser that it sorts and that the slider shows what it says."""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

import neurenix as nx
from neurenix import png
from neurenix.command import main
from neurenix.command.report import pictures_of, write_report
from neurenix.examples.shared import load_nuclei

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
ROWS = [
    {"image": "b.png", "page": None, "IoU": 0.5, "Dice": 0.25},
    {"image": "a <i>.png", "page": 2, "IoU": 0.125, "Dice": 0.75},
    {"image": "c10.png", "page": None, "IoU": float("nan"), "Dice": 1.0},
]


def written(path: Path) -> str:
    rng = np.random.default_rng(0)
    masks = [rng.integers(0, 2, (8, 9)) for _ in range(4)]
    pictures = [pictures_of(rng.random((1, 8, 9)), masks[i], masks[i + 1] > 0) for i in range(3)]
    write_report(path, "model & images", ROWS, {"IoU": 0.4, "Dice": 0.5}, pictures)
    return path.read_text(encoding="utf-8")


def test_the_page_holds_everything(tmp_path: Path) -> None:
    class Balanced(HTMLParser):
        def __init__(self) -> None:
            super().__init__()
            self.open_tags: list[str] = []

        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            if tag not in ("meta", "img", "input"):
                self.open_tags.append(tag)

        def handle_endtag(self, tag: str) -> None:
            assert self.open_tags.pop() == tag

    page = written(tmp_path / "report.html")
    parser = Balanced()
    parser.feed(page)
    assert parser.open_tags == []
    assert "model &amp; images" in page
    assert "a &lt;i&gt;.png, page 2" in page
    assert not re.search(r'(src|href)="(?!data:|#)', page)
    assert [len(re.findall(f'class="{layer}"', page)) for layer in ("image", "truth", "found")] == [3, 3, 3]


def test_pictures_are_the_images_and_large_ones_are_thinned() -> None:
    image, labels = load_nuclei()
    addresses = pictures_of(image[None], labels, labels > 0)
    pixels = [png.decode(base64.b64decode(a.split(",")[1]))[0] for a in addresses]
    assert np.array_equal(pixels[0][..., 0] > 0, np.rint((image - image.min()) * (255.0 / np.ptp(image))) > 0)
    assert np.array_equal(pixels[1], nx.overlay(pixels[0], labels, fill=0.4))
    assert not np.array_equal(pixels[1], pixels[2])
    large = np.zeros((3, 1300, 50), np.float32)
    assert png.decode(base64.b64decode(pictures_of(large, large[0], large[0])[0].split(",")[1]))[0].shape == (434, 17, 3)


def test_eval_writes_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    image, labels = load_nuclei()
    images, masks = tmp_path / "images", tmp_path / "masks"
    for folder, pixels in ((images, image), (masks, np.where(labels > 0, 255, 0).astype(np.uint8))):
        folder.mkdir()
        for i in range(2):
            (folder / f"{i}.png").write_bytes(png.encode(np.ascontiguousarray(pixels[64 * i : 64 * i + 64, :80])))
    assert main(["train", str(images), str(masks), "--out", str(tmp_path / "run"), "--steps", "20", "--features", "4", "--crop", "48"]) == 0
    common = ["eval", str(tmp_path / "run" / "best.nx"), str(images), str(masks)]
    assert main([*common, "--report", str(tmp_path / "none" / "report.html")]) == 1
    assert "make it first" in capsys.readouterr().err
    assert main([*common, "--report", str(tmp_path / "report.html"), "--json"]) == 0
    pooled = json.loads(capsys.readouterr().out)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert f"<dt>IoU</dt><dd>{pooled['IoU']:.4f}</dd>" in page
    assert page.count("<figure ") == 2


PROBE = """
<script>
const told = {}, order = () => [...document.querySelectorAll("tbody tr")].map(row => row.cells[0].textContent);
const heads = [...document.querySelectorAll("th button")];
told.first = order();
for (const [name, clicks] of [["image", [0]], ["falling", [0]], ["IoU", [1]], ["Dice", [2, 2]]]) {
  clicks.forEach(i => heads[i].click());
  told[name] = order();
}
told.sorts = [...document.querySelectorAll("th")].map(head => head.getAttribute("aria-sort"));
told.figures = [...document.querySelectorAll("figcaption")].map(caption => caption.textContent);
const slider = document.querySelector("input"), stage = slider.closest("figure").querySelector(".stage");
const shown = () => ["truth", "found"].map(layer => getComputedStyle(stage.querySelector("." + layer)).clipPath);
told.shown = [0, 100, 150, 200].map(at => { slider.value = at; slider.dispatchEvent(new Event("input", {bubbles: true})); return shown(); });
told.sizes = [...stage.children].map(image => image.naturalWidth);
document.body.innerHTML = "<pre id=told></pre>";
document.getElementById("told").textContent = JSON.stringify(told);
</script>
"""


@pytest.mark.skipif(CHROMIUM is None and not os.environ.get("NEURENIX_REQUIRE_CHROMIUM"), reason="no Chromium here")
def test_in_a_browser(tmp_path: Path) -> None:
    assert CHROMIUM is not None, "NEURENIX_REQUIRE_CHROMIUM is set, and there is no Chromium"
    (tmp_path / "page.html").write_text(written(tmp_path / "report.html").replace("</body>", PROBE + "</body>"), encoding="utf-8")
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom"]
    done = subprocess.run([*command, (tmp_path / "page.html").as_uri()], capture_output=True, text=True, check=True, timeout=60)
    found = re.search(r'<pre id="told">(.*)</pre>', done.stdout, re.DOTALL)
    assert found is not None, done.stdout[-2000:]
    told = json.loads(found.group(1).replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&"))
    a, b, c = "a <i>.png, page 2", "b.png", "c10.png"
    assert told["first"] == [b, a, c]
    assert told["image"] == [a, b, c]
    assert told["falling"] == [c, b, a]
    assert told["IoU"][:2] == [a, b]
    assert told["Dice"] == told["figures"] == [c, a, b]
    assert told["sorts"] == [None, None, "descending"]
    nothing, half, all_of_it = "inset(0px 100% 0px 0px)", "inset(0px 50% 0px 0px)", "inset(0px)"
    seen = [[v.replace("calc(100% - 0%)", "100%").replace("inset(0px 0% 0px 0px)", all_of_it) for v in row] for row in told["shown"]]
    assert seen == [[nothing, nothing], [all_of_it, nothing], [all_of_it, half], [all_of_it, all_of_it]]
    assert told["sizes"] == [9, 9, 9]
