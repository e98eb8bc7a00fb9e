package oauth

import (
	"errors"
	"net/http"
	"strings"
	"testing"
)

func TestStatusOfEachError(t *testing.T) {
	for _, tc := range []struct {
		err    *Error
		code   string
		status int
	}{
		{InvalidRequest("d"), "invalid_request", 400},
		{InvalidClient("d"), "invalid_client", 401},
		{InvalidGrant("d"), "invalid_grant", 400},
		{UnauthorizedClient("d"), "unauthorized_client", 400},
		{UnsupportedGrantType("d"), "unsupported_grant_type", 400},
		{InvalidScope("d"), "invalid_scope", 400},
		{InvalidTarget("d"), "invalid_target", 400},
		{InvalidToken("d"), "invalid_token", 401},
		{InsufficientScope("d"), "insufficient_scope", 403},
		{InvalidClientMetadata("d"), "invalid_client_metadata", 400},
		{InvalidRedirectURI("d"), "invalid_redirect_uri", 400},
		{AccessDenied("d"), "access_denied", 400},
		{UnsupportedTokenType("d"), "unsupported_token_type", 400},
		{TemporarilyUnavailable("d"), "temporarily_unavailable", 503},
		{SlowDown("d"), "slow_down", 400},
	} {
		if tc.err.Code != tc.code || tc.err.Status != tc.status || tc.err.Description != "d" || tc.err.Cause != nil {
			t.Errorf("%s: got %+v, want status %d", tc.code, tc.err, tc.status)
		}
	}
}

func TestCauseIsForUsAlone(t *testing.T) {
	cause := errors.New("disk full")
	err := ServerError(cause)
	if err.Code != "server_error" || err.Status != 500 || strings.Contains(err.Description, "disk") {
		t.Errorf("got %+v", err)
	}
	if !errors.Is(err, cause) || !strings.Contains(err.Error(), "disk full") {
		t.Errorf("the log does not get the cause: %v", err)
	}
	refused := InvalidGrant("code is spent")
	with := refused.WithCause(cause)
	if refused.Cause != nil || with.Description != refused.Description || !errors.Is(with, cause) {
		t.Error("WithCause changes the original, or loses something")
	}
	if got := (&Error{Code: "x"}).Error(); got != "x" {
		t.Errorf("got %q", got)
	}
	var wanted *Error
	if !errors.As(error(with), &wanted) || wanted.Code != "invalid_grant" {
		t.Error("errors.As does not find it")
	}
}

func TestSchemeAndStatusAreSetOnACopy(t *testing.T) {
	err := InvalidClient("d")
	basic := err.WithScheme("Basic")
	limited := basic.WithStatus(http.StatusTooManyRequests)
	if err.Scheme != "" || basic.Scheme != "Basic" || basic.Status != 401 || limited.Status != 429 || limited.Scheme != "Basic" {
		t.Errorf("got %+v, %+v, %+v", err, basic, limited)
	}
}

func TestDescriptionHoldsAllowedCharactersOnly(t *testing.T) {
	for in, want := range map[string]string{
		"":                            "",
		"plain text, with ' and ~ !":  "plain text, with ' and ~ !",
		"say \"no\"":                  "say 'no'",
		"back\\slash":                 "back?slash",
		"line\r\nSet-Cookie: x\tend":  "line  Set-Cookie: x end",
		"nul\x00 and del\x7f":         "nul? and del?",
		"schlüssel":                   "schl?ssel",
		"broken \xff":                 "broken ?",
		strings.Repeat("a", 500):      strings.Repeat("a", 500),
		strings.Repeat("a", 501):      strings.Repeat("a", 497) + "...",
		strings.Repeat("\u20ac", 600): strings.Repeat("?", 497) + "...",
	} {
		t.Run("checklist_5", func(t *testing.T) {
			if got := InvalidRequest(in).Description; got != want {
				t.Errorf("%q becomes %q", in, got)
			}
		})
	}
	t.Run("checklist_5 every byte", func(t *testing.T) {
		for c := range 256 {
			for _, got := range CleanDescription("a" + string([]byte{byte(c)}) + "b") {
				if !isAllowed(got) {
					t.Errorf("byte %#x gives %q", c, got)
				}
			}
		}
	})
}

// isAllowed is RFC 6749 §5.2 to the letter: %x20-21 / %x23-5B / %x5D-7E.
func isAllowed(r rune) bool {
	return r >= 0x20 && r <= 0x21 || r >= 0x23 && r <= 0x5b || r >= 0x5d && r <= 0x7e
}
