package signin

import (
	"time"

	"github.com/offkey/offkey/internal/client"
	"github.com/offkey/offkey/internal/oauth"
)

// Lives is for how long clients may act for a person who has let them.
type Lives struct {
	Token   time.Duration // an access token
	Refresh time.Duration // all that follow each other from one sign-in
	Idle    time.Duration // of which none was used
}

// howLong says for how long a client may act with that scope. What it was allowed
// ends with the browser session or goes on, as decision 0025 has it; a device has
// no session here.
func (v visit) howLong(c *client.Client, given oauth.Scope, device bool) string {
	l := v.s.options.Lives
	switch {
	case l.Token <= 0:
		return ""
	case !c.Allows(oauth.GrantRefreshToken):
		return v.t.text("consent.once", v.t.span(l.Token))
	case !device && given.Has("openid") && !given.Has("offline_access"):
		return v.t.text("consent.session", v.t.span(l.Refresh))
	case l.Idle >= l.Refresh:
		return v.t.text("consent.whole", v.t.span(l.Refresh))
	}
	return v.t.text("consent.idle", v.t.span(l.Refresh), v.t.span(l.Idle))
}

// span is a time in whole days, hours or minutes, rounded up: nobody is promised
// an earlier end.
func (c *catalogue) span(d time.Duration) string {
	for _, unit := range []struct {
		key  string
		long time.Duration
	}{{"days", 24 * time.Hour}, {"hours", time.Hour}, {"minutes", time.Minute}} {
		if d%unit.long != 0 && d < 2*unit.long && unit.long > time.Minute {
			continue
		}
		if n := int((d + unit.long - 1) / unit.long); d >= unit.long || unit.long == time.Minute {
			if n == 1 {
				return c.text("span." + unit.key + ".one")
			}
			return c.text("span."+unit.key, n)
		}
	}
	return d.String()
}
