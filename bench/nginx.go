package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// nginxConfig makes nginx a plain proxy: one process, kept connections to the
// upstream, nothing logged.
const nginxConfig = `daemon off;
master_process off;
pid %[1]s/nginx.pid;
error_log %[1]s/nginx.err warn;
events { worker_connections 1024; }
http {
	access_log off;
	client_body_temp_path %[1]s/body; proxy_temp_path %[1]s/proxied; fastcgi_temp_path %[1]s/f; uwsgi_temp_path %[1]s/u; scgi_temp_path %[1]s/s;
	keepalive_requests 1000000000;
	upstream api { server %[2]s; keepalive 256; keepalive_requests 1000000000; }
	server {
		listen %[3]s;
		location / {
			proxy_pass http://api;
			proxy_http_version 1.1;
			proxy_set_header Connection "";
			proxy_set_header Host $http_host;
		}
	}
}
`

// startNginx starts it as a plain proxy; nil if there is no nginx.
func startNginx(ctx context.Context, parent, upstream string) (*server, error) {
	program, err := exec.LookPath("nginx")
	if err != nil {
		if program, err = exec.LookPath("/usr/sbin/nginx"); err != nil {
			return nil, nil
		}
	}
	dir := filepath.Join(parent, "nginx")
	if err := os.Mkdir(dir, 0o755); err != nil {
		return nil, err
	}
	addr, err := freeAddr()
	if err != nil {
		return nil, err
	}
	config := filepath.Join(dir, "nginx.conf")
	text := fmt.Sprintf(nginxConfig, dir, strings.TrimPrefix(upstream, "http://"), addr)
	if err := os.WriteFile(config, []byte(text), 0o644); err != nil {
		return nil, err
	}
	s := newServer(ctx, serverCore, program, "-p", dir, "-c", config)
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	s.said = "http://" + addr
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if conn, err := net.Dial("tcp", addr); err == nil {
			return s, conn.Close()
		}
	}
	_ = s.stop()
	said, _ := os.ReadFile(filepath.Join(dir, "nginx.err"))
	return nil, fmt.Errorf("nginx does not answer: %s%s", s.log, said)
}

// freeAddr is an address that nobody listens on.
func freeAddr() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}
