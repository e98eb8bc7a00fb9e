package signin

import (
	"testing"
	"time"

	"github.com/offkey/offkey/internal/client"
	"github.com/offkey/offkey/internal/oauth"
)

func TestTheConsentPageSaysForHowLong(t *testing.T) {
	const day = 24 * time.Hour
	v := visit{t: &catalogue{"en", english}, s: &Service{options: Options{Lives: Lives{10 * time.Minute, 30 * day, 14 * day}}}}
	renews := &client.Client{Grants: []string{oauth.GrantAuthorizationCode, oauth.GrantRefreshToken}}
	for name, tc := range map[string]struct {
		client *client.Client
		scope  oauth.Scope
		device bool
		want   string
	}{
		"it has no refresh tokens":        {&client.Client{}, oauth.Scope{"openid"}, false, "It may act for you for 10 minutes each time that you come back with it."},
		"it ends with the session":        {renews, oauth.Scope{"openid", "read:orders"}, false, "It may act for you until you sign out here, for 30 days at most."},
		"it goes on without a session":    {renews, oauth.Scope{"openid", "offline_access"}, false, "It may act for you for 30 days at most, and no longer once it has not done so for 14 days."},
		"it is for an API":                {renews, oauth.Scope{"read:orders"}, false, "It may act for you for 30 days at most, and no longer once it has not done so for 14 days."},
		"it is a device, here no session": {renews, oauth.Scope{"openid"}, true, "It may act for you for 30 days at most, and no longer once it has not done so for 14 days."},
	} {
		if got := v.howLong(tc.client, tc.scope, tc.device); got != tc.want {
			t.Errorf("%s: %q", name, got)
		}
	}
	v.s.options.Lives.Idle = 30 * day
	if got := v.howLong(renews, nil, false); got != "It may act for you for 30 days." {
		t.Errorf("idle as long as the whole: %q", got)
	}
	v.s.options.Lives = Lives{}
	if got := v.howLong(renews, nil, false); got != "" {
		t.Errorf("unknown: %q", got)
	}
}

func TestSpansInWords(t *testing.T) {
	c := &catalogue{"en", english}
	for d, want := range map[time.Duration]string{
		time.Second: "one minute", time.Minute: "one minute", 90 * time.Second: "2 minutes", 10 * time.Minute: "10 minutes", time.Hour: "one hour", 90 * time.Minute: "90 minutes",
		150 * time.Minute: "3 hours", 24 * time.Hour: "one day", 36 * time.Hour: "36 hours", 50 * time.Hour: "3 days", 720 * time.Hour: "30 days",
	} {
		if got := c.span(d); got != want {
			t.Errorf("%s is %q, want %q", d, got, want)
		}
	}
}
