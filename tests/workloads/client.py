"""A client that tells the truth: each line of standard input is a request, METHOD URL BODY_BYTES;
each answer becomes a line of JSON. Each request has a connection of its own (urllib)."""

import json
import sys
import urllib.error
import urllib.parse
import urllib.request

print("ready", flush=True)
for line in sys.stdin:
    method, url, size = line.split()
    body = b"y" * int(size) if int(size) else None
    request = urllib.request.Request(url, data=body, method=method)
    try:
        with urllib.request.urlopen(request, timeout=20) as response:
            status, received = response.status, len(response.read())
    except urllib.error.HTTPError as error:
        status, received = error.code, len(error.read())
    parts = urllib.parse.urlsplit(url)
    print(
        json.dumps(
            {
                "method": method,
                "target": parts.path + ("?" + parts.query if parts.query else ""),
                "status": status,
                "request_body": int(size),
                "response_body": received,
            }
        ),
        flush=True,
    )
print("done", flush=True)
