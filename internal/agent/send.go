package agent

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"syscall"
	"time"
)

// maxReplayable is how much of a body is held, so that a call can be made again.
const maxReplayable = 1 << 20

// sender carries calls to one API. A call is made again only where the API has not
// taken it: it could not be connected to, it wants a nonce in the proof, or it
// refused the token; and one that only reads also where it was not answered.
type sender struct {
	*outlet
	patience time.Duration
	kept     http.RoundTripper
	// fresh is for calls that must not be made twice: it uses a connection again
	// only within moments, because an API may close one that is idle just as a call
	// is sent on it, and who can tell then whether it was carried out.
	fresh http.RoundTripper
}

const freshTimeout = time.Second // less than any server's keep-alive time

func newSender(o *outlet, patience time.Duration) *sender {
	fresh := o.Transport.Clone()
	fresh.IdleConnTimeout = freshTimeout
	return &sender{outlet: o, patience: patience, kept: o.Clock.Watch(o.Transport), fresh: o.Clock.Watch(fresh)}
}

// by is what carries a request.
func (s *sender) by(req *http.Request) http.RoundTripper {
	if onlyReads(req) {
		return s.kept // made again by net/http, if its connection was closed
	}
	return s.fresh
}

// onlyReads reports whether a method is safe, so that a call may be made twice
// (RFC 9110 §9.2.1, §9.2.2).
func onlyReads(req *http.Request) bool {
	switch req.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace:
		return true
	}
	return false
}

// RoundTrip implements http.RoundTripper.
func (s *sender) RoundTrip(req *http.Request) (*http.Response, error) {
	body, err := holdBody(req)
	if err != nil {
		return nil, err
	}
	if req.Context().Value(withToken{}) == nil {
		return s.reach(body, req)
	}
	token, err := s.keeper.token(req.Context())
	if err != nil {
		return nil, &noToken{err}
	}
	resp, err := s.try(body, req, token)
	if err != nil || !refusesToken(resp) {
		return resp, err
	}
	// Renew for those who come next, even where this call cannot be repeated.
	s.keeper.refused(token)
	if !body.replayable {
		return resp, nil
	}
	fresh, err := s.keeper.token(req.Context())
	if err != nil {
		return resp, nil // the refusal says more than the failed renewal
	}
	drop(resp)
	return s.try(body, req, fresh)
}

// try makes the call with a token; once more where the API wants a nonce, or where
// it refused a proof for its time and the clock has been put right by its answer.
func (s *sender) try(body *heldBody, req *http.Request, token Token) (*http.Response, error) {
	for again := false; ; again = true {
		off := s.Clock.Off()
		out := req.Clone(req.Context())
		if err := s.Client.Authorize(out, token); err != nil {
			return nil, err
		}
		resp, err := s.reach(body, out)
		if err != nil {
			return nil, err
		}
		wanted := s.Client.WantsNonce(resp) || s.Clock.Off() != off && challenges(resp, "invalid_dpop_proof")
		if !wanted || again || !body.replayable {
			return resp, nil
		}
		drop(resp)
	}
}

// reach makes the call. One that was never sent, because nobody could be connected
// to, is sent as soon as somebody can, and so is one that only reads and was cut
// off: an API that restarts fails no call but those that it may have carried out.
func (s *sender) reach(body *heldBody, req *http.Request) (*http.Response, error) {
	late := time.Now().Add(s.patience)
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		resp, err := s.by(req).RoundTrip(body.on(req))
		if err == nil || !neverSent(err) && !(cutOff(err) && onlyReads(req) && body.replayable) || time.Now().Add(pause).After(late) {
			if err == nil && resp.Request == nil {
				resp.Request = req
			}
			return resp, err
		}
		select {
		case <-req.Context().Done():
			return nil, err
		case <-time.After(pause):
		}
	}
}

// neverSent reports whether an error came before anything was sent.
func neverSent(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "dial"
}

// cutOff reports whether a connection ended before an answer came, as those do that
// an API which stops had not taken yet.
func cutOff(err error) bool {
	for _, end := range []error{io.EOF, io.ErrUnexpectedEOF, syscall.ECONNRESET, syscall.EPIPE} {
		if errors.Is(err, end) {
			return true
		}
	}
	return false
}

// refusesToken reports whether the API says that the token itself is no good
// (RFC 6750 §3.1). A missing scope is another matter: a new token would not have
// it either.
func refusesToken(resp *http.Response) bool { return challenges(resp, "invalid_token") }

// challenges reports whether a 401 names that error.
func challenges(resp *http.Response, code string) bool {
	if resp.StatusCode != http.StatusUnauthorized {
		return false
	}
	return slices.ContainsFunc(resp.Header["Www-Authenticate"], func(line string) bool {
		return strings.Contains(line, `error="`+code+`"`) || strings.Contains(line, "error="+code)
	})
}

// heldBody is the body of a call. A short one is held, and can be sent again.
type heldBody struct {
	bytes      []byte
	stream     io.ReadCloser // of one that is not held
	replayable bool
}

func holdBody(req *http.Request) (*heldBody, error) {
	if req.Body == nil || req.Body == http.NoBody {
		return &heldBody{replayable: true}, nil
	}
	if req.ContentLength < 0 || req.ContentLength > maxReplayable {
		return &heldBody{stream: req.Body}, nil
	}
	raw, err := io.ReadAll(req.Body)
	_ = req.Body.Close()
	if err != nil {
		return nil, err
	}
	return &heldBody{bytes: raw, replayable: true}, nil
}

// on is the request with the body from its beginning.
func (b *heldBody) on(req *http.Request) *http.Request {
	out := req.Clone(req.Context())
	switch {
	case b.stream != nil:
		out.Body, out.GetBody = b.stream, nil
	case b.bytes == nil:
		out.Body, out.GetBody = http.NoBody, nil
	default:
		out.Body = io.NopCloser(bytes.NewReader(b.bytes))
		out.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b.bytes)), nil }
	}
	return out
}

// drop reads what little remains, so that the connection can be used again.
func drop(resp *http.Response) {
	_, _ = io.CopyN(io.Discard, resp.Body, 64<<10)
	_ = resp.Body.Close()
}

// noToken says that the call was not made for want of a token.
type noToken struct{ err error }

func (e *noToken) Error() string { return "no token: " + e.err.Error() }
func (e *noToken) Unwrap() error { return e.err }
