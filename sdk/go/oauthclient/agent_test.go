package oauthclient

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

// Whoever signs in for a device reads who asked.
func TestAProgramNamesItself(t *testing.T) {
	for name, want := range map[string]string{"": "offkey-oauthclient", "backup/2": "backup/2"} {
		var got []string
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			got = append(got, r.UserAgent())
			w.WriteHeader(http.StatusBadRequest)
		}))
		c := &Config{TokenURL: server.URL, ClientID: "tool", AuthMethod: None, UserAgent: name}
		if _, err := c.Refresh(t.Context(), "a refresh token"); err == nil {
			t.Error("it was answered")
		}
		server.Close()
		if len(got) != 1 || got[0] != want {
			t.Errorf("%q calls itself %q", name, got)
		}
	}
}
