"""What keeps somebody who can't see a page from using it, as far as its HTML tells."""

from collections import Counter
from html.parser import HTMLParser

NAMED = ("a", "button", "th")
FIELDS = ("input", "select", "textarea")


def complaints(html: str) -> list[str]:
    """What has no name, no label or the name of something else; empty for a page that everybody can use."""
    page = _Page()
    page.feed(html)
    twice = [f"two {what}" for what, times in page.names.items() if times > 1]
    headings = [] if page.tags["h1"] == 1 else [f"{page.tags['h1']} h1"]
    mains = [] if page.tags["main"] == 1 else [f"{page.tags['main']} main"]
    return page.found + twice + headings + mains


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.names: Counter[str] = Counter()
        self.tags: Counter[str] = Counter()
        self._labels = 0
        self._open: list[tuple[str, str]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        known = {name: value or "" for name, value in attrs}
        self.tags[tag] += 1
        self._labels += tag == "label"
        if tag == "nav":
            self.names[f"nav {known.get('aria-label')}"] += 1
        if "id" in known:
            self.names[f"id {known['id']}"] += 1
        if tag == "main" and "role" in known:
            self.found.append(f"main is a {known['role']}")
        if "tabindex" in known and tag != "main" and "role" not in known:
            self.found.append(f"focus on a {tag} that does nothing")
        if tag in FIELDS and known.get("type") != "hidden" and not self._labels:
            self.found.append(f"no label: {known.get('name')}")
        if tag in NAMED:
            self._open.append((tag, known.get("aria-label", "")))

    def handle_data(self, data: str) -> None:
        self._open = [(tag, name + data) for tag, name in self._open]

    def handle_endtag(self, tag: str) -> None:
        self._labels -= tag == "label"
        if tag in NAMED and self._open:
            _, name = self._open.pop()
            if not name.strip():
                self.found.append(f"no name: {tag}")
