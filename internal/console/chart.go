package console

import "github.com/offkey/offkey/internal/apikey"

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
