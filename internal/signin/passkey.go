package signin

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/webauthn"
	"github.com/offkey/offkey/internal/directory"
	"github.com/offkey/offkey/internal/session"
)

// relyingParty is who passkeys are made for: the host of the issuer. It is nil
// where no browser would make any: at an IP address, and without TLS anywhere
// but on localhost.
func relyingParty(issuer *url.URL, name string) (*webauthn.WebAuthn, error) {
	host := issuer.Hostname()
	if _, err := netip.ParseAddr(host); err == nil || issuer.Scheme != "https" && host != "localhost" {
		return nil, nil
	}
	return webauthn.New(&webauthn.Config{
		RPID: host, RPDisplayName: name, RPOrigins: []string{issuer.Scheme + "://" + issuer.Host},
		AttestationPreference: protocol.PreferNoAttestation,
		// What was not asked for is not looked at: extensions of browsers add it.
		ExtensionsUnsolicitedOutputPolicy: protocol.UnsolicitedOutputPolicyIgnore,
	})
}

// The purposes of challenges.
const (
	forSignIn = "sign in"
	forSecond = "second factor"
	forAdding = "add"
)

// ceremony is what the script of a page asks the browser for: a signature of a
// passkey, or a new one. Challenge comes back beside the response.
type ceremony struct {
	Options   string // JSON
	Challenge string
}

// signInCeremony asks for any passkey of this issuer, with its user verified:
// two factors in one.
func (v visit) signInCeremony(q session.Request) (*ceremony, error) {
	if v.s.passkeys == nil {
		return nil, nil
	}
	challenge, sealed := v.s.newChallenge(v.waitingFor(q), forSignIn)
	options, _, err := v.s.passkeys.BeginDiscoverableLogin(webauthn.WithChallenge(challenge), webauthn.WithUserVerification(protocol.VerificationRequired))
	if err != nil {
		return nil, fmt.Errorf("ask for a passkey: %w", err)
	}
	return ceremonyOf(options, sealed)
}

// secondCeremony asks for a passkey of one person, who has proved another
// factor.
func (v visit) secondCeremony(q session.Request, personID string) (*ceremony, error) {
	if v.s.passkeys == nil {
		return nil, nil
	}
	holder, err := v.holder(personID)
	if err != nil {
		return nil, err
	}
	challenge, sealed := v.s.newChallenge(v.waitingFor(q), forSecond)
	options, _, err := v.s.passkeys.BeginLogin(holder, webauthn.WithChallenge(challenge), webauthn.WithUserVerification(protocol.VerificationPreferred))
	if err != nil {
		return nil, fmt.Errorf("ask for a passkey: %w", err)
	}
	return ceremonyOf(options, sealed)
}

// addCeremony asks for a new passkey. about is what the challenge is bound to.
func (v visit) addCeremony(about, personID string) (*ceremony, error) {
	if v.s.passkeys == nil {
		return nil, nil
	}
	holder, err := v.holder(personID)
	if err != nil {
		return nil, err
	}
	challenge, sealed := v.s.newChallenge(v.s.waiting(v.r, about), forAdding)
	options, _, err := v.s.passkeys.BeginRegistration(holder, registrationOptions(holder, challenge)...)
	if err != nil {
		return nil, fmt.Errorf("ask for a new passkey: %w", err)
	}
	return ceremonyOf(options, sealed)
}

func registrationOptions(h holder, challenge []byte) []webauthn.RegistrationOption {
	return []webauthn.RegistrationOption{
		webauthn.WithAuthenticatorSelection(protocol.AuthenticatorSelection{
			ResidentKey: protocol.ResidentKeyRequirementRequired, RequireResidentKey: protocol.ResidentKeyRequired(),
			UserVerification: protocol.VerificationRequired,
		}),
		webauthn.WithExclusions(h.descriptors()),
		func(o *protocol.PublicKeyCredentialCreationOptions) error { o.Challenge = challenge; return nil },
	}
}

func ceremonyOf(options any, challenge string) (*ceremony, error) {
	raw, err := json.Marshal(options)
	if err != nil {
		return nil, err
	}
	return &ceremony{Options: string(raw), Challenge: challenge}, nil
}

func (v visit) waitingFor(q session.Request) session.Waiting { return v.s.waiting(v.r, q.ID) }

// errPasskey is a response that proves nothing.
var errPasskey = errors.New("the passkey proves nothing")

// postPasskey takes the signature of a passkey, as the first factor or as the
// second.
func postPasskey(v step) error {
	if v.s.passkeys == nil {
		return errForm
	}
	g := guess{source: v.s.sourceOf(v.r), account: "any passkey"}
	if _, wait := v.s.limits.source.Check(g.source, v.s.now()); wait > 0 {
		v.tooSoon(wait)
		return v.signInPage(http.StatusTooManyRequests, v.q, v.f, "", &problem{Key: "signin.toosoon"})
	}
	second := judge(v.q, v.f) == needSecond
	person, verified, err := v.verifyPasskey(v.q, v.f, second)
	switch {
	case errors.Is(err, errPasskey), errors.Is(err, errChallenge), errors.Is(err, directory.ErrNoPasskey), errors.Is(err, directory.ErrNotFound), errors.Is(err, directory.ErrCloned):
		v.s.options.Log.InfoContext(v.r.Context(), "a passkey was refused", "source", g.source, "error", err)
		v.s.limits.source.Fail(g.source, v.s.now())
		if second {
			return v.secondPage(http.StatusUnauthorized, v.q, v.f, &problem{Key: "passkey.wrong"})
		}
		return v.signInPage(http.StatusUnauthorized, v.q, v.f, "", &problem{Key: "passkey.wrong"})
	case err != nil:
		return err
	case second && !verified:
		return v.signedIn(v.q, person, session.ACRMFA, append(v.q.Progress.AMR, "hwk", "mfa"))
	case second:
		return v.signedIn(v.q, person, session.ACRPasskey, append(v.q.Progress.AMR, "hwk", "user", "mfa"))
	}
	if want := v.q.Demand.PersonID; want != "" && want != person.ID {
		return v.signInPage(http.StatusForbidden, v.q, v.f, "", &problem{Key: "signin.other"})
	}
	return v.signedIn(v.q, person, session.ACRPasskey, []string{"hwk", "user", "mfa"})
}

// verifyPasskey verifies a signature over a challenge of ours (WebAuthn Level 3
// §7.2), once, and returns whose it is.
func (v visit) verifyPasskey(q session.Request, f facts, second bool) (*directory.Standing, bool, error) {
	response, err := parseAssertion(v.r.PostForm.Get("response"))
	if err != nil {
		return nil, false, err
	}
	purpose := forSignIn
	if second {
		purpose = forSecond
	}
	asked, err := v.s.openChallenge(v.waitingFor(q), purpose, v.r.PostForm.Get("challenge"))
	if err != nil {
		return nil, false, err
	}
	passkey, err := v.s.options.People.Passkey(v.r.Context(), response.RawID)
	if err != nil {
		return nil, false, err
	}
	owner, err := v.holder(passkey.PersonID)
	if err != nil {
		return nil, false, err
	}
	data := webauthn.SessionData{Challenge: asked.text, UserVerification: protocol.VerificationRequired}
	if second {
		if passkey.PersonID != f.halfway.ID {
			return nil, false, errPasskey
		}
		data.UserVerification, data.UserID = protocol.VerificationPreferred, owner.WebAuthnID()
		_, err = v.s.passkeys.ValidateLogin(owner, data, response)
	} else {
		_, _, err = v.s.passkeys.ValidatePasskeyLogin(func(_, _ []byte) (webauthn.User, error) { return owner, nil }, data, response)
	}
	if err != nil {
		return nil, false, fmt.Errorf("%w: %w", errPasskey, err)
	}
	if err := v.s.spendChallenge(v.r.Context(), asked); err != nil {
		return nil, false, err
	}
	seen := response.Response.AuthenticatorData
	person, err := v.s.options.People.UsePasskey(v.r.Context(), passkey.ID, seen.Counter, seen.Flags.HasBackupState())
	return person, seen.Flags.HasUserVerified(), err
}

// parseAssertion reads what the script has sent.
func parseAssertion(raw string) (*protocol.ParsedCredentialAssertionData, error) {
	parsed, err := protocol.ParseCredentialRequestResponseBytes([]byte(raw))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errPasskey, err)
	}
	return parsed, nil
}

func parseCreation(raw string) (*protocol.ParsedCredentialCreationData, error) {
	parsed, err := protocol.ParseCredentialCreationResponseBytes([]byte(raw))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errPasskey, err)
	}
	return parsed, nil
}

// newPasskey verifies a passkey that was just made (WebAuthn Level 3 §7.1).
func (v visit) newPasskey(about, personID string) (directory.Passkey, error) {
	if v.s.passkeys == nil {
		return directory.Passkey{}, errForm
	}
	response, err := parseCreation(v.r.PostForm.Get("response"))
	if err != nil {
		return directory.Passkey{}, err
	}
	asked, err := v.s.openChallenge(v.s.waiting(v.r, about), forAdding, v.r.PostForm.Get("challenge"))
	if err != nil {
		return directory.Passkey{}, err
	}
	owner, err := v.holder(personID)
	if err != nil {
		return directory.Passkey{}, err
	}
	data := webauthn.SessionData{
		Challenge: asked.text, UserID: owner.WebAuthnID(), UserVerification: protocol.VerificationRequired,
		CredParams: webauthn.CredentialParametersDefault(),
	}
	made, err := v.s.passkeys.CreateCredential(owner, data, response)
	if err != nil {
		return directory.Passkey{}, fmt.Errorf("%w: %w", errPasskey, err)
	}
	if err := v.s.spendChallenge(v.r.Context(), asked); err != nil {
		return directory.Passkey{}, err
	}
	k := directory.Passkey{
		ID: made.ID, PersonID: personID, Key: made.PublicKey, SignCount: made.Authenticator.SignCount, AAGUID: made.Authenticator.AAGUID,
		Eligible: made.Flags.BackupEligible, BackedUp: made.Flags.BackupState,
	}
	for _, t := range made.Transport {
		k.Transports = append(k.Transports, string(t))
	}
	return k, nil
}

// holder is a person as the library knows them.
type holder struct {
	person   *directory.Person
	passkeys []directory.Passkey
}

func (v visit) holder(personID string) (holder, error) {
	account, err := v.s.options.People.Account(v.r.Context(), personID)
	if err != nil {
		return holder{}, err
	}
	return holder{account.Person, account.Passkeys}, nil
}

func (h holder) WebAuthnID() []byte          { return []byte(h.person.ID) }
func (h holder) WebAuthnName() string        { return h.person.Name }
func (h holder) WebAuthnDisplayName() string { return h.person.Name }

func (h holder) WebAuthnCredentials() []webauthn.Credential {
	all := make([]webauthn.Credential, len(h.passkeys))
	for i, k := range h.passkeys {
		all[i] = webauthn.Credential{
			ID: k.ID, PublicKey: k.Key,
			Flags:         webauthn.CredentialFlags{UserPresent: true, UserVerified: true, BackupEligible: k.Eligible, BackupState: k.BackedUp},
			Authenticator: webauthn.Authenticator{AAGUID: k.AAGUID, SignCount: k.SignCount},
		}
		for _, t := range k.Transports {
			all[i].Transport = append(all[i].Transport, protocol.AuthenticatorTransport(t))
		}
	}
	return all
}

func (h holder) descriptors() []protocol.CredentialDescriptor {
	all := h.WebAuthnCredentials()
	list := make([]protocol.CredentialDescriptor, len(all))
	for i := range all {
		list[i] = all[i].Descriptor()
	}
	return list
}

// passkeyMark names a passkey in forms.
func passkeyMark(id []byte) string { return base64.RawURLEncoding.EncodeToString(id) }
