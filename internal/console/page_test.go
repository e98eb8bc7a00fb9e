package console

import "testing"

func TestEveryPageIsThere(t *testing.T) {
	all, err := loadPages()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range []page{overview, apikeys, oneAPIKey, callers, oneCaller, routes, plan, campaign, leaks, evidence, people, trust, health, settings} {
		if all[p.template] == nil {
			t.Errorf("there is no page %s", p.template)
		}
	}
}
