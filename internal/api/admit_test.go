package api

import "testing"

func TestOwnCommandsAndRootsAreLetInAndNobodyElses(t *testing.T) {
	tests := []struct {
		name  string
		uid   uint32
		own   int
		actor string // "" is refused
	}{
		{"the same user", 1000, 1000, "os:1000"},
		{"root", 0, 1000, "os:0"},
		{"another user", 1001, 1000, ""},
		{"another user, of root's process", 1000, 0, ""},
		{"root, of root's process", 0, 0, "os:0"},
		{"a number that does not fit into 31 bits", 4294967294, 1000, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			actor, err := admit(tt.uid, tt.own)
			if actor != tt.actor || (err == nil) != (tt.actor != "") {
				t.Errorf("got %q, %v, want %q", actor, err, tt.actor)
			}
		})
	}
}
