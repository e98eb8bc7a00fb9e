package leak

import (
	"strings"
	"testing"
	"time"
)

var noon = time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)

func TestALeakIsOpenUntilItIsContained(t *testing.T) {
	r := Record{Opened: noon}
	for _, step := range []struct {
		name string
		do   func()
		want Status
	}{
		{"found", func() {}, Open},
		{"told, and not stopped", func() { r.NotifiedAt = noon }, Open},
		{"stopped", func() { r.ContainedAt = noon }, Notified},
		{"stopped and nobody told", func() { r.NotifiedAt = time.Time{} }, Contained},
		{"replaced", func() { r.ReplacedBy = "cl_1" }, Replaced},
		{"closed", func() { r.ClosedAt = noon }, Closed},
	} {
		if step.do(); r.Status() != step.want {
			t.Errorf("%s: status %s", step.name, r.Status())
		}
	}
}

func TestATimelineKeepsItsBeginning(t *testing.T) {
	var r Record
	for range maxTimeline + 50 {
		r.Note(noon, "stranger", "reported again")
	}
	r.Note(noon, "os:0", "closed")
	if len(r.Timeline) != maxTimeline || r.Timeline[maxTimeline-1].What != "closed" {
		t.Errorf("%d lines, the last is %q", len(r.Timeline), r.Timeline[len(r.Timeline)-1].What)
	}
}

func TestTextsOfStrangersAreOneLine(t *testing.T) {
	got := OneLine("\x1b[2Jhttps://x.example/\r\nowner: me\u202e" + strings.Repeat("a", 1000))
	if strings.ContainsAny(got, "\x1b\r\n\u202e") || len([]rune(got)) != maxText+3 {
		t.Errorf("%q", got)
	}
}
