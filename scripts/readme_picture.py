"""Make docs/report.png: the report of west-phoenix-best in headless Chromium, two views of it.

    CALICHE_DATA=... python scripts/readme_picture.py

Needs Chromium, chromedriver and the package selenium.
"""

from __future__ import annotations

import io
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image
from selenium import webdriver
from selenium.webdriver.chrome.service import Service

SIZE = (1000, 1240)
OUT = Path(__file__).resolve().parent.parent / "docs" / "report.png"
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--hide-scrollbars",
    "--disable-background-networking",
    "--disable-component-update",
)


def view(browser: webdriver.Chrome, anchor: str) -> Image.Image:
    browser.execute_script("document.querySelector(arguments[0]).scrollIntoView()", anchor)
    return Image.open(io.BytesIO(browser.get_screenshot_as_png())).convert("RGB")


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        command = [sys.executable, "-m", "caliche", "estimate", "west-phoenix-best"]
        subprocess.run([*command, "--out", str(run)], check=True)
        options = webdriver.ChromeOptions()
        options.binary_location = "/usr/bin/chromium"
        for flag in FLAGS:
            options.add_argument(flag)
        browser = webdriver.Chrome(options=options, service=Service("/usr/bin/chromedriver"))
        try:
            browser.execute_cdp_cmd(
                "Emulation.setDeviceMetricsOverride",
                {"width": SIZE[0], "height": SIZE[1], "deviceScaleFactor": 1, "mobile": False},
            )
            browser.get((run / "report.html").as_uri())
            left, right = view(browser, "body"), view(browser, "#series")
        finally:
            browser.quit()
    picture = Image.new("RGB", (left.width + right.width, left.height), "white")
    picture.paste(left, (0, 0))
    picture.paste(right, (left.width, 0))
    picture = picture.resize((picture.width * 7 // 10, picture.height * 7 // 10), Image.LANCZOS)
    picture.quantize(64).save(OUT, optimize=True)
    print(OUT, OUT.stat().st_size // 1024, "KiB")


if __name__ == "__main__":
    main()
