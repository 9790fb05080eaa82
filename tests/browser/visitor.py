"""A person at a browser, and everything that a page must not do while they look at it."""

import re
from collections.abc import Sequence
from urllib.parse import urlsplit

from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import ConsoleMessage, Page, Request, Response, TimeoutError

GRAVE = {"serious", "critical"}
OPTIONS = {"resultTypes": ["violations"], "preload": False, "rules": {"region": {"enabled": False}}}
"""What is found by the rule `region` is never grave, and it takes longer than most."""
STILL = """
const still = new CSSStyleSheet();
still.replaceSync("*, *::before, *::after { transition: none !important; }");
document.adoptedStyleSheets.push(still);
"""
WIDE, NARROW = {"width": 1440, "height": 900}, {"width": 390, "height": 844}


class Visitor:
    """One browser tab. `faults` collects what no page may do: script errors, failed or foreign requests."""

    def __init__(self, page: Page, address: str) -> None:
        self.page, self.address = page, address
        self.faults: list[str] = []
        self.may_answer: set[int] = set()
        """Statuses from 400 on that a test expects."""
        page.on("console", self._said)
        page.on("pageerror", lambda error: self.faults.append(f"script error on {page.url}: {error}"))
        page.on("request", self._asked)
        page.on("response", self._answered)

    def go(self, path: str) -> Response:
        """Open a page of the console; return the answer."""
        answer = self.page.goto(self.address + path)
        assert answer
        return answer

    def button(self, name: str) -> None:
        """Press what a page calls a button, link or not."""
        either = self.page.get_by_role("link", name=name, exact=True).or_(
            self.page.get_by_role("button", name=name, exact=True)
        )
        either.filter(visible=True).first.click()

    def sees(self, text: str) -> None:
        """Wait until the page's main part shows this, without loading it again."""
        try:
            self.page.locator("#main").get_by_text(text).filter(visible=True).first.wait_for()
        except TimeoutError:
            shown = re.sub(r"\s+", " ", self.page.locator("#main").inner_text())
            msg = f"no {text!r} on {self.page.url}: {shown[:1500]}"
            raise AssertionError(msg) from None

    def look_closely(self) -> None:
        """From the next page on nothing moves, and axe is there from the beginning: many pages follow."""
        self.page.emulate_media(reduced_motion="reduce")
        self.page.add_init_script(STILL)
        self.page.add_init_script(AXE_SCRIPT)

    # --- what every page has to hold -----------------------------------------------------------------------

    def barriers(self, only: Sequence[str] = ()) -> list[str]:
        """Return what stands in the way of people with disabilities, as axe-core's rules find it."""
        if not self.page.evaluate("'axe' in window"):
            self.page.evaluate(AXE_SCRIPT)
        options = OPTIONS | ({"runOnly": list(only)} if only else {})
        found = self.page.evaluate(
            "(options) => axe.run(document, options).then((all) => all.violations)", options
        )
        return [
            f"{self.page.url}: {one['id']} ({one['help']}) at {node['target']}: {node['html'][:160]} "
            f"{[check['message'] for check in node['any']][:1]}"
            for one in found
            if one["impact"] in GRAVE
            for node in one["nodes"]
        ]

    def overflow(self) -> list[str]:
        """Return how far the page is wider than its window, if it is, and what is."""
        wide = self.page.evaluate(
            """() => {
                const root = document.documentElement, limit = root.clientWidth;
                if (root.scrollWidth <= limit) return [];
                const outside = [...document.querySelectorAll("body *")].filter(
                    (one) => one.getBoundingClientRect().right > limit + 1);
                const culprits = outside.slice(0, 5).map((one) => one.outerHTML.slice(0, 120));
                return [`${root.scrollWidth - limit} px`, ...culprits];
            }"""
        )
        return [f"{self.page.url}: {wide}"] if wide else []

    def wear(self, scheme: str, size: dict[str, int]) -> None:
        """Look with a light or dark scheme, chosen as unfold's switch does, in a window of this size."""
        self.page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        self.page.set_viewport_size(size)  # type: ignore[arg-type]
        self.page.evaluate(f"document.documentElement.className = {scheme!r}")

    # --- what the browser reports --------------------------------------------------------------------------

    def _said(self, message: ConsoleMessage) -> None:
        if message.type == "error" and not message.text.startswith("Failed to load resource"):
            self.faults.append(f"console error on {self.page.url}: {message.text}")

    def _asked(self, request: Request) -> None:
        if urlsplit(request.url).scheme in {"data", "blob"}:
            return
        if not request.url.startswith(self.address + "/"):
            self.faults.append(f"{self.page.url} asks {request.url}")

    def _answered(self, response: Response) -> None:
        if response.status >= 400 and response.status not in self.may_answer:
            self.faults.append(f"{response.status} for {response.url} on {self.page.url}")
