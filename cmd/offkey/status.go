package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
)

// statusCmd shows how far the road has been walked.
type statusCmd struct {
	operatorFlags
	Watch bool          `help:"Show it again and again, until Ctrl-C."`
	Every time.Duration `default:"2s" placeholder:"TIME" help:"With --watch: how often. Default 2s."`

	BurnDown bool `name:"burn-down" help:"Calls of each day by kind of credential, kept for 400 days."`
	Days     int  `default:"30" placeholder:"N" help:"With --burn-down: how many days. Default 30."`
	CSV      bool `name:"csv" help:"With --burn-down: print CSV with a heading."`
}

func (statusCmd) Help() string {
	return `Examples:
  offkey status
  offkey status --watch
  offkey status --json | jq .calls
  offkey status --burn-down --days 90

Calls are those of the last 30 days. The forecast is where a straight line through the share of apikeys of each day, a day
weighing as much as it has calls, meets zero; it knows nothing of announced dates. Where it cannot tell it says why.`
}

type statusDoc struct {
	Stage   string    `json:"stage"`
	Since   time.Time `json:"since"`
	APIKeys struct {
		Total   int64            `json:"total"`
		Used    int64            `json:"used_30d"`
		ByStage map[string]int64 `json:"by_stage"`
	} `json:"apikeys"`
	Calls struct {
		APIKey int64 `json:"apikey"`
		Token  int64 `json:"token"`
		Other  int64 `json:"other"`
	} `json:"calls"`
	Forecast time.Time `json:"forecast"`
	Why      string    `json:"forecast_why"`
	Next     *struct {
		Event string    `json:"event"`
		At    time.Time `json:"at"`
	} `json:"next"`
}

// Run shows.
func (c *statusCmd) Run(ctx context.Context, t *terminal) error {
	o := c.connect()
	if c.BurnDown {
		return c.burnDown(ctx, t, o)
	}
	for {
		var raw json.RawMessage
		if err := o.get(ctx, "/status", nil, &raw); err != nil {
			if c.Watch && ctx.Err() != nil {
				return nil
			}
			return err
		}
		if err := showStatus(t, raw, c.Watch); err != nil || !c.Watch {
			return err
		}
		select {
		case <-ctx.Done():
			return nil // Ctrl-C is how this ends
		case <-time.After(max(c.Every, 100*time.Millisecond)):
		}
	}
}

func showStatus(t *terminal, raw json.RawMessage, again bool) error {
	if t.JSON {
		if !again {
			return t.document(raw)
		}
		_, err := fmt.Fprintf(t.Out, "%s\n", raw) // a document per line
		return err
	}
	var s statusDoc
	if err := json.Unmarshal(raw, &s); err != nil {
		return err
	}
	if again && isTerminal(t.Out) {
		fmt.Fprint(t.Out, "\x1b[H\x1b[2J")
	}
	return s.print(t)
}

var stageOrder = []string{"observe", "warn", "brownout", "upgrade_only", "retired", "blocked"}

func (s statusDoc) print(t *terminal) error {
	stage := s.Stage
	if !s.Since.IsZero() {
		stage += " since " + day(s.Since)
	}
	var byStage []string
	for _, name := range stageOrder {
		if n := s.APIKeys.ByStage[name]; n > 0 {
			byStage = append(byStage, fmt.Sprintf("%s %s", thousands(n), name))
		}
	}
	for name, n := range s.APIKeys.ByStage { // of a newer server
		if !slices.Contains(stageOrder, name) && n > 0 {
			byStage = append(byStage, fmt.Sprintf("%s %s", thousands(n), name))
		}
	}
	apikeys := fmt.Sprintf("%s, %s used in 30 days", thousands(s.APIKeys.Total), thousands(s.APIKeys.Used))
	if len(byStage) > 0 {
		apikeys += ": " + strings.Join(byStage, ", ")
	}
	forecast := "not to be seen yet"
	if s.Why != "" {
		forecast += ": " + s.Why
	}
	switch credentialed := s.Calls.APIKey + s.Calls.Token; {
	case credentialed > 0 && s.Calls.APIKey == 0:
		forecast = "done: no call with an apikey in 30 days"
	case !s.Forecast.IsZero():
		forecast = "no more calls with apikeys from " + day(s.Forecast)
	}
	next := "-"
	if s.Next != nil {
		next = fmt.Sprintf("%s, %s", s.Next.Event, day(s.Next.At))
	}
	return writePairs(t.Out, [][2]string{
		{"stage of all", stage}, {"apikeys", apikeys},
		{"calls, 30 days", fmt.Sprintf("%s with an apikey, %s with a token, %s with neither", thousands(s.Calls.APIKey), thousands(s.Calls.Token), thousands(s.Calls.Other))},
		{"tokens", bar(s.Calls.Token, s.Calls.APIKey+s.Calls.Token)},
		{"forecast", forecast}, {"next", next},
	})
}

// bar draws the share that has moved, with its number beside it.
func bar(part, whole int64) string {
	if whole == 0 {
		return ""
	}
	const width = 30
	filled := int(part * width / whole)
	return fmt.Sprintf("[%s%s] %.1f %%", strings.Repeat("#", filled), strings.Repeat(".", width-filled), 100*float64(part)/float64(whole))
}
