package gateway

import (
	"bytes"
	"encoding/binary"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"

	"github.com/offkey/offkey/internal/apikey"
	"github.com/offkey/offkey/internal/policy"
	"google.golang.org/protobuf/encoding/protowire"
)

// checkMessage is a CheckRequest with these headers, by the map.
func checkMessage(method, path, host, source string, headers ...string) []byte {
	text := func(m []byte, number protowire.Number, value string) []byte {
		return protowire.AppendString(protowire.AppendTag(m, number, protowire.BytesType), value)
	}
	h := appendVarint(text(text(text(nil, 2, method), 4, path), 5, host), 9, 1<<40)
	for i := 0; i < len(headers); i += 2 {
		h = appendMessage(h, 3, text(text(nil, 1, headers[i]), 2, headers[i+1]))
	}
	socket := appendVarint(text(nil, 2, source), 3, 4711)
	attributes := appendMessage(nil, 1, appendMessage(nil, 1, appendMessage(nil, 1, socket)))
	attributes = appendMessage(attributes, 4, appendMessage(nil, 2, h))
	return appendMessage(nil, 1, attributes)
}

func framed(message []byte) []byte {
	return append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(message))), message...)
}

// check puts a question in gRPC to the handler. The parts of the answer are those
// that gRPC's own client reads in test/proxies.
func (w *world) check(from string, body []byte) *caught {
	r := httptest.NewRequest(http.MethodPost, "http://offkey"+checkPath, bytes.NewReader(body))
	r.ProtoMajor, r.ProtoMinor, r.RequestURI, r.RemoteAddr = 2, 0, checkPath, from+":1"
	r.Header.Set("Content-Type", "application/grpc")
	got := &caught{header: http.Header{}}
	w.gateway.ServeHTTP(got, r)
	return got
}

func grpcStatus(a *caught) string {
	if s := a.header[http.TrailerPrefix+"Grpc-Status"]; len(s) == 1 {
		return s[0]
	}
	return ""
}

func TestBrokenQuestionsOfEnvoyAreErrors(t *testing.T) {
	w := asked(t, nil)
	good := framed(checkMessage("GET", "/a", testHost, "203.0.113.7"))
	large := []byte{0, 0xff, 0xff, 0xff, 0xff}
	for name, tt := range map[string]struct {
		body []byte
		want string
	}{
		"good": {good, "0"}, "nothing": {nil, "3"}, "half a prefix": {good[:3], "3"}, "half a message": {good[:20], "3"},
		"compressed": {append([]byte{1}, good[1:]...), "12"}, "too large": {large, "8"}, "no protobuf": {framed([]byte{0xff, 0xff}), "3"},
		"a field that breaks off inside": {framed(appendMessage(nil, 1, []byte{0x0a, 0x05, 1})), "3"},
	} {
		if got := w.check("127.0.0.1", tt.body); grpcStatus(got) != tt.want || got.status != 200 || (tt.want != "0") != (len(got.body) == 0) {
			t.Errorf("%s: status %q, %d bytes", name, grpcStatus(got), len(got.body))
		}
	}
}

// TestEnvoysMethodIsTheAPIsOwnToStrangers is G-08 in gRPC: who is not trusted asks
// nothing, and the path stays the API's.
func TestEnvoysMethodIsTheAPIsOwnToStrangers(t *testing.T) {
	w := asked(t, nil)
	w.handle(func(rw http.ResponseWriter, r *http.Request) { rw.WriteHeader(http.StatusTeapot) })
	if got := w.check("198.51.100.7", framed(checkMessage("GET", "/a", testHost, ""))); got.status != http.StatusTeapot {
		t.Errorf("answered %d %v", got.status, got.header)
	}
	if rows := w.rows(); len(rows) != 1 || rows[0].Method != http.MethodPost {
		t.Errorf("counted %+v", rows)
	}
}

// FuzzCheck holds that any message is answered, and that no message passes which
// the rules refuse.
func FuzzCheck(f *testing.F) {
	w := newWorld(f, func(w *world) { w.options.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")} }).build()
	w.setRules(policy.Ruleset{Stage: apikey.Observe, Enforce: policy.On}, "GET /public/** -> open")
	f.Add(framed(checkMessage("GET", "/public/a", testHost, "203.0.113.7", "x-api-key", "a")))
	f.Add(framed(checkMessage("TRACE", "/public/../admin", "a b", "nobody", ":path", "/x", "X", "")))
	f.Add(framed(appendMessage(nil, 1, appendMessage(nil, 4, appendMessage(nil, 2, appendMessage(nil, 13, appendMessage(nil, 1, []byte{10, 1, 'a', 26, 1, 'b'})))))))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, body []byte) {
		got := w.check("127.0.0.1", body)
		if grpcStatus(got) != "0" {
			return
		}
		check, _, err := readCheck(bytes.NewReader(body))
		if err != nil {
			t.Fatal("answered what cannot be read")
		}
		var allowed bool
		if err := fields(got.body[5:], func(number protowire.Number, _ []byte) error { allowed = allowed || number == 3; return nil }); err != nil {
			t.Fatalf("the answer is no message: %x", got.body)
		}
		target := policy.ParseTarget(check.path)
		if public := len(target.Path) >= 7 && target.Path[:7] == "/public" && target.Problem == ""; allowed && (!public || check.method != "GET" && check.method != "HEAD") {
			t.Fatalf("%s %q passes", check.method, check.path)
		}
	})
}
