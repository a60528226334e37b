"""A picture of an HTML page by headless Chromium: `python -m benchmarks.screenshots a.html a.png`.

Whole pages are taken, without network. `--select` takes one element instead, `--height` cuts.
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Sequence
from pathlib import Path


def browser() -> str | None:
    """Where Chromium is."""
    names = ("/usr/bin/chromium", "chromium", "google-chrome")
    return next((found for name in names if (found := shutil.which(name))), None)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("html", type=Path)
    parser.add_argument("png", type=Path)
    parser.add_argument("width", type=int, nargs="?", default=1280)
    parser.add_argument("--dark", action="store_true")
    parser.add_argument("--select", help="CSS selector of the one element to take")
    parser.add_argument("--height", type=int, help="take only so much of the page, from the top")
    options = parser.parse_args(argv)
    from playwright.sync_api import sync_playwright

    path = browser()
    if path is None:
        parser.error("no chromium or google-chrome on PATH")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        context = chromium.new_context(
            offline=True,
            viewport={"width": options.width, "height": options.height or 900},
            color_scheme="dark" if options.dark else "light",
        )
        page = context.new_page()
        page.goto(options.html.resolve().as_uri())
        if options.select:
            page.locator(options.select).first.screenshot(path=options.png)
        else:
            page.screenshot(path=options.png, full_page=options.height is None)
        chromium.close()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
