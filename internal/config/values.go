package config

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Duration is a time.Duration that also knows days, as in 30d.
type Duration time.Duration

// UnmarshalText reads 15m, 24h or 30d.
func (d *Duration) UnmarshalText(b []byte) error {
	s := string(b)
	if days, ok := strings.CutSuffix(s, "d"); ok {
		n, err := strconv.Atoi(days)
		if err != nil || n < 0 || n > 36500 {
			return fmt.Errorf("%q is not a duration: write 15m, 24h or 30d", s)
		}
		*d = Duration(time.Duration(n) * 24 * time.Hour)
		return nil
	}
	v, err := time.ParseDuration(s)
	if err != nil || v < 0 {
		return fmt.Errorf("%q is not a duration: write 15m, 24h or 30d", s)
	}
	*d = Duration(v)
	return nil
}

func (d Duration) String() string {
	const day = 24 * time.Hour
	v := time.Duration(d)
	if v >= day && v%day == 0 {
		return strconv.FormatInt(int64(v/day), 10) + "d"
	}
	s := v.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// MarshalText writes the duration as it is read.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// Date is a day, or a moment, in UTC unless it says otherwise.
type Date struct{ time.Time }

// UnmarshalText reads 2027-09-30 or a full RFC 3339 time.
func (d *Date) UnmarshalText(b []byte) error {
	s := string(b)
	for _, layout := range []string{time.DateOnly, time.RFC3339} {
		if t, err := time.Parse(layout, s); err == nil {
			d.Time = t.UTC()
			return nil
		}
	}
	return fmt.Errorf("%q is not a date: write 2027-09-30 or 2027-09-30T14:00:00Z", s)
}

// MarshalText writes the date as it is read; nothing for the zero date.
func (d Date) MarshalText() ([]byte, error) {
	switch {
	case d.IsZero():
		return nil, nil
	case d.Equal(d.Truncate(24 * time.Hour)):
		return []byte(d.Format(time.DateOnly)), nil
	}
	return []byte(d.Format(time.RFC3339)), nil
}

// MarshalJSON writes the date as a string; time.Time's own would not leave the
// time of day out.
func (d Date) MarshalJSON() ([]byte, error) {
	text, _ := d.MarshalText()
	return json.Marshal(string(text))
}

// Rate is a number of calls per unit of time; the zero Rate is no limit.
type Rate struct {
	Count int
	Per   time.Duration
}

var rateUnits = map[string]time.Duration{"s": time.Second, "m": time.Minute, "h": time.Hour}

// UnmarshalText reads 100/s, 5/m or 1000/h.
func (r *Rate) UnmarshalText(b []byte) error {
	if len(b) == 0 {
		*r = Rate{}
		return nil
	}
	count, unit, _ := strings.Cut(string(b), "/")
	n, err := strconv.Atoi(count)
	per := rateUnits[unit]
	if err != nil || n <= 0 || per == 0 {
		return fmt.Errorf("%q is not a rate: write 100/s, 5/m or 1000/h", b)
	}
	*r = Rate{n, per}
	return nil
}

// MarshalText writes the rate as it is read.
func (r Rate) MarshalText() ([]byte, error) {
	for unit, per := range rateUnits {
		if r.Per == per {
			return fmt.Appendf(nil, "%d/%s", r.Count, unit), nil
		}
	}
	return nil, nil
}

// PerSecond is the rate as a number of calls per second.
func (r Rate) PerSecond() float64 {
	if r.Per == 0 {
		return 0
	}
	return float64(r.Count) / r.Per.Seconds()
}
