package gateway

import (
	"encoding/binary"
	"errors"
	"io"
	"net/http"
	"net/netip"
	"net/textproto"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"
)

// checkPath is the method of envoy.service.auth.v3 by which Envoy asks. It is the
// one URL outside of reservedPrefix that is taken from the API's, and only when a
// trusted proxy asks, in gRPC.
const checkPath = "/envoy.service.auth.v3.Authorization/Check"

// envoyGRPC is Envoy's dialect in gRPC. What a Check says is not in headers.
var envoyGRPC = &dialect{removes: true}

// maxCheck bounds a question: the head of a request, and no body.
const maxCheck = 2 * maxHeaderBytes

// The codes of gRPC that are used here.
const (
	grpcInvalidArgument   = 3
	grpcPermissionDenied  = 7
	grpcResourceExhausted = 8
	grpcUnimplemented     = 12
	grpcUnauthenticated   = 16
)

// isCheck reports whether a request is Envoy's question.
func isCheck(r *http.Request) bool {
	return r.RequestURI == checkPath && r.ProtoMajor == 2 && r.Method == http.MethodPost && isGRPC(r.Header)
}

// serveCheck answers Envoy. The call is judged as in serveForwardAuth; its answer
// is caught and becomes a CheckResponse.
func (c *call) serveCheck() {
	check, code, err := readCheck(c.r.Body)
	if err != nil {
		writeGRPC(c.w, nil, code, err.Error())
		return
	}
	out, caught := c.w, &caught{header: http.Header{}}
	c.w, c.asker = caught, envoyGRPC
	c.original = *c.r
	o := &c.original
	o.Method, o.RequestURI, o.Host, o.Header = check.method, check.path, check.host, check.header
	o.ContentLength, o.Body, o.TLS = 0, http.NoBody, nil
	c.r, c.certificate = o, check.certificate
	if addr, err := netip.ParseAddr(check.source); err == nil {
		c.source = c.g.callerBehind(addr.Unmap(), o.Header)
	}
	if o.RequestURI == "" || o.Host == "" {
		c.refuse(codeOriginalMissing)
	} else {
		c.answerAsker()
	}
	c.w = out
	writeGRPC(out, caught.response(), 0, "")
}

// checkRequest is what counts of a CheckRequest.
type checkRequest struct {
	method, path, host string
	header             http.Header
	source             string // address of the caller, as Envoy sees it
	certificate        string // of the caller, PEM in URL encoding; "" without one
}

// readCheck reads one message of gRPC, uncompressed, and what counts in it.
func readCheck(body io.Reader) (check checkRequest, code int, err error) {
	var prefix [5]byte
	if _, err := io.ReadFull(body, prefix[:]); err != nil {
		return check, grpcInvalidArgument, errors.New("the message breaks off")
	}
	size := binary.BigEndian.Uint32(prefix[1:])
	switch {
	case prefix[0] != 0:
		return check, grpcUnimplemented, errors.New("the message is compressed: it is read uncompressed only")
	case size > maxCheck:
		return check, grpcResourceExhausted, errors.New("the message is too large: send no body of the request (with_request_body)")
	}
	message := make([]byte, size)
	if _, err := io.ReadFull(body, message); err != nil {
		return check, grpcInvalidArgument, errors.New("the message breaks off")
	}
	if check, err = parseCheck(message); err != nil {
		return check, grpcInvalidArgument, err
	}
	return check, 0, nil
}

var errNoCheck = errors.New("the message is no CheckRequest of envoy.service.auth.v3")

// fields calls yield for each field of a message that has a length: strings, bytes
// and messages. All that a CheckRequest says to us is in such.
func fields(message []byte, yield func(number protowire.Number, value []byte) error) error {
	for len(message) > 0 {
		number, kind, n := protowire.ConsumeTag(message)
		if n < 0 {
			return errNoCheck
		}
		message = message[n:]
		if kind != protowire.BytesType {
			if n = protowire.ConsumeFieldValue(number, kind, message); n < 0 {
				return errNoCheck
			}
			message = message[n:]
			continue
		}
		value, n := protowire.ConsumeBytes(message)
		if n < 0 {
			return errNoCheck
		}
		if err := yield(number, value); err != nil {
			return err
		}
		message = message[n:]
	}
	return nil
}

// at finds a message by the numbers of the fields that lead to it, and hands out
// the fields of each that is found. Messages of one field are read one after the
// other, which merges them (as protobuf has it).
func at(message []byte, path []protowire.Number, yield func(protowire.Number, []byte) error) error {
	return fields(message, func(number protowire.Number, value []byte) error {
		switch {
		case number != path[0]:
			return nil
		case len(path) == 1:
			return fields(value, yield)
		}
		return at(value, path[1:], yield)
	})
}

// The ways to what counts: CheckRequest.attributes is 1; there source is 1 with the
// address at 1 and its socket_address at 1, and request is 4 with http at 2.
var (
	toHTTP   = []protowire.Number{1, 4, 2}
	toSource = []protowire.Number{1, 1}
	toSocket = []protowire.Number{1, 1, 1, 1}
)

// parseCheck reads a CheckRequest.
func parseCheck(message []byte) (check checkRequest, err error) {
	check.header = http.Header{}
	err = errors.Join(
		at(message, toHTTP, func(number protowire.Number, value []byte) error {
			switch number {
			case 2:
				check.method = string(value)
			case 3: // headers: a map, lines of one name joined
				return check.addHeader(value, 2)
			case 4:
				check.path = string(value)
			case 5:
				check.host = string(value)
			case 13: // header_map: a HeaderMap, whose headers are field 1, each line by itself
				return fields(value, func(number protowire.Number, value []byte) error {
					if number != 1 {
						return nil
					}
					return check.addHeader(value, 2, 3)
				})
			}
			return nil
		}),
		at(message, toSource, func(number protowire.Number, value []byte) error {
			if number == 5 {
				check.certificate = string(value)
			}
			return nil
		}),
		at(message, toSocket, func(number protowire.Number, value []byte) error {
			if number == 2 {
				check.source = string(value)
			}
			return nil
		}),
	)
	return check, err
}

// addHeader takes a header line: its name is field 1, its value one of these.
func (check *checkRequest) addHeader(entry []byte, values ...protowire.Number) error {
	var name, text string
	err := fields(entry, func(number protowire.Number, value []byte) error {
		switch {
		case number == 1:
			name = string(value)
		case slices.Contains(values, number) && len(value) > 0:
			text = string(value)
		}
		return nil
	})
	if err != nil || strings.HasPrefix(name, ":") {
		return err
	}
	name = textproto.CanonicalMIMEHeaderKey(name)
	switch name {
	case "X-Forwarded-Host", "Content-Length", "Host": // Envoy writes none, or they say nothing about a question
		return nil
	}
	check.header[name] = append(check.header[name], text)
	return nil
}

// caught is an answer that is not sent as it is.
type caught struct {
	header http.Header
	status int
	body   []byte
}

func (a *caught) Header() http.Header    { return a.header }
func (a *caught) WriteHeader(status int) { a.status = status }
func (a *caught) Write(p []byte) (int, error) {
	a.body = append(a.body, p...)
	return len(p), nil
}

// What Envoy does with a header of an answer (HeaderValueOption.append_action).
const (
	appendAlways = 0
	addIfAbsent  = 1
	overwrite    = 2
)

// response is the CheckResponse: its status is field 1; a denied_response is 2,
// with the HTTP status at 1, headers at 2 and the body at 3; an ok_response is 3,
// with headers for the API at 2, names to remove at 5 and headers for the caller
// at 6.
func (a *caught) response() []byte {
	if a.status == http.StatusOK {
		return appendMessage(appendMessage(nil, 1, nil), 3, a.allowed())
	}
	code := uint64(grpcPermissionDenied)
	if a.status == http.StatusUnauthorized {
		code = grpcUnauthenticated
	}
	denied := appendMessage(nil, 1, appendVarint(nil, 1, uint64(a.status)))
	for _, name := range sortedHeader(a.header) {
		if name != "Content-Length" {
			for _, value := range a.header[name] {
				denied = appendMessage(denied, 2, headerOption(name, value, overwrite))
			}
		}
	}
	denied = appendMessage(denied, 3, a.body)
	return appendMessage(appendMessage(nil, 1, appendVarint(nil, 1, code)), 2, denied)
}

func (a *caught) allowed() (m []byte) {
	for _, name := range sortedHeader(a.header) {
		value := strings.Join(a.header[name], ", ")
		switch {
		case name == headerToRemove:
			for gone := range strings.SplitSeq(value, ",") {
				m = protowire.AppendString(protowire.AppendTag(m, 5, protowire.BytesType), gone)
			}
		case strings.HasPrefix(strings.ToLower(name), ourPrefix):
			m = appendMessage(m, 2, headerOption(name, value, overwrite))
		case name == "Deprecation", name == "Sunset": // what the API says of itself stays
			m = appendMessage(m, 6, headerOption(name, value, addIfAbsent))
		case name != "Content-Length":
			m = appendMessage(m, 6, headerOption(name, value, appendAlways))
		}
	}
	return m
}

func sortedHeader(h http.Header) []string {
	names := make([]string, 0, len(h))
	for name := range h {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// headerOption is a HeaderValueOption: its header is field 1 with key at 1 and
// value at 2; append_action is 3.
func headerOption(name, value string, action uint64) []byte {
	var header []byte
	header = protowire.AppendString(protowire.AppendTag(header, 1, protowire.BytesType), strings.ToLower(name))
	header = protowire.AppendString(protowire.AppendTag(header, 2, protowire.BytesType), value)
	m := appendMessage(nil, 1, header)
	if action != appendAlways {
		m = appendVarint(m, 3, action)
	}
	return m
}

func appendMessage(m []byte, number protowire.Number, value []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(m, number, protowire.BytesType), value)
}

func appendVarint(m []byte, number protowire.Number, value uint64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(m, number, protowire.VarintType), value)
}

// writeGRPC answers a unary call: one message, or none beside an error, and the
// status in the trailers.
func writeGRPC(w http.ResponseWriter, message []byte, code int, text string) {
	h := w.Header()
	h["Content-Type"] = []string{"application/grpc"}
	h[http.TrailerPrefix+"Grpc-Status"] = []string{strconv.Itoa(code)}
	if text != "" {
		h[http.TrailerPrefix+"Grpc-Message"] = []string{text}
	}
	w.WriteHeader(http.StatusOK)
	if code == 0 {
		framed := binary.BigEndian.AppendUint32([]byte{0}, uint32(len(message)))
		_, _ = w.Write(append(framed, message...))
	}
}
