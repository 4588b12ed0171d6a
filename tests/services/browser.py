"""A headless Chromium, from Debian, that sees this machine only."""

from __future__ import annotations

import base64
import io
import os
import platform
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt
from PIL import Image
from selenium.common.exceptions import (
    ElementClickInterceptedException,
    ElementNotInteractableException,
    StaleElementReferenceException,
)
from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement

from tests.cluster.waiting import run

PROGRAMS = {"chromium": "chromium", "chromedriver": "chromium-driver"}
DEADLINE_S = 60.0
SIZE = (1280, 800)
OPTIONS = (
    "--headless=new",
    "--disable-dev-shm-usage",
    "--disable-gpu",
    "--no-first-run",
    "--no-proxy-server",
    "--hide-scrollbars",
    # Nothing that a page asks for leaves this machine.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    # A mouse, which a headless browser lacks: plots then hide their tools until it is over them.
    "--blink-settings=primaryHoverType=2,availableHoverTypes=2,primaryPointerType=4,availablePointerTypes=4",
)
# The pixels of a picture as the page has them, whatever size it is shown at.
PIXELS = """
const canvas = document.createElement("canvas");
canvas.width = arguments[0].naturalWidth;
canvas.height = arguments[0].naturalHeight;
canvas.getContext("2d").drawImage(arguments[0], 0, 0);
return canvas.toDataURL("image/png").split(",")[1];
"""
T = TypeVar("T")


def obstacle() -> str:
    """Why no browser can be had here; empty when one can."""
    if not _missing():
        return ""
    where = f"{' and '.join(_missing())} missing"
    if os.geteuid() != 0 or not shutil.which("apt-get") or platform.freedesktop_os_release()["ID"] != "debian":
        return f"{where}: as root on Debian, apt-get install {' '.join(PROGRAMS.values())}"
    return ""


def install() -> None:
    """Install what is missing."""
    if not _missing():
        return
    env = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    apt = ["apt-get", "install", "--yes", "--no-install-recommends", "-o", "DPkg::Lock::Timeout=120"]
    run(["apt-get", "update", "-qq"], timeout_s=300)
    run([*apt, *PROGRAMS.values()], env=env, timeout_s=600)


def _missing() -> list[str]:
    return [program for program in PROGRAMS if not shutil.which(program)]


class Browser:
    """A window of Chromium. What is looked for is waited for, by what a person reads on the page."""

    def __init__(self, chrome: Chrome) -> None:
        self._chrome = chrome

    @classmethod
    @contextmanager
    def start(cls) -> Iterator[Browser]:
        """Open a window; its processes end with the block."""
        options = ChromeOptions()
        options.binary_location = shutil.which("chromium") or ""
        for option in OPTIONS:
            options.add_argument(option)
        options.add_argument(f"--window-size={SIZE[0]},{SIZE[1]}")
        if os.geteuid() == 0:
            options.add_argument("--no-sandbox")  # Chromium refuses to run as root with it.
        chrome = Chrome(options, Service(shutil.which("chromedriver")))
        try:
            chrome.set_page_load_timeout(DEADLINE_S)
            chrome.set_script_timeout(DEADLINE_S)
            # Not the window's size alone: that of the page, which screenshots have.
            device = {"width": SIZE[0], "height": SIZE[1], "deviceScaleFactor": 1, "mobile": False}
            chrome.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", device)
            yield cls(chrome)
        finally:
            chrome.quit()

    def remember(self, **items: str) -> None:
        """What pages find in the browser's local storage from now on."""
        lines = [f"localStorage.setItem({key!r}, {value!r});" for key, value in items.items()]
        script = f"try {{ {' '.join(lines)} }} catch (nowhere) {{}}"
        self._chrome.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": script})

    def open(self, url: str) -> None:
        """Open a page afresh, also where only what is behind ``#`` differs."""
        self._chrome.get("about:blank")
        self._chrome.get(url)

    def wait(self, condition: Callable[[], T], what: str) -> T:
        """The first truthy value of ``condition``; an error that says what the page shows instead."""
        deadline = time.monotonic() + DEADLINE_S
        while True:
            # A page that is being drawn takes away what was just found on it.
            with suppress(StaleElementReferenceException):
                if found := condition():
                    return found
            if time.monotonic() > deadline:
                where = f"{self.address}, which shows:\n{self.text[:2000]}"
                raise AssertionError(f"no {what} after {DEADLINE_S:g} s on {where}")
            time.sleep(0.1)

    def all(self, xpath: str) -> list[WebElement]:
        """What is there now, seen or not."""
        found: list[WebElement] = self._chrome.find_elements(By.XPATH, xpath)
        return found

    def find(self, xpath: str) -> WebElement:
        """The first that is to be seen."""
        return self.wait(lambda: [each for each in self.all(xpath) if each.is_displayed()], xpath)[0]

    def click(self, xpath: str) -> None:
        """Click the first that can be clicked, as soon as nothing lies over it."""

        def clicked() -> bool:
            for each in self.all(xpath):
                with suppress(ElementNotInteractableException, ElementClickInterceptedException):
                    each.click()
                    return True
            return False

        self.wait(clicked, f"way to click {xpath}")

    def see(self, *words: str) -> None:
        """Wait until the page shows all of these."""
        self.wait(lambda: all(each in self.text for each in words), f"words {words}")

    def pixels(self, picture: WebElement) -> npt.NDArray[np.uint8]:
        """What a picture on the page is made of: (height, width, RGB)."""
        self.wait(lambda: picture.get_property("naturalWidth"), "picture that has loaded")
        png = base64.b64decode(self._chrome.execute_script(PIXELS, picture))
        return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))

    def run(self, script: str, *arguments: object) -> object:
        """Run JavaScript in the page."""
        return self._chrome.execute_script(script, *arguments)

    def screenshot(self) -> npt.NDArray[np.uint8]:
        """The page as it looks: (height, width, RGB)."""
        return np.asarray(Image.open(io.BytesIO(self._chrome.get_screenshot_as_png())).convert("RGB"))

    def save(self, path: Path) -> None:
        """Write the page as it looks as a small PNG, in 256 colours."""
        Image.fromarray(self.screenshot()).quantize(256).save(path, optimize=True)

    @property
    def text(self) -> str:
        """All that the page shows."""
        return self._chrome.find_element(By.TAG_NAME, "body").text

    @property
    def address(self) -> str:
        return self._chrome.current_url
