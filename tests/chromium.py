"""A page in headless Chromium, by the DevTools protocol over a pipe: no driver and no package is needed."""

import contextlib
import itertools
import json
import os
import select
import shutil
import subprocess
import time

NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")


def found():
    """The browser's path, or None."""
    return next(filter(None, map(shutil.which, NAMES)), None)


class Page:
    """An open page: ``evaluate`` runs JavaScript in it, ``errors`` are what its scripts have thrown."""

    def __init__(self, send):
        self._send = send
        self.errors = []

    def evaluate(self, expression):
        """The value of a JavaScript expression, or of the promise that it is."""
        result = self._send("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def resize(self, width, height, dark=False):
        """The size of the window, in CSS pixels, and the colour scheme that the page is told."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self._send("Emulation.setDeviceMetricsOverride", **size)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self._send("Emulation.setEmulatedMedia", features=[scheme])

    def screenshot(self):
        """The window as base64 of a PNG file."""
        return self._send("Page.captureScreenshot")["data"]


@contextlib.contextmanager
def opened(path, seconds=60):
    """A local file as a loaded `Page`; the browser has no network."""
    to_read, to_write = os.pipe()
    from_read, from_write = os.pipe()

    def at_3_and_4():
        os.dup2(to_read, 63), os.dup2(from_write, 62)  # where neither is 3 or 4
        os.dup2(63, 3), os.dup2(62, 4)

    command = [found(), "--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe"]
    command += ["--host-resolver-rules=MAP * ~NOTFOUND", "--hide-scrollbars"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen(command, preexec_fn=at_3_and_4, pass_fds=(3, 4), **quiet)
    os.close(to_read), os.close(from_write)
    deadline, numbers, waiting, loaded, session = time.monotonic() + seconds, itertools.count(1), b"", False, None

    def message():
        nonlocal waiting
        while b"\0" not in waiting:
            ready, _, _ = select.select([from_read], [], [], max(deadline - time.monotonic(), 0))
            assert ready, f"Chromium said nothing for {seconds} seconds"
            part = os.read(from_read, 1 << 20)
            assert part, "Chromium has ended"
            waiting += part
        first, _, waiting = waiting.partition(b"\0")
        return json.loads(first)

    def send(method, **params):
        nonlocal loaded
        number = next(numbers)
        asked = {"id": number, "method": method, "params": params} | ({"sessionId": session} if session else {})
        os.write(to_write, json.dumps(asked).encode() + b"\0")
        while (answer := message()).get("id") != number:
            noticed(answer)
        assert "error" not in answer, answer
        return answer["result"]

    def noticed(event):
        nonlocal loaded
        loaded = loaded or event.get("method") == "Page.loadEventFired"
        if event.get("method") == "Runtime.exceptionThrown":
            page.errors.append(event["params"]["exceptionDetails"])

    page = Page(send)
    try:
        target = send("Target.createTarget", url="about:blank")["targetId"]
        session = send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        send("Page.enable"), send("Runtime.enable")
        send("Page.navigate", url=path.resolve().as_uri())
        while not loaded:
            noticed(message())
        yield page
    finally:
        process.kill()
        process.wait()
        os.close(to_write), os.close(from_read)
