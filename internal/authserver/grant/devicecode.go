package grant

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/offkey/offkey/internal/authserver/clientauth"
	"github.com/offkey/offkey/internal/client"
	"github.com/offkey/offkey/internal/oauth"
	"github.com/offkey/offkey/internal/secret"
	"github.com/offkey/offkey/internal/session"
	"github.com/offkey/offkey/internal/token"
)

// DeviceStore is what the device flow asks of storage. A device that is not
// there, or no longer, is session.ErrNoDevice.
type DeviceStore interface {
	// StartDevice adds a device, unless its user code is taken
	// (session.ErrUserCode) or as many wait as the limits say
	// (session.ErrManyDevices).
	StartDevice(ctx context.Context, d session.Device, limits session.DeviceLimits, now time.Time) error
	Device(ctx context.Context, code secret.Hash) (session.Device, error)
	// PollDevice notes that a device without an answer asked, and reports
	// whether it asked too soon.
	PollDevice(ctx context.Context, code secret.Hash, now time.Time) (tooSoon bool, err error)
	// RedeemDevice takes out a device that was allowed something: one caller
	// gets it.
	RedeemDevice(ctx context.Context, code secret.Hash, now time.Time) (session.Device, error)
}

// DeviceCode is the grant of a device whose person answers somewhere else
// (RFC 8628). It begins with Start, and the device then asks for its token by
// Authorize until there is an answer.
type DeviceCode struct {
	Store   DeviceStore
	Targets Targets
	People  People
	Life    time.Duration // of its tokens
	Limits  session.DeviceLimits
}

// Start begins the flow for a client (RFC 8628 §3.1) and returns the
// device_code, which is not kept, beside what is.
func (g DeviceCode) Start(ctx context.Context, who clientauth.Authenticated, r Request, origin session.Origin) (deviceCode secret.Text, d session.Device, err error) {
	c := who.Client()
	scope, err := ChooseScope(c, r.Form.Value("scope"))
	if err != nil {
		return secret.Text{}, session.Device{}, err
	}
	resources, err := g.Targets.Choose(c.Resources, r.Form.Values("resource"))
	if err != nil {
		return secret.Text{}, session.Device{}, err
	}
	deviceCode = secret.Generate(secret.KindDeviceCode)
	d = session.Device{
		ID: session.NewDeviceID(), Code: secret.HashOf(deviceCode.Reveal()), ClientID: c.ID,
		Ask: session.Ask{Scope: scope, Resources: resources}, Bound: session.Binding(r.Confirmation), Origin: origin,
		Created: r.At, Expires: r.At.Add(session.DeviceLife), Interval: session.DeviceInterval,
	}
	if err := g.start(ctx, &d, r.At); err != nil {
		return secret.Text{}, session.Device{}, err
	}
	return deviceCode, d, nil
}

// start keeps d under a user code that no other has. That one is taken is rare;
// that three are says that something else is wrong.
func (g DeviceCode) start(ctx context.Context, d *session.Device, now time.Time) (err error) {
	for range 3 {
		d.UserCode = session.NewUserCode()
		d.Ask.UserCode = session.ShowUserCode(d.UserCode)
		if err = g.Store.StartDevice(ctx, *d, g.Limits, now); !errors.Is(err, session.ErrUserCode) {
			break
		}
	}
	if errors.Is(err, session.ErrManyDevices) {
		return clientauth.TooMany("as many devices wait for their people as this server allows: try again in %d s", time.Minute)
	}
	return err
}

var errNoDevice = oauth.InvalidGrant("device_code is not good: it was used, belongs to another client, expired some time ago or never was")

// Authorize decides a poll (RFC 8628 §3.4). Nothing is spent unless there is a
// token in it.
func (g DeviceCode) Authorize(ctx context.Context, who clientauth.Authenticated, r Request) (token.Authorization, error) {
	code := r.Form.Value("device_code")
	if code == "" {
		return token.Authorization{}, oauth.InvalidRequest("device_code is missing")
	}
	d, err := g.find(ctx, code)
	if err != nil {
		return token.Authorization{}, err
	}
	if err := cmp.Or(
		checkDeviceClient(d, who.Client().ID), checkDeviceKey(d, r.Confirmation), checkDeviceWaits(d, r.At), checkDeviceAllowed(d),
	); err != nil {
		return token.Authorization{}, err
	}
	resources, err := narrow(d.Ask.Resources, r.Form.Values("resource"))
	if err != nil {
		return token.Authorization{}, err
	}
	if d.Answer == nil {
		return token.Authorization{}, g.wait(ctx, d, r.At)
	}
	if d, err = g.Store.RedeemDevice(ctx, d.Code, r.At); errors.Is(err, session.ErrNoDevice) {
		return token.Authorization{}, errNoDevice
	}
	if err != nil {
		return token.Authorization{}, err
	}
	scope, err := checkPerson(ctx, g.People, d.Answer.PersonID, d.Answer.Scope.Intersect(who.Client().Scopes))
	if err != nil {
		return token.Authorization{}, err
	}
	return token.Authorization{
		Client: who.Client(), Scope: scope, Resources: resources, Life: wholeSeconds(g.Life),
		GrantID: d.ID, Login: deviceLogin(who.Client(), d.Answer), Confirmation: r.Confirmation, Refreshable: true,
	}, nil
}

// find looks for a device. What cannot be a code costs no look-up.
func (g DeviceCode) find(ctx context.Context, code string) (session.Device, error) {
	if !secret.WellFormed(code) {
		return session.Device{}, errNoDevice
	}
	d, err := g.Store.Device(ctx, secret.HashOf(code))
	if errors.Is(err, session.ErrNoDevice) {
		return session.Device{}, errNoDevice
	}
	return d, err
}

// checkDeviceClient: whoever polls is who started (RFC 8628 §3.4). It is told
// nothing of codes of others.
func checkDeviceClient(d session.Device, clientID string) error {
	if d.ClientID != clientID {
		return errNoDevice
	}
	return nil
}

// checkDeviceKey: a device that proved a key when it asked proves it again, so
// that a device_code that was seen on the way is of no use (RFC 9449 §10.1, by
// analogy).
func checkDeviceKey(d session.Device, have token.Confirmation) error {
	if bound := token.Confirmation(d.Bound); bound.Bound() && bound != have {
		return oauth.InvalidGrant("this device_code is bound to the key that was proved when it was asked for: prove the same one at every poll")
	}
	return nil
}

// checkDeviceWaits tells a device that its time is over (RFC 8628 §3.5).
func checkDeviceWaits(d session.Device, now time.Time) error {
	if d.Expired(now) {
		return oauth.ExpiredToken("nobody has answered in time: start again, and show the new user_code")
	}
	return nil
}

// checkDeviceAllowed tells a device that its person said no (RFC 8628 §3.5).
func checkDeviceAllowed(d session.Device) error {
	if d.Answer != nil && !d.Answer.Allowed() {
		return oauth.AccessDenied("the person has not allowed it: do not poll again")
	}
	return nil
}

// wait answers a device that has no answer yet (RFC 8628 §3.5).
func (g DeviceCode) wait(ctx context.Context, d session.Device, now time.Time) error {
	tooSoon, err := g.Store.PollDevice(ctx, d.Code, now)
	switch {
	case errors.Is(err, session.ErrNoDevice):
		return errNoDevice
	case err != nil:
		return err
	case tooSoon:
		return oauth.SlowDown("polled too soon: wait 5 s longer between polls from now on")
	}
	return oauth.AuthorizationPending("the person has not answered yet: poll again after the interval")
}

// deviceLogin is how the person proved to be there. It has no session: signing
// out of the browser in which a code was typed does not sign the device out.
func deviceLogin(c *client.Client, a *session.Answer) token.Login {
	return token.Login{PersonID: a.PersonID, AuthTime: a.Login.AuthTime, ACR: a.Login.ACR, AMR: a.Login.AMR, Pairwise: c.SubjectType == client.SubjectPairwise}
}

// narrow is what of the resources that were allowed a token is for: all, or
// those that the request names (RFC 8707 §2.2).
func narrow(allowed, requested []string) ([]string, error) {
	if len(requested) == 0 {
		return allowed, nil
	}
	var chosen []string
	for _, r := range requested {
		if !slices.Contains(allowed, r) {
			return nil, oauth.InvalidTarget(fmt.Sprintf("resource is not among the %d that were allowed", len(allowed)))
		}
		if !slices.Contains(chosen, r) {
			chosen = append(chosen, r)
		}
	}
	return chosen, nil
}
