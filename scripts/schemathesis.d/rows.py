"""Sends an event that tells of a gap, waits until the detector has told an incident, and says what there is."""

import json
import os
import sys
import time
import urllib.request
import uuid

URL = sys.argv[1]


def ask(path, token, body=None):
    data = None if body is None else json.dumps(body).encode()
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    with urllib.request.urlopen(urllib.request.Request(URL + path, data, headers)) as answer:
        return json.load(answer)


def rows(name):
    return ask(f"/api/v1/{name}", os.environ["READ_TOKEN"])[name]


now_ms = int(time.time() * 1000)
event = {
    "event_id": str(uuid.uuid4()), "client_id": "lab-1", "ts_ms": now_ms, "schema_version": "1.1",
    "target": "https://shop.example/",
    "network_context": {"interface_type": "wifi", "vpn_enabled": False},
    "timings": {"dns_ms": 4.2, "tcp_ms": 12.5, "tls_ms": 21, "http_ttfb_ms": 48.3},
    "gap": {"count": 3, "first_ts_ms": now_ms - 60_000},
}  # fmt: skip
ask("/v1/events", os.environ["INGEST_TOKEN"], event)
deadline = time.monotonic() + 60
while not rows("incidents"):
    if time.monotonic() > deadline:
        sys.exit("the detector has told no incident within 60 s, so that none could be checked")
    time.sleep(0.5)
print(", ".join(f"{len(rows(name))} {name}" for name in ["windows", "summary", "scores", "incidents", "gaps"]))
