"""Serves a folder over http, with ranges, for the tests of get-images.sh. Prints its port.

    files-server.py FOLDER [FAULT…]

no-ranges            answers with the whole file whatever is asked
cut:NAME:BYTES       the first answer for NAME ends after so many bytes, as when a connection is lost
short:NAME:BYTES     each answer for NAME does; from-start:NAME:BYTES: each that begins at its start
endless:NAME         NAME never ends; slow:NAME:RATE: it comes with so many bytes a second
on:NAME:N:COMMAND    a shell runs COMMAND before the N-th answer for NAME
to:URL               each request is redirected there
tls:FILE             https, with this certificate and key
proxy:N              is a proxy; after so many CONNECTs, each line dies when it was answered

Each request is a line on standard output: its method, path and range.
"""

import http.server
import os
import socket
import ssl
import subprocess
import sys
import threading
import time

folder, *words = sys.argv[1:]
faults = [word.split(":", 3) for word in words]
cuts = {fault[1]: int(fault[2]) for fault in faults if fault[0] == "cut"}
counts = {}
kept = threading.Lock()


def fault(kind, name=None):
    """The rest of the fault of this kind, for this name."""
    for found in faults:
        if found[0] == kind and (name is None or found[1] == name):
            return found[1:] if name is None else found[2:]
    return None


def say(line):
    # In one write: whoever waits for the line reads it whole, and no other thread's comes between.
    os.write(1, f"{line}\n".encode())


class Handler(http.server.BaseHTTPRequestHandler):
    def do_HEAD(self):
        self.answer(False)

    def do_GET(self):
        self.answer(True)

    def do_CONNECT(self):
        say(f"CONNECT {self.path} -")
        with kept:
            number = counts["CONNECT"] = counts.get("CONNECT", 0) + 1
        self.wfile.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        self.close_connection = True
        if number > int(fault("proxy")[0]):
            return
        host, port = self.path.split(":")
        with socket.create_connection((host, int(port))) as there:
            back = threading.Thread(target=pump, args=(there, self.connection))
            back.start()
            pump(self.connection, there)
            back.join()

    def answer(self, body):
        path = self.path.lstrip("/")
        name = os.path.basename(path)
        asked = self.headers.get("Range")
        say(f"{self.command} {path} {asked or '-'}")
        with kept:
            number = counts[name] = counts.get(name, 0) + 1
        for found in faults:
            if found[0] == "on" and found[1] == name and int(found[2]) == number:
                subprocess.run(found[3], shell=True, check=True)
        if fault("to"):
            self.send_response(302)
            self.send_header("Location", ":".join(fault("to")) + self.path)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        try:
            with open(os.path.join(folder, path), "rb") as file:
                data = file.read()
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
            self.send_error(404)
            return
        start = 0
        if asked and fault("no-ranges") is None:
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
        endless = fault("endless", name) is not None
        if not endless:
            self.send_header("Content-Length", str(len(rest)))
        self.end_headers()
        if not body:
            return
        most = cuts.pop(name, len(rest))
        for limit in (fault("short", name), fault("from-start", name) if start == 0 else None):
            most = min(most, int(limit[0])) if limit else most
        try:
            slow = fault("slow", name)
            step = int(slow[0]) if slow else 1 << 20
            for at in range(0, most, step):
                self.wfile.write(rest[at : min(at + step, most)])
                self.wfile.flush()
                if slow:
                    time.sleep(1)
            while endless:
                self.wfile.write(bytes(1 << 16))
        except OSError:
            self.close_connection = True

    def log_message(self, *_):
        pass


def pump(source, target):
    try:
        while data := source.recv(1 << 16):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
if fault("tls"):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(fault("tls")[0])
    server.socket = context.wrap_socket(server.socket, server_side=True)
say(f"port {server.server_address[1]}")
server.serve_forever()
