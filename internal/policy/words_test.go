package policy

import "testing"

func TestWhatAScopeOpensInWords(t *testing.T) {
	w := Words{Scopes: map[string]map[string]string{"read:orders": {"": "see your orders", "de": "Ihre Bestellungen sehen"}, "x": {"de": "nur deutsch"}}}
	for _, tc := range []struct{ name, language, want string }{
		{"read:orders", "de", "Ihre Bestellungen sehen"}, {"read:orders", "fr", "see your orders"}, {"x", "en", ""}, {"nothing", "en", ""},
	} {
		if got := w.Scope(tc.name, tc.language); got != tc.want {
			t.Errorf("%s in %s: %q", tc.name, tc.language, got)
		}
	}
	if got := (Words{}).Scope("x", "en"); got != "" {
		t.Error(got)
	}
}
