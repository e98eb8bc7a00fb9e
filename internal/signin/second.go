package signin

import (
	"errors"
	"net/http"
	"time"

	"github.com/offkey/offkey/internal/directory"
	"github.com/offkey/offkey/internal/session"
)

// mostWrong is how many second factors may be wrong before the first is asked
// for again.
const mostWrong = 5

// secondView is the page of the second factor.
type secondView struct {
	view
	Name     string
	Code     bool // an authenticator app has codes
	Recovery bool // there are recovery codes
	Passkey  *ceremony
}

func showSecond(v step) error {
	return v.secondPage(http.StatusOK, v.q, v.f, nil)
}

func (v visit) secondPage(status int, q session.Request, f facts, wrong *problem) error {
	codes := takesCode(q, f)
	data := secondView{
		view: v.view("second.title", q), Name: f.halfway.Name,
		Code: codes && f.halfwayFactors.TOTP, Recovery: codes && f.halfwayFactors.Recovery > 0,
	}
	data.Problem = wrong
	if f.halfwayFactors.Passkeys > 0 {
		var err error
		if data.Passkey, err = v.secondCeremony(q, f.halfway.ID); err != nil {
			return err
		}
	}
	data.Script = data.Passkey != nil
	v.allowBack(q, "")
	return v.s.show(v.w, status, "second", data)
}

// postSecond takes the code of an authenticator app, or a recovery code.
func postSecond(v step) error {
	if !takesCode(v.q, v.f) {
		return v.secondPage(http.StatusBadRequest, v.q, v.f, nil) // a code is not enough
	}
	person, field := v.f.halfway, "otp"
	check := func() error { return v.s.options.People.CheckTOTP(v.r.Context(), person.ID, v.r.PostForm.Get("otp")) }
	if v.r.PostForm.Get("otp") == "" && v.r.PostForm.Has("recovery") {
		field = "recovery"
		check = func() error {
			_, err := v.s.options.People.CheckRecovery(v.r.Context(), person.ID, v.r.PostForm.Get("recovery"))
			return err
		}
	}
	wait, err := v.guessCode(person.ID, check)
	switch {
	case wait > 0:
		v.tooSoon(wait)
		return v.secondPage(http.StatusTooManyRequests, v.q, v.f, &problem{Key: "second.toosoon"})
	case errors.Is(err, directory.ErrWrong):
		return v.wrongCode(v.q, v.f, field)
	case err != nil:
		return err
	}
	if _, reachable := levelFor(v.q.Demand, person.Policy, v.f.halfwayFactors, v.f.passkeys); !reachable {
		return v.provedBoth(v.q)
	}
	return v.signedIn(v.q, person, session.ACRMFA, append(v.q.Progress.AMR, "otp", "mfa"))
}

// takesCode reports whether a code is enough, or is the second factor of
// somebody who then has to add a stronger one.
func takesCode(q session.Request, f facts) bool {
	level, reachable := levelFor(q.Demand, f.halfway.Policy, f.halfwayFactors, f.passkeys)
	return !reachable || session.Reaches(session.ACRMFA, level)
}

// provedBoth goes on with somebody who has proved both factors and needs a
// stronger one.
func (v visit) provedBoth(q session.Request) error {
	q, err := v.s.options.Store.ProgressRequest(v.r.Context(), v.s.waiting(v.r, q.ID), v.s.now(), func(p *session.Progress) error {
		p.Both, p.AMR = true, append(p.AMR, "otp")
		return nil
	})
	if err != nil {
		return err
	}
	return v.s.proceed(v.w, v.r, q)
}

// guessCode looks at a second factor, unless too many were wrong. They are
// counted for each account, and apart for browsers that it knows: whoever has
// stolen the password cannot use up the guesses of its owner.
func (v visit) guessCode(personID string, check func() error) (wait time.Duration, err error) {
	name := personID
	if known := v.s.knownAs(v.r, personID); known != "" {
		name += " " + known
	}
	at := places{{v.s.limits.codes, name}}
	if wait = at.take(v.s.now()); wait > 0 {
		return wait, nil
	}
	if err = check(); !errors.Is(err, directory.ErrWrong) {
		at.back(v.s.now())
	}
	return 0, err
}

// wrongCode asks again, and after too many for the first factor.
func (v visit) wrongCode(q session.Request, f facts, field string) error {
	q, err := v.s.options.Store.ProgressRequest(v.r.Context(), v.s.waiting(v.r, q.ID), v.s.now(), func(p *session.Progress) error {
		if p.Wrong++; p.Wrong >= mostWrong {
			*p = session.Progress{}
		}
		return nil
	})
	switch {
	case err != nil:
		return err
	case q.Progress.PersonID == "":
		v.tell(directory.SecondNotReached, f.halfway)
		f.halfway = nil
		return v.signInPage(http.StatusUnauthorized, q, f, "", &problem{Key: "second.again"})
	}
	return v.secondPage(http.StatusUnauthorized, q, f, &problem{Field: field, Key: "second.wrong"})
}
