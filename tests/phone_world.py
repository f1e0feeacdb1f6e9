"""People with phones for the tests of phone pages: licences of theirs, a browser that is a phone, a camera for its screen."""

from __future__ import annotations

import io
import json
from typing import Any

from api.sessions import CITIZEN_COOKIE
from people.demo import demo_citizen
from tests import citizens
from tests.browser import Person
from tests.node_home import EXAMPLES, Service

SHOP = "云江市样本百货店"


def issue(service: Service, *, name: str = SHOP, key: str) -> dict[str, Any]:
    """A business licence whose legal representative is the demo's shop owner."""
    service.registrar()
    node = service.node
    made, _ = node.licences.issue(node.actor(None), "business-licence", shop_data(name), idempotency_key=key)
    return dict(made)


def shop_data(name: str = SHOP) -> dict[str, Any]:
    """What the licence says, and whose it is."""
    data: dict[str, Any] = json.loads((EXAMPLES / "licence.json").read_text("utf-8"))
    owner = demo_citizen("owner")
    return data | {"name": name, "representative": owner.name, "representative_id": owner.id_number}


class Phone(Person):
    """Somebody's phone: a browser 390 px wide, in which they sign in as a citizen."""

    def __init__(
        self,
        browser: Any,
        service: Service,
        *,
        lang: str = "zh",
        scheme: str = "light",
        large: bool = False,
        zoom: int = 1,
    ) -> None:
        super().__init__(browser, service, size="phone", lang=lang, scheme=scheme, zoom=zoom)
        if large:
            self.context.add_cookies([{"name": "xinyin_large", "value": "1", "url": self.base}])

    def sign_in(self, key: str) -> None:
        """Be one of the demo's citizens."""
        signed_in = citizens.browser(self.service.node, key)
        self.citizen = signed_in.citizen
        self.context.add_cookies([{"name": CITIZEN_COOKIE, "value": signed_in.token, "url": self.base, "httpOnly": True}])

    def leave(self) -> None:
        """Close the phone; its copies go, because a licence is on three phones at most."""
        copies = self.service.node.copies
        for copy in copies.mine(self.citizen):
            if copy["ended_at"] is None:
                copies.remove(self.citizen, copy["id"])
        self.close()

    def download(self, licence: str) -> None:
        """Put a licence on this phone, by the page's own buttons; leaves the page that shows it."""
        self.go(f"/phone/download/{licence}")
        self.page.get_by_role("button", name="下载" if self.lang == "zh" else "Download", exact=True).click()
        self.page.wait_for_url("**/phone/show#*")
        self.shown()

    def shown(self) -> str:
        """What a camera reads on the screen."""
        import zxingcpp
        from PIL import Image

        self.page.locator("[data-shell][data-asked]").wait_for()  # once open, the page asks how its licences stand
        canvas = self.page.locator("[data-canvas]")
        canvas.wait_for(state="visible")
        self.page.locator("[data-canvas][data-drawn]").wait_for()
        self.page.locator("[data-canvas]").evaluate("(canvas) => canvas.scrollIntoView({ block: 'center' })")
        for _ in range(10):  # a camera looks many times a second
            found = zxingcpp.read_barcodes(Image.open(io.BytesIO(self.page.screenshot())))
            if found:
                break
            self.page.wait_for_timeout(200)
        assert len(found) == 1, f"one code on the screen, and it can be read: {self.page.inner_text('main')}"
        return str(found[0].text)
