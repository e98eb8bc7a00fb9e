package console

import (
	"fmt"
	"strings"

	"github.com/offkey/offkey/internal/apikey"
	"github.com/offkey/offkey/internal/migration"
)

// bar is one part of a stacked bar, in percent of its width.
type bar struct {
	Name   string
	Class  string
	Count  int
	X, Len float64
}

// stageBar is apikeys by the stage that holds, in the order of the road. Every
// chart stands beside the table that it was made from.
func stageBar(byStage map[string]int) (bars []bar) {
	total := 0
	for _, n := range byStage {
		total += n
	}
	if total == 0 {
		return nil
	}
	x := 0.0
	for stage := apikey.Observe; stage <= apikey.Blocked; stage++ {
		n := byStage[stage.String()]
		if n == 0 {
			continue
		}
		length := 100 * float64(n) / float64(total)
		bars = append(bars, bar{Name: stage.String(), Class: "stage-" + stage.String(), Count: n, X: x, Len: length})
		x += length
	}
	return bars
}

// burn is the burn-down as a chart and as the table beside it: the share of
// calls of each day that came with an apikey, with a token, or with neither.
type burn struct {
	Areas []area
	Marks []mark
	Rows  []burnRow
	Days  int // that had calls
	Width int
}

// area is one kind of credential over the days, stacked on those below it.
type area struct{ Name, Class, Path string }

// mark is a date below the chart.
type mark struct {
	X    int
	Text string
}

type burnRow struct {
	Day                  string
	APIKey, Token, Other int64
	Share                float64 // of apikeys among calls with a credential, in percent
}

// A day is this wide in the chart, and a whole day this high.
const (
	dayWidth    = 10
	chartHeight = 100
)

// burnOf draws the days that are on record. A day without calls leaves a gap.
func burnOf(b migration.BurnDown) (c burn) {
	for _, d := range b.Days {
		row := burnRow{Day: d.Day, Share: 100 * d.APIKey}
		for i, n := range d.Calls {
			switch kind := b.Kinds[i]; {
			case strings.HasPrefix(kind, "apikey"):
				row.APIKey += n
			case strings.HasPrefix(kind, "client"):
				row.Token += n
			default:
				row.Other += n
			}
		}
		c.Rows = append(c.Rows, row)
		if row.APIKey+row.Token+row.Other > 0 {
			c.Days++
		}
	}
	c.Width = dayWidth * len(c.Rows)
	paths := [3]strings.Builder{}
	for x, row := range c.Rows {
		total := row.APIKey + row.Token + row.Other
		if total == 0 {
			continue
		}
		y := float64(chartHeight)
		for i, n := range []int64{row.APIKey, row.Token, row.Other} {
			height := chartHeight * float64(n) / float64(total)
			y -= height
			if n > 0 {
				fmt.Fprintf(&paths[i], "M%d %.2fh%dv%.2fh-%dz", x*dayWidth, y, dayWidth-1, height, dayWidth-1)
			}
		}
	}
	for i, name := range []string{"API key", "token", "neither"} {
		c.Areas = append(c.Areas, area{name, []string{"by-apikey", "by-token", "by-none"}[i], paths[i].String()})
	}
	for x := 0; x < len(c.Rows); x += 30 {
		c.Marks = append(c.Marks, mark{x * dayWidth, c.Rows[x].Day})
	}
	return c
}
