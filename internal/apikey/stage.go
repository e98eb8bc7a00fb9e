package apikey

import (
	"fmt"
	"slices"
	"strings"
)

// Stage is how far the retirement of an apikey has gone. The zero Stage means
// that the apikey has none of its own and takes the stage of all.
type Stage uint8

// The stages in the order of the road; Blocked is the side exit for a leak.
const (
	Inherit Stage = iota
	Observe
	Warn
	Brownout
	UpgradeOnly
	Retired
	Blocked
)

var stageNames = [...]string{"inherit", "observe", "warn", "brownout", "upgrade_only", "retired", "blocked"}

func (s Stage) String() string {
	if int(s) < len(stageNames) {
		return stageNames[s]
	}
	return fmt.Sprintf("stage(%d)", uint8(s))
}

// ParseStage reads a stage's name as the command line and the file spell it.
func ParseStage(name string) (Stage, error) {
	if i := slices.Index(stageNames[:], strings.ToLower(name)); i >= 0 {
		return Stage(i), nil
	}
	return Inherit, fmt.Errorf("unknown stage %q: the stages are %s", name, strings.Join(stageNames[1:], ", "))
}

// MarshalText writes the stage's name.
func (s Stage) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads the stage's name.
func (s *Stage) UnmarshalText(b []byte) (err error) {
	*s, err = ParseStage(string(b))
	return err
}

// Passes reports whether calls with the apikey alone reach the API in this
// stage, outside of brownout windows.
func (s Stage) Passes() bool { return s == Observe || s == Warn || s == Brownout }

// OpensUpgrade reports whether the apikey may still be traded for a client or
// a token: never once it is blocked or retired, so that a stolen apikey cannot
// outlive its end.
func (s Stage) OpensUpgrade() bool { return s >= Observe && s <= UpgradeOnly }
