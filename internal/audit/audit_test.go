package audit

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/offkey/offkey/internal/secret"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 123456789, time.FixedZone("", 3600))

func chain(t testing.TB, events ...Event) []Entry {
	t.Helper()
	var head Head
	var out []Entry
	for i, e := range events {
		entry, err := head.Append(e, noon.Add(time.Duration(i)*time.Second))
		if err != nil {
			t.Fatal(err)
		}
		head = entry.Head()
		out = append(out, entry)
	}
	return out
}

func three(t testing.TB) []Entry {
	return chain(t,
		Event{Actor: "os:1000", Action: "client.created", Object: "cl_1", Detail: map[string]any{"name": "<a & b>", "scopes": []string{"read:x"}}},
		Event{Actor: "system", Action: "signing.rotated", Object: "kid"},
		Event{Actor: "os:1000", Action: "apikey.stage_set", Object: "ak_1", Detail: map[string]string{"stage": "warn"}})
}

func verify(entries []Entry) error {
	var v Verifier
	for _, e := range entries {
		if err := v.Add(e); err != nil {
			return err
		}
	}
	return nil
}

func TestVerifier(t *testing.T) {
	tests := []struct {
		name   string
		change func([]Entry) []Entry
		want   string // of the error
	}{
		{"an untouched chain", func(e []Entry) []Entry { return e }, ""},
		{"an empty chain", func(e []Entry) []Entry { return nil }, ""},
		{"an entry removed", func(e []Entry) []Entry { return []Entry{e[0], e[2]} }, "audit entry 2 is missing"},
		{"the first entry removed", func(e []Entry) []Entry { return e[1:] }, "audit entry 1 is missing"},
		{"an entry twice", func(e []Entry) []Entry { return []Entry{e[0], e[0]} }, "audit entry 1 is out of order"},
		{"two entries swapped", func(e []Entry) []Entry { return []Entry{e[1], e[0], e[2]} }, "audit entry 1 is missing"},
		{"removed and renumbered", func(e []Entry) []Entry { e[2].Seq = 2; return []Entry{e[0], e[2]} }, "audit entry 2 does not continue"},
		{"actor changed", func(e []Entry) []Entry { e[1].Actor = "os:0"; return e }, "audit entry 2 was changed"},
		{"action changed", func(e []Entry) []Entry { e[1].Action = "x"; return e }, "audit entry 2 was changed"},
		{"object changed", func(e []Entry) []Entry { e[1].Object = "x"; return e }, "audit entry 2 was changed"},
		{"time changed", func(e []Entry) []Entry { e[1].At = e[1].At.Add(time.Microsecond); return e }, "audit entry 2 was changed"},
		{"detail changed", func(e []Entry) []Entry { e[0].Detail = json.RawMessage(`{}`); return e }, "audit entry 1 was changed"},
		{"detail added", func(e []Entry) []Entry { e[1].Detail = json.RawMessage(`{}`); return e }, "audit entry 2 was changed"},
		{"a byte moved from one field to the next", func(e []Entry) []Entry { e[1].Actor, e[1].Action = "systems", "igning.rotated"; return e }, "audit entry 2 was changed"},
		{"changed and hashed again", func(e []Entry) []Entry { e[0].Actor = "os:0"; e[0].Hash = e[0].digest(); return e }, "audit entry 2 does not continue"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := verify(tt.change(three(t)))
			switch {
			case tt.want == "" && err != nil:
				t.Error(err)
			case tt.want != "" && (err == nil || !strings.HasPrefix(err.Error(), tt.want)):
				t.Errorf("error %v, want %q", err, tt.want)
			}
		})
	}
}

func TestVerifierCountsAndGoesOnFromAHead(t *testing.T) {
	e := three(t)
	var v Verifier
	if v.Head() != (Head{}) {
		t.Errorf("head of nothing is %+v", v.Head())
	}
	for i := range e {
		if err := v.Add(e[i]); err != nil {
			t.Fatal(err)
		}
	}
	if v.Entries() != 3 || v.Head() != e[2].Head() {
		t.Errorf("%d entries, head %+v", v.Entries(), v.Head())
	}
	later := Verifier{Start: e[0].Head()}
	if later.Head() != e[0].Head() {
		t.Error("the head before the first entry is not Start")
	}
	if err := later.Add(e[1]); err != nil {
		t.Error(err)
	}
	wrong := Verifier{Start: Head{Seq: 1, Hash: secret.HashOf("other")}}
	if err := wrong.Add(e[1]); err == nil {
		t.Error("continues another chain")
	}
}

func TestAnEntryHoldsAfterStorageAndAfterJSON(t *testing.T) {
	e := three(t)
	for i := range e {
		// a row of a database: microseconds since 1970, the detail as text
		e[i].At = time.UnixMicro(e[i].At.UnixMicro())
		if e[i].Detail != nil {
			e[i].Detail = json.RawMessage(string(e[i].Detail))
		}
	}
	if err := verify(e); err != nil {
		t.Errorf("after storage: %v", err)
	}
	raw, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	var read []Entry
	if err := json.Unmarshal(raw, &read); err != nil {
		t.Fatal(err)
	}
	if err := verify(read); err != nil {
		t.Errorf("after JSON: %v", err)
	}
	if !strings.Contains(string(raw), `"hash":"`+e[0].Hash.String()+`"`) {
		t.Errorf("the hash is not hex in %s", raw)
	}
}

func TestADetailThatIsNoJSONIsRefused(t *testing.T) {
	_, err := Head{}.Append(Event{Action: "x.y", Detail: func() {}}, noon)
	if err == nil || !strings.Contains(err.Error(), "x.y") {
		t.Errorf("error %v, want one that names the action", err)
	}
}

func TestASecretInTheDetailDoesNotReachTheEntry(t *testing.T) {
	e := chain(t, Event{Action: "x", Detail: map[string]any{"secret": secret.NewText("hunter2")}})
	if strings.Contains(string(e[0].Detail), "hunter2") {
		t.Errorf("detail is %s", e[0].Detail)
	}
}
