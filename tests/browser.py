"""A real Chromium for tests: contexts of a size, language and scheme, one-click personas, axe, and screenshots."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import pytest

from api import training
from ceremonies.training import Cases
from tests.node_home import Service
from tests.npm_packages import node_modules

CHROMIUM = shutil.which("chromium")
SIZES = {"desk": (1280, 900), "phone": (390, 844)}
SCREENSHOTS = Path(__file__).resolve().parents[1] / "build" / "screenshots"
PICTURES = not os.environ.get("CI")
"""Pictures are for people to look at; nobody looks at those of continuous integration."""
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine")


@contextmanager
def chromium(film: Path | None = None) -> Iterator[Any]:
    """The browser; skips where Playwright is not installed.

    :param film: MJPEG that its camera plays, read anew whenever the camera is switched on; nobody is asked for leave
    """
    playwright = pytest.importorskip("playwright.sync_api")
    camera = [
        "--use-fake-device-for-media-stream",
        "--use-fake-ui-for-media-stream",
        f"--use-file-for-fake-video-capture={film}",
    ]
    with playwright.sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", *(camera if film else [])])
        yield opened
        opened.close()


_UNSETTLED = re.compile("Not attached to an active page|wait_for: Timeout")


class Person:
    """Somebody with a browser of their own. ``complaints`` collects script errors and refused resources.

    :cvar options: of the browser's context, beside or instead of the usual ones
    """

    options: ClassVar[dict[str, Any]] = {}

    def __init__(
        self, browser: Any, service: Service, *, size: str = "desk", lang: str = "zh", scheme: str = "light", zoom: int = 1
    ) -> None:
        width, height = (side // zoom for side in SIZES[size])  # zoomed: fewer CSS pixels, more dots each
        # Under the node's own name: passkeys belong to it, and Chromium takes every name below localhost for this machine.
        self.base = service.url.replace("127.0.0.1", f"{service.node.region}.localhost")
        self.service = service
        self.size = size
        self.scheme = scheme
        usual = {"viewport": {"width": width, "height": height}, "device_scale_factor": zoom, "color_scheme": scheme}
        usual |= {"accept_downloads": True, "reduced_motion": "reduce"}
        self.context = browser.new_context(**{**usual, **self.options})
        self.page = self.context.new_page()
        self.complaints: list[str] = []
        self.page.on("console", lambda said: self.complaints.append(said.text) if said.type == "error" else None)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.speak(lang)

    def speak(self, lang: str) -> None:
        """Choose the language of what follows."""
        self.lang = lang
        self.context.add_cookies([{"name": "xinyin_lang", "value": lang, "url": self.base}])

    def be(self, account: str | None) -> None:
        """Be signed in as a demo account from now on, or as nobody."""
        self.context.clear_cookies(name="xinyin_session")
        if account is not None:
            accounts = self.service.node.accounts
            token = accounts.open_session(accounts.get(account)).token
            self.context.add_cookies([{"name": "xinyin_session", "value": token, "url": self.base, "httpOnly": True}])

    def learn(self, door: str | None, cases: Cases) -> None:
        """Be behind a door of the training from now on, or behind none."""
        self.context.clear_cookies(name=training.COOKIE)
        if (found := training.door(door or "")) is not None:
            value = training.Progress(found, cases.set, frozenset()).cookie()
            self.context.add_cookies([{"name": training.COOKIE, "value": value, "url": self.base}])

    def carry_passkey(self) -> None:
        """Have an authenticator in the machine, as a person with a fingerprint reader has."""
        session = self.context.new_cdp_session(self.page)
        session.send("WebAuthn.enable")
        how = {"protocol": "ctap2", "transport": "internal", "automaticPresenceSimulation": True}
        can = {"hasResidentKey": True, "hasUserVerification": True, "isUserVerified": True}
        session.send("WebAuthn.addVirtualAuthenticator", {"options": how | can})

    def go(self, path: str) -> Any:
        """Open a page; the answer."""
        return self._loaded(lambda: self.page.goto(self.base + path))

    def reload(self) -> None:
        """The page once more, which has to be there."""
        answer = self._loaded(self.page.reload)
        assert answer is None or answer.ok, (answer.url, answer.status, self.page.inner_text("body")[:500])

    def _loaded(self, load: Callable[[], Any]) -> Any:
        """Load a page, by which nothing changes, again if need be: on a busy machine Chromium now and then refuses to reload a
        page whose place another is just taking, or loses the world in which Playwright looks for elements.
        """
        from playwright.sync_api import Error

        def once(patience: int) -> Any:
            answer = load()
            self.page.locator("html").wait_for(state="attached", timeout=patience)
            return answer

        for _ in range(2):
            try:
                return once(10_000)
            except Error as exc:
                if not _UNSETTLED.search(str(exc)):
                    raise
        return once(30_000)

    def shot(self, name: str) -> None:
        """Leave a picture of the whole page in ``build/screenshots``."""
        if not PICTURES:
            return
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        self.page.evaluate("scrollTo(0, 0)")  # what sticks to the window is shown where it begins
        dark = "-dark" if self.scheme == "dark" else ""
        self.page.screenshot(path=SCREENSHOTS / f"{name}-{self.lang}-{self.size}{dark}.png", full_page=True)

    def fits(self) -> bool:
        """Nothing needs scrolling sideways."""
        return bool(self.page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth"))

    def violations(self) -> list[str]:
        """What axe finds wrong with the page as it stands."""
        self.page.evaluate(_axe())
        found = self.page.evaluate("axe.run(document, { resultTypes: ['violations'] })")
        return [
            f"{one['id']}: {one['help']} — " + "; ".join(" ".join(node["html"].split())[:160] for node in one["nodes"][:3])
            for one in found["violations"]
        ]

    def close(self) -> None:
        """Close this person's windows; there must have been no complaint."""
        self.context.close()
        assert self.complaints == [], self.complaints


def _axe() -> str:
    return (node_modules() / "axe-core" / "axe.min.js").read_text("utf-8")
