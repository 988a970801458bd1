"""Debian's Chromium, headless, driven by playwright. Where it is missing, the tests that need it say so and pass by."""

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from playwright.async_api import Page, async_playwright

CHROMIUM = shutil.which("chromium") or ""
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
"""As root there is no sandbox; the rest keeps the browser from calling home."""
needs_chromium = pytest.mark.skipif(not CHROMIUM, reason="Chromium is not installed: pages are not looked at")


@asynccontextmanager
async def open_page(screenshots: Path) -> AsyncIterator[Page]:
    """One page of a fresh browser. What it throws or logs as an error fails the test."""
    screenshots.mkdir(parents=True, exist_ok=True)
    complaints: list[str] = []
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        try:
            page = await browser.new_page(viewport={"width": 900, "height": 700})
            page.on("pageerror", lambda error: complaints.append(str(error)))
            yield page
        finally:
            await browser.close()
    assert complaints == []
