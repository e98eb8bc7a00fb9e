package migration

import (
	"maps"
	"slices"
	"time"
)

// coverage is which kinds of day were recorded. A forecast from two quiet weeks
// knows nothing of the job that runs at the end of the quarter.
type coverage struct {
	first, last                   time.Time
	weekdays                      [7]bool
	monthEnd, quarterEnd, yearEnd bool
	days                          map[int64]struct{} // since 1970 by UTC; nil where gaps are not looked for
}

// maxDays bounds the days that gaps are looked for among.
const maxDays = 4000

// withGaps is a coverage that also finds days without any call.
func withGaps() coverage { return coverage{days: map[int64]struct{}{}} }

// add notes that there were calls at first and at last, of one hour.
func (c *coverage) add(first, last time.Time) {
	c.first, c.last = earliest(c.first, first), latest(c.last, last)
	c.day(first)
	c.day(last)
}

func (c *coverage) day(at time.Time) {
	at = at.UTC()
	c.weekdays[at.Weekday()] = true
	if _, month, day := at.AddDate(0, 0, 1).Date(); day == 1 {
		c.monthEnd = true
		c.quarterEnd = c.quarterEnd || month%3 == 1
		c.yearEnd = c.yearEnd || month == time.January
	}
	if c.days != nil && len(c.days) < maxDays {
		c.days[at.Unix()/86400] = struct{}{}
	}
}

// shortestGap is how many days without any call, one after another, are told: a
// weekend is no gap.
const (
	shortestGap = 3
	maxGaps     = 5
)

// gaps are spans of days without any call between the first and the last, as
// when nothing was recorded or a log is missing.
func (c *coverage) gaps() (out []string) {
	date := func(day int64) string { return time.Unix(day*86400, 0).UTC().Format(time.DateOnly) }
	days := slices.Sorted(maps.Keys(c.days))
	for i := 1; i < len(days); i++ {
		if days[i]-days[i-1] > shortestGap && len(out) < maxGaps {
			out = append(out, date(days[i-1]+1)+" to "+date(days[i]-1))
		}
	}
	return out
}

// missing names what was not seen in the window, days by UTC.
func (c *coverage) missing(w Window) []string {
	out := []string{}
	if c.first.IsZero() {
		return append(out, "no calls are recorded in this window")
	}
	if from := c.first.UTC(); from.Sub(w.From) >= 24*time.Hour && !w.From.IsZero() {
		out = append(out, "before "+from.Format(time.DateOnly))
	}
	out = append(out, c.gaps()...)
	if !c.monthEnd {
		out = append(out, "month end")
	}
	if !c.quarterEnd {
		out = append(out, "quarter end")
	}
	if !c.yearEnd {
		out = append(out, "year end")
	}
	week := []time.Weekday{time.Monday, time.Tuesday, time.Wednesday, time.Thursday, time.Friday, time.Saturday, time.Sunday}
	for _, d := range slices.DeleteFunc(week, func(d time.Weekday) bool { return c.weekdays[d] }) {
		out = append(out, d.String())
	}
	return out
}
