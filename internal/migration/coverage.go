package migration

import (
	"slices"
	"time"
)

// coverage is which kinds of day were recorded. A forecast from two quiet weeks
// knows nothing of the job that runs at the end of the quarter.
type coverage struct {
	first, last          time.Time
	weekdays             [7]bool
	monthEnd, quarterEnd bool
}

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
	}
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
	if !c.monthEnd {
		out = append(out, "month end")
	}
	if !c.quarterEnd {
		out = append(out, "quarter end")
	}
	week := []time.Weekday{time.Monday, time.Tuesday, time.Wednesday, time.Thursday, time.Friday, time.Saturday, time.Sunday}
	for _, d := range slices.DeleteFunc(week, func(d time.Weekday) bool { return c.weekdays[d] }) {
		out = append(out, d.String())
	}
	return out
}
