package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
)

func TestTheProxyPassesACallOn(t *testing.T) {
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusAccepted)
		_, _ = io.WriteString(w, r.Host+r.URL.String()+r.Header.Get("X-API-Key"))
	}))
	defer api.Close()
	to, err := url.Parse(api.URL)
	if err != nil {
		t.Fatal(err)
	}
	front := httptest.NewServer(proxy(to))
	defer front.Close()
	r, err := http.NewRequest(http.MethodGet, front.URL+"/v1/orders?a=1", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Host = "api.example"
	r.Header.Set("X-API-Key", "k")
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if got := string(body); err != nil || resp.StatusCode != http.StatusAccepted || got != "api.example/v1/orders?a=1k" {
		t.Errorf("%d %q (%v)", resp.StatusCode, got, err)
	}
}
