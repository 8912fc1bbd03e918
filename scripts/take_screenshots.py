"""Take screenshots of the page, from a running service on the sample corpus; docs/images/ holds some of them.

    hpdsearch serve indexes/wordnet & python scripts/take_screenshots.py http://127.0.0.1:8080/ screenshots/

It needs playwright (extra dev) and Chromium.
"""

import shutil
import sys
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, sync_playwright

SIZES = {"desktop": {"width": 1280, "height": 800}, "phone": {"width": 390, "height": 800}}
THEMES = ("light", "dark")
QUERY = "machine that measures earthquakes"


def main() -> None:
    """Take every view at every size in both themes."""
    address = sys.argv[1]
    output = Path(sys.argv[2])
    output.mkdir(parents=True, exist_ok=True)
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as running:
        browser = running.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        for size, viewport in SIZES.items():
            for theme in THEMES:
                options: dict[str, Any] = {"viewport": viewport, "color_scheme": theme}
                context = browser.new_context(**options, device_scale_factor=1.5 if size == "phone" else 1)
                page = context.new_page()
                page.goto(address)
                for name, show in VIEWS.items():
                    show(page)
                    page.wait_for_timeout(500)
                    page.screenshot(path=output / f"page-{name}-{theme}-{size}.png")
                context.close()
        browser.close()


def show_start(page: Page) -> None:
    """Show the page before the first query."""
    page.wait_for_selector("#state:not(:empty)")


def show_results(page: Page) -> None:
    """Show the results of a query, explained and placed on the map."""
    page.fill("#query", QUERY)
    page.wait_for_selector("#hits .why")
    if page.locator("#filters-button").is_visible() and page.viewport_size and page.viewport_size["width"] > 700:
        page.click("#filters-button")


def show_document(page: Page) -> None:
    """Show a whole document in the side panel."""
    page.locator("#hits .open").first.click()
    page.wait_for_selector("#panel:not([hidden])")


def show_nothing(page: Page) -> None:
    """Show a search that finds nothing."""
    page.keyboard.press("Escape")
    page.locator("#modes span", has_text="Words").click()
    page.fill("#query", "qwertzuiop")
    page.wait_for_selector("#nothing:not([hidden])")


VIEWS = {"start": show_start, "results": show_results, "document": show_document, "nothing": show_nothing}

if __name__ == "__main__":
    main()
