package signin

import (
	"net/http"
	"strings"

	"github.com/offkey/offkey/internal/client"
	"github.com/offkey/offkey/internal/oauth"
	"github.com/offkey/offkey/internal/session"
)

// asked is how the person sees a client and what it asks for.
type asked struct {
	Client   string
	ID       string
	Logo     string
	Links    []link
	Vouched  bool // an operator has made it, or the file names it
	Where    string
	Scopes   []scopeLine
	LeftOut  []scopeLine
	Resource []string
	Until    string // for how long it may act
}

type link struct{ Key, URL string }

type scopeLine struct{ Name, Text string }

type consentView struct {
	view
	asked
	Name    string // who is signed in
	Nothing bool   // of what is asked the person may grant nothing
}

func showConsent(v step) error {
	given := scopeFor(v.q.Ask, v.f.client, v.f.person)
	data := consentView{view: v.view("consent.title", v.q), asked: v.asked(v.f.client, v.q.Ask, given), Name: v.f.person.Name}
	data.Until = v.howLong(v.f.client, given, false)
	data.CSRF, data.Nothing = v.token(v.q.ID, thePerson), given.IsZero() && !v.q.Ask.Scope.IsZero()
	v.allowBack(v.q, data.Logo)
	return v.s.show(v.w, http.StatusOK, "consent", data)
}

// postConsent keeps what the person allows. It was made for this browser, this
// request and this session: a consent that another site posts is refused (RFC
// 9700 §4.7.1). What is given is computed anew, not taken from the form.
func postConsent(v step) error {
	a := answerOf(v.q, v.f, v.s.now())
	switch {
	case v.r.PostForm.Get("decision") != "allow":
		return v.s.answer(v.w, v.r, v.q, session.Answer{PersonID: a.PersonID, SessionID: a.SessionID, Error: oauth.CodeAccessDenied, Description: "the person did not allow it", At: a.At}, nil)
	case a.Scope.IsZero() && !v.q.Ask.Scope.IsZero():
		return v.s.answer(v.w, v.r, v.q, session.Answer{PersonID: a.PersonID, SessionID: a.SessionID, Error: oauth.CodeAccessDenied, Description: "the person may grant none of the scopes asked for", At: a.At}, nil)
	}
	consent := v.q.Ask.ConsentTo(v.f.person.ID, v.f.client, a.Scope, a.At)
	return v.s.answer(v.w, v.r, v.q, a, &consent)
}

// asked describes a client. Its links are inert: they are https, open beside
// this page and tell nobody where they were followed.
func (v visit) asked(c *client.Client, ask session.Ask, given oauth.Scope) asked {
	a := asked{
		Client: clientName(c), ID: c.ID, Vouched: c.Source == client.SourceFile || c.Source == client.SourceAPI,
		Scopes: v.describe(given), LeftOut: v.describe(leftOut(ask, given)), Resource: ask.Resources,
	}
	if httpsOrigin(c.LogoURI) != "" {
		a.Logo = c.LogoURI
	}
	for _, l := range []link{{"consent.site", c.ClientURI}, {"consent.policy", c.PolicyURI}, {"consent.terms", c.TosURI}} {
		if l.URL = httpsLink(l.URL); l.URL != "" {
			a.Links = append(a.Links, l)
		}
	}
	a.Where = ask.RedirectHost
	if s := ask.RedirectScheme; isScheme(s) && s != "http" && !strings.HasSuffix(a.Where, ":") {
		a.Where = s + "://" + ask.RedirectHost
	}
	return a
}

// describe says in words what scopes open.
func (v visit) describe(scope oauth.Scope) []scopeLine {
	var lines []scopeLine
	for _, name := range scope {
		text := v.s.options.DescribeScope(name, v.t.language)
		if text == "" {
			text = v.t.scope(name)
		}
		lines = append(lines, scopeLine{name, text})
	}
	return lines
}

// scope says in words what the name of a scope says in itself: those of OpenID
// Connect (OIDC Core §5.4, §11), and action:resource.
func (c *catalogue) scope(name string) string {
	if text := c.text("scope." + name); text != "scope."+name {
		return text
	}
	action, resource, ok := strings.Cut(name, ":")
	if key := "scope.action." + action; ok && resource != "" && c.text(key) != key {
		return c.text(key, strings.NewReplacer("_", " ", "-", " ", ".", " ", "/", " ").Replace(resource))
	}
	return name
}
