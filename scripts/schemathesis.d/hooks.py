"""What schemathesis cannot know from the document: which token has a scope, and what time it is."""

import os
import time

import schemathesis

TOKENS = {"ingest": os.environ["INGEST_TOKEN"], "read": os.environ["READ_TOKEN"]}


@schemathesis.auth(refresh_interval=None)
class OfScope:
    """The token of the scope that the operation is said to need, so that a wrong one is found."""

    def get(self, case, context):
        demands = context.operation.definition.raw.get("security", [])
        scopes = [demand["bearer"][0] for demand in demands if "bearer" in demand]
        return TOKENS[scopes[0]] if scopes else None

    def set(self, case, token, context):
        if token is not None:
            case.headers = case.headers or {}
            case.headers["Authorization"] = f"Bearer {token}"


@schemathesis.hook
def map_body(context, body):
    """Events of now, so that good ones are not refused for their age alone. Among several they are left, as
    one good event is taken whatever is wrong with others."""
    event = body[0] if isinstance(body, list) and len(body) == 1 else body
    if isinstance(event, dict) and type(event.get("ts_ms")) is int and 0 < event["ts_ms"] < 1 << 63:
        event["ts_ms"] = int(time.time() * 1000)
    return body


@schemathesis.serializer("application/x-ndjson")
def lines(context, value):
    return {"data": value if isinstance(value, bytes) else str(value).encode("utf-8", "replace")}
