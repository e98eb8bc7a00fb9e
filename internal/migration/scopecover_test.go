package migration

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// bruteForce tries every set of scopes.
func bruteForce(operations [][][]int, weight []float64) (least float64) {
	least = -1
	for set := range 1 << len(weight) {
		have := make([]bool, len(weight))
		sum := 0.0
		for s := range weight {
			if set>>s&1 == 1 {
				have[s], sum = true, sum+weight[s]
			}
		}
		if least >= 0 && sum >= least {
			continue
		}
		if !slices.ContainsFunc(operations, func(op [][]int) bool { return remaining(op, have) != nil }) {
			least = sum
		}
	}
	return least
}

func TestLeastCoverIsTheLeast(t *testing.T) {
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 1))
		weight := make([]float64, 2+r.IntN(10))
		for s := range weight {
			weight[s] = float64(1 + r.IntN(6)) // many alike, so that ties are met
			if seed%2 == 0 {
				weight[s] = 0.1 + r.Float64()
			}
		}
		var operations [][][]int
		for range 1 + r.IntN(14) {
			var op [][]int
			for range 1 + r.IntN(4) {
				var alternative []int
				for range 1 + r.IntN(1+r.IntN(3)) {
					alternative = append(alternative, r.IntN(len(weight)))
				}
				op = append(op, alternative)
			}
			operations = append(operations, op)
		}
		chosen, exact := leastCover(operations, weight)
		have, sum := make([]bool, len(weight)), 0.0
		for _, s := range chosen {
			have[s], sum = true, sum+weight[s]
		}
		for _, op := range operations {
			if remaining(op, have) != nil {
				t.Fatalf("seed %d: %v is not open with %v", seed, op, chosen)
			}
		}
		if want := bruteForce(operations, weight); !exact || sum > want+1e-9 {
			t.Fatalf("seed %d: weight %v (exact: %v), the least is %v", seed, sum, exact, want)
		}
	}
}

func TestACoverThatIsTooHardSaysSo(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 7))
	weight := make([]float64, 90)
	for s := range weight {
		weight[s] = 1
	}
	var operations [][][]int
	for range 200 {
		var op [][]int
		for range 4 {
			op = append(op, []int{r.IntN(len(weight))})
		}
		operations = append(operations, op)
	}
	chosen, exact := leastCover(operations, weight)
	have := make([]bool, len(weight))
	for _, s := range chosen {
		have[s] = true
	}
	for _, op := range operations {
		if remaining(op, have) != nil {
			t.Fatal("an operation is left shut")
		}
	}
	if exact {
		t.Error("a search that was left off says that it is proved")
	}
}
