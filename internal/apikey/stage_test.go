package apikey

import (
	"encoding/json"
	"testing"
)

func TestStages(t *testing.T) {
	tests := []struct {
		stage           Stage
		name            string
		passes, upgrade bool
	}{
		{Inherit, "inherit", false, false}, // it must be resolved before it is asked
		{Observe, "observe", true, true},
		{Warn, "warn", true, true},
		{Brownout, "brownout", true, true},
		{UpgradeOnly, "upgrade_only", false, true},
		{Retired, "retired", false, false},
		{Blocked, "blocked", false, false},
		{Blocked + 1, "stage(7)", false, false},
		{255, "stage(255)", false, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if tt.stage.String() != tt.name || tt.stage.Passes() != tt.passes || tt.stage.OpensUpgrade() != tt.upgrade {
				t.Errorf("%v: passes %v, opens upgrade %v", tt.stage, tt.stage.Passes(), tt.stage.OpensUpgrade())
			}
		})
	}
}

func TestParseStage(t *testing.T) {
	for want := range Blocked + 1 {
		b, err := json.Marshal(want)
		var got Stage
		if err != nil || json.Unmarshal(b, &got) != nil || got != want {
			t.Errorf("%v is written %s and read %v", want, b, got)
		}
	}
	if got, err := ParseStage("Warn"); err != nil || got != Warn {
		t.Errorf("Warn is read %v, %v", got, err)
	}
	for _, name := range []string{"", "warned", "stage(7)", "upgrade-only", "7"} {
		if got, err := ParseStage(name); err == nil || got != Inherit {
			t.Errorf("%q is read %v", name, got)
		}
	}
	_, err := ParseStage("done")
	if want := `unknown stage "done": the stages are observe, warn, brownout, upgrade_only, retired, blocked`; err.Error() != want {
		t.Errorf("error is %q", err)
	}
}
