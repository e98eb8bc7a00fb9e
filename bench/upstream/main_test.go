package main

import (
	"encoding/json"
	"testing"
)

func TestTheAnswerIsAKilobyteOfJSON(t *testing.T) {
	body := document(1024)
	if !json.Valid(body) || len(body) < 950 || len(body) > 1024 {
		t.Errorf("%d bytes: %s", len(body), body)
	}
}
