"""git's smart HTTP as GitHub serves it: git's own http-backend behind TLS, for whoever has the token.

usage: https.py CERTIFICATE KEY ROOT RULES

Prints its port on 127.0.0.1. It is a proxy that leads every host to itself (CONNECT), so that git asks for https://github.com and
comes here. RULES is a file that is read at each request: lines of `TOKEN write` or `TOKEN read`; `502 push` for one 502 at the next
push, `401 push` for one 401 where it begins, which takes the line away; `refuse 403 WORDS` for what is said to every push; `silent push`
to answer none. It ends with its standard input.
"""

import base64
import http.server
import os
import socketserver
import ssl
import subprocess
import sys
import threading
import time
import urllib.parse

CERTIFICATE, KEY, ROOT, RULES = sys.argv[1:]
LOCK = threading.Lock()
BEGUN = 0


def rules():
    with open(RULES, encoding="utf-8") as file:
        return [line.split() for line in file if line.strip()]


def take_fault(status):
    """Whether a push is to meet this, once."""
    with LOCK:
        found = rules()
        if [status, "push"] not in found:
            return False
        found.remove([status, "push"])
        with open(RULES, "w", encoding="utf-8") as file:
            file.writelines(" ".join(words) + "\n" for words in found)
        return True


def tried_without_effect():
    """Whether a push began before this one."""
    global BEGUN
    with LOCK:
        BEGUN += 1
        return BEGUN > 1


class Git(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_CONNECT(self):
        self.wfile.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(CERTIFICATE, KEY)
        self.connection = context.wrap_socket(self.connection, server_side=True)
        self.rfile = self.connection.makefile("rb")
        self.wfile = self.connection.makefile("wb", buffering=0)
        self.close_connection = False

    def do_GET(self):
        self.serve()

    def do_POST(self):
        self.serve()

    def refuse(self, status, text, *headers):
        body = text.encode()
        self.send_response(status)
        for name, value in (*headers, ("Content-Type", "text/plain"), ("Content-Length", str(len(body)))):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def serve(self):
        body = self.read_body()
        path, _, query = self.path.partition("?")
        pushes = "git-receive-pack" in self.path
        _, _, login = self.headers.get("Authorization", "").partition("Basic ")
        token = base64.b64decode(login).decode().partition(":")[2] if login else ""
        right = dict(words for words in rules() if len(words) == 2).get(token)
        if pushes and ["silent", "push"] in rules():
            time.sleep(600)
        for words in rules():
            if pushes and words[0] == "refuse":
                return self.refuse(int(words[1]), " ".join(words[2:]))
        if token and right is None or pushes and not token:
            return self.refuse(401, "Invalid username or token.", ("WWW-Authenticate", 'Basic realm="GitHub"'))
        if pushes and right != "write":
            return self.refuse(403, "Write access to repository not granted.")
        if pushes and self.command == "POST" and take_fault("502"):
            return self.refuse(502, "Bad gateway")
        if pushes and self.command == "GET" and tried_without_effect() and take_fault("401"):
            return self.refuse(401, "Bad credentials", ("WWW-Authenticate", 'Basic realm="GitHub"'))
        environment = {
            **os.environ,
            "GIT_PROJECT_ROOT": ROOT,
            "GIT_HTTP_EXPORT_ALL": "1",
            "PATH_INFO": urllib.parse.unquote(path),
            "QUERY_STRING": query,
            "REQUEST_METHOD": self.command,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(body)),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            "HTTP_GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
            "REMOTE_USER": "somebody" if token else "",
        }
        done = subprocess.run(["git", "http-backend"], input=body, env=environment, stdout=subprocess.PIPE, check=True)
        head, _, content = done.stdout.partition(b"\r\n\r\n")
        headers = [line.partition(": ")[::2] for line in head.decode().splitlines()]
        status = int(dict(headers).get("Status", "200").split()[0])
        self.send_response(status)
        for name, value in headers:
            if name != "Status":
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def read_body(self):
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", "0")))
        whole = b""
        while size := int(self.rfile.readline(), 16):
            whole += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return whole

    def log_message(self, *_):
        pass


class Server(socketserver.ThreadingTCPServer):
    daemon_threads = True


server = Server(("127.0.0.1", 0), Git)
print(server.server_address[1], flush=True)
threading.Thread(target=server.serve_forever, daemon=True).start()
sys.stdin.read()
