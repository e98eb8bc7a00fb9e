package signin

import (
	"encoding/base64"
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"strings"

	"github.com/offkey/offkey/internal/directory"
	"github.com/offkey/offkey/internal/secret"
	"github.com/offkey/offkey/internal/session"
	"rsc.io/qr"
)

// enrolView is where a factor is added: while signing in, where one is asked for
// and there is none, and on the account page.
type enrolView struct {
	view
	App     *newApp
	Passkey *ceremony
}

// newApp is an authenticator app that is being added.
type newApp struct {
	Sealed string // comes back with the first code
	Text   string // to be typed
	QR     template.HTML
}

// newApp makes a secret for an app of somebody.
func (v visit) newApp(person *directory.Person) (*newApp, error) {
	key := directory.NewTOTPSecret()
	picture, err := qrSVG(directory.TOTPURI(key, v.s.name(), person.Name))
	if err != nil {
		return nil, err
	}
	return v.appOf(person.ID, key, picture), nil
}

func (v visit) appOf(personID string, key secret.Text, picture template.HTML) *newApp {
	return &newApp{
		Sealed: base64.RawURLEncoding.EncodeToString(v.s.options.People.SealTOTP(personID, key)),
		Text:   grouped(directory.TOTPText(key)), QR: picture,
	}
}

// grouped is a text in groups of four, which is easier to type.
func grouped(text string) string {
	var b strings.Builder
	for i, r := range text {
		if i > 0 && i%4 == 0 {
			b.WriteByte(' ')
		}
		b.WriteRune(r)
	}
	return b.String()
}

// qrSVG draws a QR code. It is part of the page, so that no picture with a
// secret in it is fetched or kept.
func qrSVG(text string) (template.HTML, error) {
	code, err := qr.Encode(text, qr.M)
	if err != nil {
		return "", fmt.Errorf("draw a QR code: %w", err)
	}
	const quiet = 4
	var b strings.Builder
	size := code.Size + 2*quiet
	fmt.Fprintf(&b, `<svg class="qr" viewBox="0 0 %d %d" aria-hidden="true" focusable="false"><path fill="#fff" d="M0 0h%dv%dH0z"/><path fill="#000" d="`, size, size, size, size)
	for y := range code.Size {
		for x := 0; x < code.Size; x++ {
			run := 0
			for x+run < code.Size && code.Black(x+run, y) {
				run++
			}
			if run > 0 {
				fmt.Fprintf(&b, "M%d %dh%dv1h-%dz", x+quiet, y+quiet, run, run)
				x += run
			}
		}
	}
	b.WriteString(`"/></svg>`)
	return template.HTML(b.String()), nil
}

func showEnrol(v step) error {
	return v.enrolPage(http.StatusOK, v.q, v.f, nil)
}

func (v visit) enrolPage(status int, q session.Request, f facts, wrong *problem) error {
	data := enrolView{view: v.view("enrol.title", q)}
	data.Problem = wrong
	var err error
	if level, _ := levelFor(q.Demand, f.halfway.Policy, f.halfwayFactors, f.passkeys); session.Reaches(session.ACRMFA, level) {
		if data.App, err = v.newApp(f.halfway.Person); err != nil {
			return err
		}
	}
	if data.Passkey, err = v.addCeremony(q.ID, f.halfway.ID); err != nil {
		return err
	}
	data.Script = data.Passkey != nil
	v.allowBack(q, "")
	return v.s.show(v.w, status, "enrol", data)
}

// postEnrol adds the factor that was asked for, and signs the person in: they
// have just shown to have it.
func postEnrol(v step) error {
	if v.r.PostForm.Get("response") != "" {
		return v.enrolPasskey(v.q, v.f)
	}
	level, _ := levelFor(v.q.Demand, v.f.halfway.Policy, v.f.halfwayFactors, v.f.passkeys)
	if !session.Reaches(session.ACRMFA, level) {
		return v.enrolPage(http.StatusBadRequest, v.q, v.f, nil)
	}
	err := v.addApp(v.f.halfway.ID)
	switch {
	case errors.Is(err, directory.ErrWrong):
		return v.enrolPage(http.StatusBadRequest, v.q, v.f, &problem{Field: "otp", Key: "enrol.wrong"})
	case err != nil:
		return err
	}
	return v.signedIn(v.q, v.f.halfway, session.ACRMFA, append(v.q.Progress.AMR, "otp", "mfa"))
}

func (v visit) enrolPasskey(q session.Request, f facts) error {
	k, err := v.newPasskey(q.ID, f.halfway.ID)
	if err == nil {
		k.Name = v.passkeyName()
		err = v.s.options.People.AddPasskey(v.r.Context(), k)
	}
	switch {
	case errors.Is(err, errPasskey), errors.Is(err, errChallenge), errors.Is(err, directory.ErrExists):
		return v.enrolPage(http.StatusBadRequest, q, f, &problem{Key: "passkey.notadded"})
	case err != nil:
		return err
	}
	return v.signedIn(q, f.halfway, session.ACRPasskey, append(q.Progress.AMR, "hwk", "user", "mfa"))
}

// addApp adds the authenticator app that was shown, once its first code is
// right. ErrWrong is all that it says of a form that is not right.
func (v visit) addApp(personID string) error {
	sealed, err := base64.RawURLEncoding.DecodeString(v.r.PostForm.Get("sealed"))
	if err != nil || len(sealed) > 1<<10 {
		return directory.ErrWrong
	}
	return v.s.options.People.SetTOTP(v.r.Context(), personID, sealed, v.r.PostForm.Get("otp"))
}

// passkeyName is what its owner calls a new passkey, or the browser that it was
// made in.
func (v visit) passkeyName() string {
	const most = 60 // characters
	name := strings.Join(strings.Fields(shortAgent(v.r.PostForm.Get("name"))), " ")
	if name == "" {
		name = friendlyAgent(v.r.UserAgent())
	}
	if name == "" {
		name = v.t.text("passkey.unnamed")
	}
	if runes := []rune(name); len(runes) > most {
		name = string(runes[:most])
	}
	return name
}
