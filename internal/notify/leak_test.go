package notify

import (
	"slices"
	"strings"
	"testing"

	"github.com/offkey/offkey/internal/leak"
)

func TestALeakIsToldToOwnerAndAdmins(t *testing.T) {
	w := newWorld(t, nil)
	k := newKey()
	k.Contact = "owner@acme.example"
	r := &leak.Record{ID: "lk_1", Subject: leak.Subject{Kind: leak.KindAPIKey, ID: k.ID}, By: leak.ByReport, Where: "https://x.example/\r\nBcc: all@example.com"}
	for _, tt := range []struct {
		name, subject string
		texts         []string
	}{
		{"it still works", "has leaked and still works", []string{"offkey leak --id " + k.ID + " --contain", "somebody outside"}},
		{"it is stopped", "has leaked and was stopped", []string{"offkey leak close lk_1 --restore", "cl_a cl_b"}},
	} {
		told, err := w.LeakFound(t.Context(), r, k, nil)
		if err != nil || told != "its owner and the admins" {
			t.Fatalf("%s: told %q, %v", tt.name, told, err)
		}
		var to []string
		for _, name := range w.files() {
			header, _, text := opened(t, w.file(name))
			to = append(to, header.Get("To"))
			if !strings.Contains(header.Get("Subject"), tt.subject) || header.Get("Bcc") != "" {
				t.Errorf("%s: header %v", tt.name, header)
			}
			for _, want := range tt.texts {
				if !strings.Contains(text, want) {
					t.Errorf("%s: %q is not in\n%s", tt.name, want, text)
				}
			}
			if err := w.spool.remove(name); err != nil {
				t.Fatal(err)
			}
		}
		if slices.Sort(to); !slices.Equal(to, []string{`"Ops" <ops@example.com>`, "<owner@acme.example>"}) {
			t.Errorf("%s: to %q", tt.name, to)
		}
		r.ContainedAt, r.Disabled = w.Now(), []string{"cl_a", "cl_b"}
	}
}

func TestALeakThatNobodyHearsOfIsInTheFolder(t *testing.T) {
	w := newWorld(t, func(s *Settings) { s.Admins = nil })
	told, err := w.LeakFound(t.Context(), &leak.Record{ID: "lk_1", Subject: leak.Subject{Kind: leak.KindToken, ID: "cl_1"}}, nil, nil)
	if err != nil || told != "" || len(w.files()) != 1 {
		t.Errorf("told %q, %d files, %v", told, len(w.files()), err)
	}
}
