package main

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

type burnDownDoc struct {
	Kinds []string `json:"kinds"`
	Days  []struct {
		Day     string  `json:"day"`
		Calls   []int64 `json:"calls"`
		Refused []int64 `json:"refused"`
		APIKey  float64 `json:"apikey_share"`
	} `json:"days"`
	Forecast struct {
		At  time.Time `json:"at"`
		Why string    `json:"why"`
	} `json:"forecast"`
}

// burnDown shows how calls moved from apikeys to tokens.
func (c *statusCmd) burnDown(ctx context.Context, t *terminal, o *operator) error {
	var raw json.RawMessage
	if err := o.get(ctx, "/burn-down", parameters("days", strconv.Itoa(c.Days)), &raw); err != nil {
		return err
	}
	if t.JSON {
		return t.document(raw)
	}
	var d burnDownDoc
	if err := json.Unmarshal(raw, &d); err != nil {
		return err
	}
	if c.CSV {
		return d.csv(t)
	}
	return d.print(t)
}

func (d burnDownDoc) csv(t *terminal) error {
	out := csv.NewWriter(t.Out)
	head := []string{"day", "apikey_share"}
	for _, kind := range d.Kinds {
		head = append(head, kind, kind+" refused")
	}
	rows := [][]string{head}
	for _, day := range d.Days {
		row := []string{day.Day, strconv.FormatFloat(day.APIKey, 'f', 4, 64)}
		for i := range d.Kinds {
			row = append(row, strconv.FormatInt(day.Calls[i], 10), strconv.FormatInt(day.Refused[i], 10))
		}
		rows = append(rows, row)
	}
	return out.WriteAll(rows)
}

// print draws a line a day: the share of apikeys, and what the calls came with.
func (d burnDownDoc) print(t *terminal) error {
	heads := []column{{head: "DAY"}, {head: "BY APIKEY"}, {head: ""}}
	for _, kind := range d.Kinds {
		heads = append(heads, column{head: strings.ToUpper(strings.TrimPrefix(strings.TrimPrefix(kind, "client:"), "apikey:")), right: true})
	}
	rows := make([][]string, 0, len(d.Days))
	for _, day := range d.Days {
		share, drawn := "-", ""
		if slices.ContainsFunc(day.Calls, func(n int64) bool { return n > 0 }) {
			const width = 20
			filled := int(day.APIKey*width + 0.5)
			share, drawn = fmt.Sprintf("%5.1f %%", 100*day.APIKey), strings.Repeat("#", filled)+strings.Repeat(".", width-filled)
		}
		row := []string{day.Day, share, drawn}
		for _, n := range day.Calls {
			row = append(row, thousands(n))
		}
		rows = append(rows, row)
	}
	if err := writeTable(t.Out, heads, rows); err != nil {
		return err
	}
	switch {
	case d.Forecast.Why != "":
		t.say("No forecast: %s.", d.Forecast.Why)
	case !d.Forecast.At.IsZero():
		t.say("At this rate no call has an apikey from %s.", day(d.Forecast.At))
	}
	return nil
}
