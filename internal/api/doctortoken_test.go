package api_test

import (
	"testing"

	"github.com/offkey/offkey/internal/api"
)

func TestADoctorFindsTokenCallsThatReachAnAPIWithoutItsAPIKey(t *testing.T) {
	w := newWorld(t)
	w.healthy()
	const check = "token calls to orders"
	enforce := func(how string) { w.ask(200, "POST", "/routes/enforce", map[string]string{"enforce": how}) }
	for _, tc := range []struct {
		name  string
		wants bool
		do    func()
		want  string
	}{
		{"an API that understands tokens or headers", false, func() {}, ""},
		{"nothing is enforced", true, func() {}, api.FindingWarning},
		{"counted only", true, func() { enforce("shadow") }, api.FindingWarning},
		{"enforced", true, func() { enforce("on") }, ""},
		{"but not on one route", true, func() {
			w.ask(200, "PUT", "/routes", map[string]any{"match": "GET /v1/orders", "scopes": []string{"read:orders"}, "enforce": "shadow"})
		}, api.FindingWarning},
	} {
		tc.do()
		w.around.Upstreams[0].WantsAPIKey = tc.wants
		if worst, _ := w.worst(); worst[check] != tc.want {
			t.Errorf("%s: %q, want %q", tc.name, worst[check], tc.want)
		}
	}
}
