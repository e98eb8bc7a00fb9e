package policy

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/offkey/offkey/internal/apikey"
)

// Share is a part of all apikeys, in hundredths of a percent; the zero Share is
// all of them. Which apikeys are in it depends on their ids alone, so that 5 %
// are always the same apikeys and 10 % contain them.
type Share int

// wholeShare is all apikeys, written as a share.
const wholeShare = 100_00

// ParseShare reads 5% or 0.25%.
func ParseShare(text string) (Share, error) {
	number, percent := strings.CutSuffix(strings.TrimSpace(text), "%")
	f, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
	s := Share(f*100 + 0.5)
	if !percent || err != nil || s < 1 || s > wholeShare || f > 100 {
		return 0, fmt.Errorf("%q is no share: write 5%% or 0.25%%", text)
	}
	return s, nil
}

func (s Share) String() string {
	if s == 0 {
		return "100%"
	}
	return strconv.FormatFloat(float64(s)/100, 'f', -1, 64) + "%"
}

// MarshalText writes the share as it is read.
func (s Share) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads the share.
func (s *Share) UnmarshalText(b []byte) (err error) {
	*s, err = ParseShare(string(b))
	return err
}

// takes reports whether k is in the share. An apikey that nobody knows is in
// none but all.
func (s Share) takes(k *apikey.Key) bool {
	return s == 0 || s >= wholeShare || k != nil && placeOf(k.ID) < s
}

// placeOf is where an apikey stands between the first and the last, by FNV-1a
// and a final mix, since ids that were made together differ little.
func placeOf(id string) Share {
	h := uint64(14695981039346656037)
	for i := range len(id) {
		h = (h ^ uint64(id[i])) * 1099511628211
	}
	h ^= h >> 33
	h *= 0xff51afd7ed558ccd
	h ^= h >> 33
	return Share(h % wholeShare)
}
