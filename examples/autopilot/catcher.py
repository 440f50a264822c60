"""A stand-in for Slack and a ticket system: writes what is posted to it, a line each."""

import http.server
import json
import sys


class Catcher(http.server.BaseHTTPRequestHandler):
    def do_GET(self):  # is there a ticket with that key? no.
        self.answer(b"[]")

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))))
        print(self.path, json.dumps(body, ensure_ascii=False), flush=True)
        self.answer(b'{"id": 1, "url": "http://127.0.0.1/tickets/1"}' if "ticket" in self.path else b"ok")

    def answer(self, body):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Catcher).serve_forever()
