package migration

import (
	"strings"
	"testing"
	"time"
)

func TestNotCovered(t *testing.T) {
	day := func(s string) time.Time {
		at, err := time.Parse(time.DateOnly, s)
		if err != nil {
			t.Fatal(err)
		}
		return at
	}
	window := Window{day("2026-11-09"), day("2026-11-23")}
	everyDay := func(from, to string) (days []time.Time) {
		for d := day(from); !d.After(day(to)); d = d.AddDate(0, 0, 1) {
			days = append(days, d.Add(23*time.Hour))
		}
		return days
	}
	tests := []struct {
		name   string
		window Window
		seen   []time.Time
		want   string
	}{
		{"nothing", window, nil, "no calls are recorded in this window"},
		{"two plain weeks", window, everyDay("2026-11-09", "2026-11-22"), "month end | quarter end | year end"},
		{"over the end of a month", window, everyDay("2026-10-25", "2026-11-05"), "quarter end | year end"},
		{"over the end of a quarter", window, everyDay("2026-09-25", "2026-10-05"), "year end"},
		{"over the end of the year", Window{day("2026-12-28"), day("2027-01-06")}, everyDay("2026-12-28", "2027-01-05"), ""},
		{"the last day of February", window, everyDay("2026-02-22", "2026-02-28"), "quarter end | year end"},
		{"the first of a month only", window, everyDay("2026-11-01", "2026-11-07"), "month end | quarter end | year end"},
		{"no weekend", window, everyDay("2026-11-09", "2026-11-13"), "month end | quarter end | year end | Saturday | Sunday"},
		{"recorded later than asked", Window{day("2026-11-01"), day("2026-11-23")}, everyDay("2026-11-10", "2026-11-22"), "before 2026-11-10 | month end | quarter end | year end"},
		{"nothing for three days", window, append(everyDay("2026-11-09", "2026-11-12"), everyDay("2026-11-16", "2026-11-22")...), "2026-11-13 to 2026-11-15 | month end | quarter end | year end"},
		{"nothing for two days", window, append(everyDay("2026-11-09", "2026-11-12"), everyDay("2026-11-15", "2026-11-22")...), "month end | quarter end | year end"},
		{"a year", Window{day("2025-11-01"), day("2026-11-01")}, everyDay("2025-11-01", "2026-10-31"), ""},
		{"days are those of UTC", window, []time.Time{time.Date(2026, 10, 1, 1, 0, 0, 0, time.FixedZone("", 2*3600))}, "year end | Monday | Tuesday | Thursday | Friday | Saturday | Sunday"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := withGaps()
			for _, at := range tt.seen {
				c.add(at, at)
			}
			if got := strings.Join(c.missing(tt.window), " | "); got != tt.want {
				t.Errorf("not covered: %q, want %q", got, tt.want)
			}
		})
	}
}
