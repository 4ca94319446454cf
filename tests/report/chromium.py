"""A headless Chromium, driven through chromedriver by plain WebDriver requests."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    "--disable-dev-shm-usage",
)


def missing() -> bool:
    """Whether there is no Chromium here, or nothing to drive it."""
    browsers = ("chromium", "chromium-browser", "google-chrome")
    return shutil.which("chromedriver") is None or not any(map(shutil.which, browsers))


class Chromium:
    """One window."""

    def __init__(self, address: str, profile: Path) -> None:
        self._address = address
        options: dict[str, Any] = {"args": [*FLAGS, f"--user-data-dir={profile}"]}
        binary = shutil.which("chromium") or shutil.which("chromium-browser")
        if binary:
            options["binary"] = binary
        wanted = {
            "browserName": "chrome",
            "goog:chromeOptions": options,
            "goog:loggingPrefs": {"browser": "ALL"},
        }
        body = {"capabilities": {"alwaysMatch": wanted}}
        self._session = f"/session/{self._request('POST', '/session', body)['sessionId']}"

    def _request(self, method: str, path: str, body: object = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(  # noqa: S310 - of this machine
            self._address + path, data, headers, method=method
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            raise AssertionError(error.read().decode()) from error

    def devtools(self, command: str, **parameters: object) -> Any:
        """Run a command of the DevTools protocol."""
        body = {"cmd": command, "params": parameters}
        return self._request("POST", f"{self._session}/goog/cdp/execute", body)

    def open(
        self, page: Path, fragment: str = "", *, width: int = 1280, dark: bool = False
    ) -> None:
        """Open a file, as on a screen of this width."""
        self.devtools(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=900,
            deviceScaleFactor=1,
            mobile=width < 500,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.devtools("Emulation.setEmulatedMedia", features=[scheme])
        for url in ("about:blank", page.as_uri() + (f"#{fragment}" if fragment else "")):
            self._request("POST", f"{self._session}/url", {"url": url})

    def run(self, script: str, *arguments: object) -> Any:
        """Run the body of a function in the page and return what it returns."""
        body = {"script": script, "args": list(arguments)}
        return self._request("POST", f"{self._session}/execute/sync", body)

    def console(self) -> list[str]:
        """Return what the page complained about since the last call."""
        entries = self._request("POST", f"{self._session}/se/log", {"type": "browser"})
        return [entry["message"] for entry in entries]

    def screenshot(self) -> bytes:
        """Return a picture of what the window shows."""
        return base64.b64decode(self._request("GET", f"{self._session}/screenshot"))

    def close(self) -> None:
        """End the session."""
        self._request("DELETE", self._session)


@contextmanager
def chromium(folder: Path) -> Iterator[Chromium]:
    """Start chromedriver on a free port, and a browser with a profile of its own."""
    log = folder / "driver.log"
    with log.open("w") as stream:
        driver = subprocess.Popen(
            ["chromedriver", "--port=0"],  # noqa: S607 - wherever it is
            stdout=stream,
            stderr=subprocess.STDOUT,
        )
        try:
            browser = Chromium(f"http://127.0.0.1:{_port(log)}", folder / "profile")
            yield browser
            browser.close()
        finally:
            driver.terminate()
            driver.wait()


def _port(log: Path) -> int:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        for line in log.read_text().splitlines():
            if "started successfully on port" in line:
                return int(line.rsplit(maxsplit=1)[1].rstrip("."))
        time.sleep(0.05)
    raise AssertionError(log.read_text())
