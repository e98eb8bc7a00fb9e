package migration

import (
	"context"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/offkey/offkey/internal/traffic"
)

// Forecast is when calls with apikeys end, as far as the last 30 days say. Its
// method is plain: the share of apikeys among the calls with a credential is
// taken for each day, a line is laid through the shares by least squares with
// each day weighing as much as it has calls, and where that line meets zero no
// call has an apikey any more. It knows nothing of dates that were announced.
type Forecast struct {
	At     *time.Time `json:"at"`      // null where it is not to be seen
	Share  float64    `json:"share"`   // of apikeys today, on the line
	PerDay float64    `json:"per_day"` // by which it changes
	Days   int        `json:"days"`    // that had calls
	Why    string     `json:"why"`     // there is none; "" where there is one
}

// What a forecast is made from at the least, and how far it looks.
const (
	forecastDays  = 7
	forecastReach = 3650 // days
	forecastSlope = -1e-6
)

// forecastOf lays the line through the days given, the last of which is today.
func forecastOf(days []CallCount, now time.Time) Forecast {
	var f Forecast
	var w, wx, wy, wxx, wxy float64
	for i, d := range days {
		calls := float64(d.APIKey + d.Token)
		if calls == 0 {
			continue
		}
		f.Days++
		x, y := float64(i-len(days)+1), float64(d.APIKey)/calls
		w, wx, wy, wxx, wxy = w+calls, wx+calls*x, wy+calls*y, wxx+calls*x*x, wxy+calls*x*y
	}
	if f.Days < forecastDays {
		f.Why = fmt.Sprintf("only %d of the last %d days have calls with a credential, %d are needed", f.Days, len(days), forecastDays)
		return f
	}
	if spread := w*wxx - wx*wx; spread > 0 {
		f.PerDay = (w*wxy - wx*wy) / spread
		f.Share = math.Min(math.Max((wy-f.PerDay*wx)/w, 0), 1)
	}
	left := f.Share / -f.PerDay
	switch {
	case f.PerDay > forecastSlope && f.Share == 0:
		left = 0
	case f.PerDay > forecastSlope:
		f.Why = "the share of apikeys does not fall"
		return f
	case left > forecastReach:
		f.Why = "it falls so slowly that it would take more than ten years"
		return f
	}
	f.At = instant(now.Add(time.Duration(left * 24 * float64(time.Hour))).Truncate(24 * time.Hour))
	return f
}

// BurnDown is how calls moved from apikeys to tokens, day by day.
type BurnDown struct {
	Kinds    []string  `json:"kinds"` // of credentials, apikeys first
	Days     []BurnDay `json:"days"`
	Forecast Forecast  `json:"forecast"`
}

// BurnDay is one day. Calls and Refused are by kind, in the order of Kinds.
type BurnDay struct {
	Day     string  `json:"day"`
	Calls   []int64 `json:"calls"`
	Refused []int64 `json:"refused"`
	APIKey  float64 `json:"apikey_share"` // among calls with a credential
}

// kindOrder is the order in which kinds of credentials are shown: from what is
// to go to what is to stay.
var kindOrder = []string{
	"apikey:query", "apikey:cookie", "apikey:basic", "apikey:header", "apikey:authorization", "apikey:other",
	"client:client_secret_post", "client:client_secret_basic", "client:none", "client:other", "client:private_key_jwt",
	"client:tls_client_auth", "client:self_signed_tls_client_auth", "client:federated_jwt", traffic.KindNone, traffic.KindUnknown,
}

// BurnDown counts the last days, today included. Days without calls are in it.
func (r *Road) BurnDown(ctx context.Context, length int) (BurnDown, error) {
	now := r.Now()
	days, err := r.Store.DailyCalls(ctx, now.UTC().Truncate(24*time.Hour).AddDate(0, 0, 1-length), time.Time{})
	if err != nil {
		return BurnDown{}, err
	}
	out := burnDownOf(days, now, length)
	counted, err := r.burn.days(ctx, r.Store, now)
	if err != nil {
		return BurnDown{}, err
	}
	out.Forecast = forecastOf(counted, now)
	return out, nil
}

// burnDownOf arranges what was counted.
func burnDownOf(counted []traffic.Day, now time.Time, length int) BurnDown {
	out := BurnDown{Kinds: []string{}, Days: make([]BurnDay, length)}
	seen := map[string]bool{}
	for _, d := range counted {
		seen[d.Kind] = true
	}
	for _, kind := range kindOrder {
		if seen[kind] {
			out.Kinds = append(out.Kinds, kind)
			delete(seen, kind)
		}
	}
	for _, d := range counted { // of a release that knows more
		if seen[d.Kind] {
			out.Kinds = append(out.Kinds, d.Kind)
			delete(seen, d.Kind)
		}
	}
	place := map[string]int{}
	for i, kind := range out.Kinds {
		place[kind] = i
	}
	first := now.UTC().Truncate(24*time.Hour).AddDate(0, 0, 1-length)
	for i := range out.Days {
		out.Days[i] = BurnDay{Day: first.AddDate(0, 0, i).Format(time.DateOnly), Calls: make([]int64, len(out.Kinds)), Refused: make([]int64, len(out.Kinds))}
	}
	for _, d := range counted {
		i := int(d.Day.Sub(first) / (24 * time.Hour))
		if i < 0 || i >= length {
			continue
		}
		out.Days[i].Calls[place[d.Kind]] += d.Calls
		out.Days[i].Refused[place[d.Kind]] += d.Refused
	}
	for i := range out.Days {
		var apikeys, credentialed int64
		for j, kind := range out.Kinds {
			switch {
			case strings.HasPrefix(kind, "apikey:"):
				apikeys += out.Days[i].Calls[j]
				credentialed += out.Days[i].Calls[j]
			case strings.HasPrefix(kind, "client:"):
				credentialed += out.Days[i].Calls[j]
			}
		}
		if credentialed > 0 {
			out.Days[i].APIKey = float64(apikeys) / float64(credentialed)
		}
	}
	return out
}
