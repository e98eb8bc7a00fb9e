// Command proxy is what offkey's gateway is compared with: the reverse proxy
// of the standard library, tuned, that decides nothing and records nothing.
package main

import (
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
)

func main() {
	addr := flag.String("addr", "127.0.0.1:0", "where to listen")
	upstream := flag.String("upstream", "", "URL of what is behind it")
	flag.Parse()
	to, err := url.Parse(*upstream)
	if err != nil || to.Host == "" {
		log.Fatalf("-upstream %q is not a URL", *upstream)
	}
	listener, err := net.Listen("tcp", *addr)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("http://%s\n", listener.Addr())
	log.Fatal(http.Serve(listener, proxy(to)))
}

// proxy passes every call to upstream. The two settings that matter most are
// the idle connections per host (2 by default) and no invented compression.
func proxy(upstream *url.URL) http.Handler {
	return &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(upstream)
			r.Out.Host = r.In.Host
		},
		Transport: &http.Transport{
			MaxIdleConnsPerHost: 512,
			DisableCompression:  true,
		},
		BufferPool: make(buffers, 512),
	}
}

// buffers are the spare ones.
type buffers chan []byte

// Get takes a spare buffer, or makes one.
func (b buffers) Get() []byte {
	select {
	case room := <-b:
		return room
	default:
		return make([]byte, 32<<10)
	}
}

// Put keeps the buffer, unless there are enough.
func (b buffers) Put(room []byte) {
	select {
	case b <- room:
	default:
	}
}
