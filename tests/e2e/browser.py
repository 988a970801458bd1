"""Debian's Chromium, headless, driven by playwright. Where it is missing, the tests that need it say so and pass by."""

import shutil
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Literal

from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Page, Request, async_playwright

from tests.programs import ROOT, needs

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
SCREENSHOTS = ROOT / "build" / "screenshots"
"""What the tests saw, kept for people; git ignores it."""
Look = tuple[Literal["light", "dark"], int]
LOOKS: tuple[Look, ...] = (("light", 1280), ("dark", 1280), ("light", 320))
PHONE: tuple[Look, ...] = (("light", 320),)
needs_chromium = needs("chromium")


@asynccontextmanager
async def open_browser() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        try:
            yield browser
        finally:
            await browser.close()


@asynccontextmanager
async def open_page(screenshots: Path) -> AsyncIterator[Page]:
    """One page of a fresh browser. What it throws or logs as an error fails the test."""
    screenshots.mkdir(parents=True, exist_ok=True)
    complaints: list[str] = []
    async with open_browser() as browser:
        page = await browser.new_page(viewport={"width": 900, "height": 700})
        page.on("pageerror", lambda error: complaints.append(str(error)))
        yield page
    assert complaints == []


class Person:
    """Somebody in front of a browser of his own. Whatever a page throws, logs as an error or asks from elsewhere than
    `origins` is a complaint."""

    def __init__(self, context: BrowserContext, page: Page, origins: Sequence[str]) -> None:
        self.page = page
        self.complaints: list[str] = []
        self._context, self._origins = context, tuple(origins)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("console", self._heard)
        page.on("request", self._asked)
        page.on("dialog", lambda dialog: self.complaints.append(f"dialog: {dialog.message}"))

    def _heard(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(f"{message.type}: {message.text}")

    def _asked(self, request: Request) -> None:
        if not request.url.startswith(self._origins):
            self.complaints.append(f"asked for {request.url}")

    async def keys(self, *keys: str) -> None:
        """Press keys one after the other; a word is typed."""
        for key in keys:
            if len(key) > 1 and key not in ("Enter", "Tab", "Escape", "Space", "ArrowDown"):
                await self.page.keyboard.type(key)
            else:
                await self.page.keyboard.press(key)

    async def tab_to(self, element_id: str, most: int = 80) -> None:
        """Walk with the Tab key until the element has the focus."""
        for _ in range(most):
            if await self.page.evaluate("document.activeElement && document.activeElement.id") == element_id:
                return
            await self.page.keyboard.press("Tab")
        raise AssertionError(f"Tab does not reach #{element_id} on {self.page.url}")

    async def sees(self, text: str, within: str = "main", seconds: float = 30) -> None:
        """Wait until the text is there, without loading the page anew."""
        await self.page.locator(within, has_text=text).first.wait_for(timeout=seconds * 1000)

    async def shot(self, name: str, looks: Sequence[Look] = LOOKS) -> None:
        """Keep what is to be seen, in light and dark, wide and at a phone's width; nothing sticks out to the side."""
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        for scheme, width in looks:
            await self.page.emulate_media(color_scheme=scheme)
            await self.page.set_viewport_size({"width": width, "height": 860})
            look = "phone" if width < 700 else scheme
            await self.page.screenshot(path=SCREENSHOTS / f"{name}-{look}.png", full_page=True)
            wide = await self.page.evaluate("document.documentElement.scrollWidth")
            assert wide <= width, f"{name} is {wide} wide at {width}"
        await self.page.emulate_media(color_scheme="light")
        await self.page.set_viewport_size({"width": 1280, "height": 860})


@asynccontextmanager
async def person(browser: Browser, *origins: str) -> AsyncIterator[Person]:
    """A browser profile of one's own; complaints fail the test at its end."""
    context = await browser.new_context(viewport={"width": 1280, "height": 860})
    somebody = Person(context, await context.new_page(), origins)
    yield somebody
    assert somebody.complaints == [], somebody.complaints
    await context.close()
