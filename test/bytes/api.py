"""An API as many are: Python's http.server, once with HTTP/1.1 and once with
its default, HTTP/1.0, where the end of an answer is the end of the connection.

It prints the two ports on one line and ends when its input does.
"""
import gzip
import http.server
import json
import sys
import threading


class API(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    server_version = 'orders/3'
    disable_nagle_algorithm = True

    def log_message(self, *args):
        pass

    def answer(self, status, body=b'', kind='application/json', *fields):
        self.send_response(status)
        if kind:
            self.send_header('Content-Type', kind)
        for name, value in fields:
            self.send_header(name, value)
        if status not in (204, 304):
            self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        if self.command != 'HEAD' and status not in (204, 304):
            self.wfile.write(body)

    def body(self):
        if self.headers.get('Transfer-Encoding', '').lower() == 'chunked':
            parts = []
            while True:
                size = int(self.rfile.readline().split(b';')[0], 16)
                part = self.rfile.read(size)
                if size == 0:
                    while self.rfile.readline() not in (b'\r\n', b''):
                        pass
                    return b''.join(parts)
                parts.append(part)
                self.rfile.readline()
        return self.rfile.read(int(self.headers.get('Content-Length') or 0))

    def do_GET(self):
        body = self.body()
        number = int(self.headers.get('X-Case') or 0)
        key = self.headers.get('X-API-Key')
        choice = number % 11
        if choice == 0:
            self.send_error(404)  # an HTML page, and Connection: close
        elif choice == 1:
            self.answer(401, b'{"error":"no key"}', 'application/json', ('WWW-Authenticate', 'ApiKey'))
        elif choice == 2:
            self.answer(304, b'', None, ('ETag', '"x"'))
        elif choice == 3 and 'gzip' in (self.headers.get('Accept-Encoding') or ''):
            self.answer(200, gzip.compress(b'x' * (number % 5000), mtime=0), 'text/plain', ('Content-Encoding', 'gzip'), ('Vary', 'Accept-Encoding'))
        elif choice == 4:
            self.answer(200, b'<p>no type</p>', None)
        elif choice == 5:
            self.answer(302, b'', None, ('Location', '/elsewhere?' + str(number)))
        elif choice == 6:
            self.answer(200, b'y' * (number % 300000), 'application/octet-stream')
        elif choice == 7:
            self.streamed(number)
        elif choice == 8:
            self.answer(204)
        else:
            echo = {'method': self.command, 'target': self.path, 'key': key, 'agent': self.headers.get('User-Agent'),
                    'cookie': self.headers.get_all('Cookie'), 'authorization': self.headers.get_all('Authorization'), 'length': len(body)}
            self.answer(200, json.dumps(echo).encode(), 'application/json; charset=utf-8', ('Set-Cookie', 'a=1'), ('Set-Cookie', 'b=2'), ('X-Latin', 'caf\xe9'))

    do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = do_PROPFIND = do_REPORT = do_PURGE = do_GET

    def streamed(self, number):
        """An answer without a length."""
        self.send_response(200)
        self.send_header('Content-Type', 'text/csv')
        if self.protocol_version == 'HTTP/1.1':
            self.send_header('Transfer-Encoding', 'chunked')
        self.end_headers()
        if self.command == 'HEAD':
            return
        for i in range(number % 5):
            part = b'%d,%d\r\n' % (i, number)
            self.wfile.write(b'%x\r\n%s\r\n' % (len(part), part) if self.protocol_version == 'HTTP/1.1' else part)
        if self.protocol_version == 'HTTP/1.1':
            self.wfile.write(b'0\r\n\r\n')


class OldAPI(API):
    protocol_version = 'HTTP/1.0'


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


servers = [Server(('127.0.0.1', 0), handler) for handler in (API, OldAPI)]
for server in servers:
    threading.Thread(target=server.serve_forever, daemon=True).start()
print(*(server.server_address[1] for server in servers), flush=True)
sys.stdin.read()
