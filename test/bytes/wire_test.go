package bytes

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/textproto"
	"slices"
	"strconv"
	"strings"
	"time"
)

// answer is one answer as it came over the wire.
type answer struct {
	Interim []interim // 1xx, without 100, which every hop makes for itself
	Status  int
	Header  map[string][]string // without hop-by-hop
	Body    string
	Trailer map[string][]string
	Broken  bool // it ended before it was whole

	hop []string // headers that its Connection names
}

type interim struct {
	Status int
	Header map[string][]string
}

// request is one request as bytes.
type request struct {
	method string
	head   string
	body   string
	waits  bool // sends its body after 100, or when that does not come (RFC 9110 §10.1.1)
}

// line is one connection that is opened again when it has to be.
type line struct {
	addr string
	conn net.Conn
	in   *bufio.Reader
}

const (
	patience     = 30 * time.Second
	waitContinue = 300 * time.Millisecond
)

func (l *line) close() {
	if l.conn != nil {
		_ = l.conn.Close()
		l.conn = nil
	}
}

// do sends a request and reads its answer. A kept connection that the far side
// has closed meanwhile is replaced once (RFC 9112 §9.3.1).
func (l *line) do(r request) (answer, error) {
	kept := l.conn != nil
	a, err := l.once(r)
	if kept && errors.Is(err, errNothing) {
		a, err = l.once(r)
	}
	if err != nil {
		l.close()
	}
	return a, err
}

var errNothing = errors.New("the connection was closed without an answer")

func (l *line) once(r request) (answer, error) {
	if l.conn == nil {
		conn, err := net.Dial("tcp", l.addr)
		if err != nil {
			return answer{}, err
		}
		l.conn, l.in = conn, bufio.NewReaderSize(conn, 64<<10)
	}
	if err := l.conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return answer{}, err
	}
	conn, written, proceed := l.conn, make(chan error, 1), make(chan struct{}, 1)
	go func() { // a large body and a large answer may cross
		_, err := io.WriteString(conn, r.head)
		if r.waits {
			select {
			case <-proceed:
			case <-time.After(waitContinue):
			}
		}
		if err == nil {
			_, err = io.WriteString(conn, r.body)
		}
		written <- err
	}()
	a, keep, err := l.read(r.method, proceed)
	if err != nil {
		l.close()
	}
	writeErr := <-written
	switch {
	case err != nil:
		return a, err
	case writeErr != nil || !keep || a.Broken:
		l.close()
	}
	return a, nil
}

// read reads interim answers, of which 100 lets the body go, and the final one.
func (l *line) read(method string, proceed chan<- struct{}) (a answer, keep bool, err error) {
	for {
		version, status, header, err := readHead(l.in)
		if err != nil {
			return a, false, err
		}
		switch {
		case status == 100:
			select {
			case proceed <- struct{}{}:
			default:
			}
			continue
		case status > 100 && status < 200:
			a.Interim = append(a.Interim, interim{status, header})
			continue
		}
		a.Status, a.Header, a.hop = status, header, slices.Concat(hopByHop, connectionNames(header))
		keep = version == "HTTP/1.1" && !strings.EqualFold(strings.Join(header["Connection"], ","), "close")
		switch delimited, err := l.readBody(method, header, &a); {
		case errors.Is(err, io.ErrUnexpectedEOF):
			a.Broken, a.Body, a.Trailer = true, "", nil // how much of it came is chance
			return a, false, nil
		case err != nil:
			return a, false, err
		default:
			return a, keep && delimited, nil
		}
	}
}

// readHead reads a status line and the headers after it.
func readHead(in *bufio.Reader) (version string, status int, header textproto.MIMEHeader, err error) {
	first, err := in.ReadString('\n')
	if err != nil {
		if first == "" {
			return "", 0, nil, errNothing
		}
		return "", 0, nil, fmt.Errorf("status line %q: %w", first, err)
	}
	version, rest, _ := strings.Cut(strings.TrimRight(first, "\r\n"), " ")
	code, _, _ := strings.Cut(rest, " ")
	if status, err = strconv.Atoi(code); err != nil || !strings.HasPrefix(version, "HTTP/1.") {
		return "", 0, nil, fmt.Errorf("status line %q", first)
	}
	header, err = readFields(in)
	return version, status, header, err
}

// readFields reads header or trailer lines up to the empty one. It is more
// liberal than net/http, because the test is about what others send.
func readFields(in *bufio.Reader) (textproto.MIMEHeader, error) {
	fields := textproto.MIMEHeader{}
	for {
		field, err := in.ReadString('\n')
		if err != nil {
			return nil, io.ErrUnexpectedEOF
		}
		if field = strings.TrimRight(field, "\r\n"); field == "" {
			return fields, nil
		}
		name, value, ok := strings.Cut(field, ":")
		if !ok {
			return nil, fmt.Errorf("header line %q", field)
		}
		name = textproto.CanonicalMIMEHeaderKey(name)
		fields[name] = append(fields[name], strings.Trim(value, " \t"))
	}
}

// hopByHop are the headers that belong to one connection (RFC 9110 §7.6.1), and
// Trailer, which announces what is compared itself.
var hopByHop = []string{"Connection", "Keep-Alive", "Proxy-Connection", "Te", "Trailer", "Transfer-Encoding", "Upgrade"}

// connectionNames are those that an answer itself calls hop-by-hop.
func connectionNames(header textproto.MIMEHeader) (names []string) {
	for _, value := range header["Connection"] {
		for name := range strings.SplitSeq(value, ",") {
			names = append(names, textproto.CanonicalMIMEHeaderKey(strings.TrimSpace(name)))
		}
	}
	return names
}

// readBody reads the body as RFC 9112 §6.3 says. It reports whether its end was
// told, so that another answer can follow.
func (l *line) readBody(method string, header textproto.MIMEHeader, a *answer) (delimited bool, err error) {
	var body []byte
	switch {
	case method == "HEAD" || a.Status == 204 || a.Status == 304:
		return true, nil
	case strings.EqualFold(header.Get("Transfer-Encoding"), "chunked"):
		delimited = true
		body, a.Trailer, err = readChunks(l.in)
	case header.Get("Content-Length") != "":
		delimited = true
		var length int
		if length, err = strconv.Atoi(header.Get("Content-Length")); err != nil {
			return false, err
		}
		body = make([]byte, length)
		if _, err = io.ReadFull(l.in, body); errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
	default:
		body, err = io.ReadAll(l.in)
	}
	if isReset(err) {
		err = io.ErrUnexpectedEOF
	}
	a.Body = string(body)
	return delimited, err
}

func isReset(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && !op.Timeout()
}

func readChunks(in *bufio.Reader) (body []byte, trailer map[string][]string, err error) {
	for {
		size, err := in.ReadString('\n')
		if err != nil {
			return nil, nil, io.ErrUnexpectedEOF
		}
		digits, _, _ := strings.Cut(strings.TrimRight(size, "\r\n"), ";")
		n, err := strconv.ParseUint(strings.TrimSpace(digits), 16, 31)
		if err != nil {
			return nil, nil, fmt.Errorf("chunk size %q", size)
		}
		if n == 0 {
			fields, err := readFields(in)
			if len(fields) == 0 {
				fields = nil
			}
			return body, fields, err
		}
		start := len(body)
		body = append(body, make([]byte, n+2)...)
		if _, err := io.ReadFull(in, body[start:]); err != nil {
			return nil, nil, io.ErrUnexpectedEOF
		}
		if string(body[len(body)-2:]) != "\r\n" {
			return nil, nil, fmt.Errorf("a chunk ends in %q", body[len(body)-2:])
		}
		body = body[:len(body)-2]
	}
}
