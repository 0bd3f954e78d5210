"""Python's requests: each line of standard input is a request, METHOD URL BODY_BYTES; each answer
becomes a line of JSON. One session, so one connection as long as the server keeps it.

    requests_client.py [late]

With `late`, ssl is imported when the first request is asked for.
"""

import json
import sys
import urllib.parse

session = None
if "late" not in sys.argv:
    import requests

    session = requests.Session()
print("ready", flush=True)
for line in sys.stdin:
    if session is None:
        import requests

        session = requests.Session()
    method, url, size = line.split()
    body = b"y" * int(size) if int(size) else None
    answer = session.request(method, url, data=body, timeout=20)
    parts = urllib.parse.urlsplit(url)
    print(
        json.dumps(
            {
                "method": method,
                "target": parts.path + ("?" + parts.query if parts.query else ""),
                "status": answer.status_code,
                "request_body": int(size),
                "response_body": len(answer.content),
            }
        ),
        flush=True,
    )
