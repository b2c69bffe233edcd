"""Serves a folder over http, with ranges, for the tests of get-images.sh. Prints its port.

    files-server.py FOLDER [no-ranges] [cut:NAME:BYTES]

`no-ranges`: answers with the whole file whatever is asked. `cut:NAME:BYTES`: the first answer for NAME ends after so
many bytes, as when a connection is lost. Each request is a line on standard output: its path and range.
"""

import http.server
import os
import sys

folder, *words = sys.argv[1:]
ranges = "no-ranges" not in words
cuts = {name: int(after) for _, name, after in (word.split(":") for word in words if word.startswith("cut:"))}


def say(line):
    # In one write: whoever waits for the line reads it whole, and no other thread's comes between.
    os.write(1, f"{line}\n".encode())


class Handler(http.server.BaseHTTPRequestHandler):
    def do_HEAD(self):
        self.answer(False)

    def do_GET(self):
        self.answer(True)

    def answer(self, body):
        name = os.path.basename(self.path)
        asked = self.headers.get("Range")
        say(f"{self.command} {name} {asked or '-'}")
        try:
            with open(os.path.join(folder, name), "rb") as file:
                data = file.read()
        except FileNotFoundError:
            self.send_error(404)
            return
        start = 0
        if asked and ranges:
            start = int(asked.removeprefix("bytes=").split("-")[0])
            if start >= len(data):
                self.send_response(416)
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        else:
            self.send_response(200)
        rest = data[start:]
        self.send_header("Content-Length", str(len(rest)))
        self.end_headers()
        if body:
            self.wfile.write(rest[: cuts.pop(name, len(rest))])

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
say(f"port {server.server_address[1]}")
server.serve_forever()
