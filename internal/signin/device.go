package signin

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/offkey/offkey/internal/audit"
	"github.com/offkey/offkey/internal/client"
	"github.com/offkey/offkey/internal/directory"
	"github.com/offkey/offkey/internal/oauth"
	"github.com/offkey/offkey/internal/session"
)

// The device page has three steps: the code is typed, who types it signs in,
// and then sees which device waits with it. A code is looked up only for
// somebody who is signed in, so that guesses are counted for them (RFC 8628
// §5.1). It is typed or confirmed even where the address brought it (RFC 8628
// §5.4, RFC 10027): a stranger may have sent that address.

// deviceView is the page of any step.
type deviceView struct {
	view
	asked
	Code    string
	Name    string
	Agent   string
	From    string
	Same    bool // the device asked from this browser's network
	Started time.Time
	Allowed bool
}

// showDevice shows the form for the code, and to who comes back from signing in
// the device.
func showDevice(v visit) error {
	if v.r.URL.Query().Get(paramRequest) == "" {
		return v.codePage(http.StatusOK, v.r.URL.Query().Get("user_code"), nil)
	}
	q, err := v.request()
	if err != nil {
		return err
	}
	f, err := v.s.facts(v.r, q)
	if err != nil {
		return err
	}
	if n := judge(q, f); n != needNothing {
		return v.s.proceed(v.w, v.r, q)
	}
	return v.lookUp(q, f.person, q.Ask.UserCode)
}

func (v visit) codePage(status int, code string, wrong *problem) error {
	v.haveBrowser()
	data := deviceView{view: v.view("device.title", session.Request{}), Code: code}
	if plain, ok := session.ReadUserCode(code); ok {
		data.Code = session.ShowUserCode(plain)
	} else if len(code) > 64 {
		data.Code = ""
	}
	data.Problem = wrong
	return v.s.show(v.w, status, "devicecode", data)
}

// postDevice takes the code, or what the person says of the device.
func postDevice(v visit) error {
	if v.r.PostForm.Get(paramRequest) != "" {
		return v.answerDevice()
	}
	if err := v.checkToken("", anybody); err != nil {
		return err
	}
	typed := v.r.PostForm.Get("user_code")
	code, ok := session.ReadUserCode(typed)
	if !ok {
		return v.codePage(http.StatusBadRequest, typed, &problem{Field: "user_code", Key: "device.form"})
	}
	return v.beginDevice(code)
}

// beginDevice begins the request in which the person of a code signs in.
func (v visit) beginDevice(code string) error {
	id := session.NewRequestID()
	back := v.s.path(pathDevice) + "?" + url.Values{paramRequest: {id}}.Encode()
	now := v.s.now()
	if ok, _ := v.s.limits.begins.Allow(v.s.sourceOf(v.r), now); !ok {
		return errTooMany
	}
	q := session.Request{
		ID: id, Browser: readCookie(v.r, v.s.cookies.browser), Kind: session.ForDevice, Return: back,
		Ask: session.Ask{UserCode: code}, Created: now, Expires: now.Add(session.RequestLife),
	}
	if err := v.s.options.Store.PutRequest(v.r.Context(), q, requestLimits); err != nil {
		return fmt.Errorf("keep a request: %w", err)
	}
	v.s.redirect(v.w, v.r, back)
	return nil
}

// lookUp shows the device that waits with a code, so often as a person may
// guess.
func (v visit) lookUp(q session.Request, person *directory.Standing, code string) error {
	d, err := v.findDevice(person, code)
	switch wait := waitOf(err); {
	case wait > 0:
		v.tooSoon(wait)
		return v.codePage(http.StatusTooManyRequests, "", &problem{Key: "device.toosoon"})
	case errors.Is(err, session.ErrNoDevice):
		return v.codePage(http.StatusNotFound, code, &problem{Field: "user_code", Key: "device.none"})
	case err != nil:
		return err
	}
	c, given, err := v.deviceAsk(d, person)
	if err != nil {
		return err
	}
	data := deviceView{
		view: v.view("deviceconfirm.title", q), asked: v.asked(c, d.Ask, given), Code: session.ShowUserCode(d.UserCode), Name: person.Name,
		Agent: d.Origin.UserAgent, Started: d.Created,
		Same: d.Origin.Source.IsValid() && sourceName(d.Origin.Source) == v.s.sourceOf(v.r),
	}
	if d.Origin.Source.IsValid() {
		data.From = sourceName(d.Origin.Source)
	}
	data.Until = v.howLong(c, given, true)
	data.Where, data.CSRF = "", v.token(q.ID, thePerson)
	return v.s.show(v.w, http.StatusOK, "deviceconfirm", data)
}

// limited is a guess that is not looked at.
type limited struct{ wait time.Duration }

func (l limited) Error() string { return "too many guesses" }

func waitOf(err error) time.Duration {
	var l limited
	if errors.As(err, &l) {
		return l.wait
	}
	return 0
}

// findDevice looks up a code, and counts those that nothing waits with, by
// person, by network and for all together (RFC 8628 §5.1).
func (v visit) findDevice(person *directory.Standing, code string) (session.Device, error) {
	now, limits := v.s.now(), v.s.limits
	byPerson, byNetwork := "person "+person.ID, "network "+v.s.sourceOf(v.r)
	at := places{{limits.devices, byPerson}, {limits.devices, byNetwork}, {limits.anyCode, ""}}
	if wait := at.take(now); wait > 0 {
		return session.Device{}, limited{wait}
	}
	d, err := v.s.options.Devices.WaitingDevice(v.r.Context(), code, now)
	if !errors.Is(err, session.ErrNoDevice) {
		at.back(now)
	}
	return d, err
}

// deviceAsk is who asks by a device, and what of it the person may grant.
func (v visit) deviceAsk(d session.Device, person *directory.Standing) (*client.Client, oauth.Scope, error) {
	c, err := v.s.options.Clients.Client(v.r.Context(), d.ClientID)
	if errors.Is(err, client.ErrNotFound) || err == nil && c.Status != client.Active {
		return nil, nil, session.ErrGone
	}
	if err != nil {
		return nil, nil, err
	}
	return c, scopeFor(d.Ask, c, person), nil
}

// answerDevice keeps what the person says of the device that they saw.
func (v visit) answerDevice() error {
	q, err := v.request()
	if err == nil {
		err = v.checkToken(q.ID, thePerson)
	}
	if err != nil {
		return err
	}
	f, err := v.s.facts(v.r, q)
	if err != nil {
		return err
	}
	if judge(q, f) != needNothing || f.session == nil {
		return v.s.proceed(v.w, v.r, q)
	}
	d, err := v.findDevice(f.person, q.Ask.UserCode)
	if errors.Is(err, session.ErrNoDevice) {
		return v.codePage(http.StatusNotFound, "", &problem{Key: "device.none"})
	}
	if err != nil {
		return err
	}
	_, given, err := v.deviceAsk(d, f.person)
	if err != nil {
		return err
	}
	a := session.Answer{PersonID: f.session.PersonID, SessionID: f.session.ID, Login: f.session.Login, Scope: given, At: v.s.now()}
	if v.r.PostForm.Get("decision") != "allow" || given.IsZero() && !d.Ask.Scope.IsZero() {
		a = session.Answer{PersonID: a.PersonID, Error: oauth.CodeAccessDenied, Description: "the person did not allow it", At: a.At}
	}
	e := audit.Event{Actor: actor(f.session.PersonID), Action: "device.answered", Object: d.ID, Detail: answerDetail{q.Kind, a.SessionID, a.Scope.String(), a.Error}}
	if err := v.s.options.Devices.AnswerDevice(v.r.Context(), d.Code, a, e); err != nil {
		if errors.Is(err, session.ErrNoDevice) {
			return session.ErrGone
		}
		return err
	}
	return v.s.show(v.w, http.StatusOK, "devicedone", deviceView{view: v.view("devicedone.title", q), Allowed: a.Error == ""})
}
