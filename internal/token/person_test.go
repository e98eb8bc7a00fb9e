package token

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/offkey/offkey/internal/jose"
)

// ofAna is what a code of ana's was redeemed for.
func ofAna(w *world) Authorization {
	a := billing()
	a.Subject, a.GrantID = "pairwise-ana", "gr_1"
	a.Login = Login{PersonID: "pe_ana", Session: "se_1", AuthTime: w.now().Add(-time.Minute).UTC().Truncate(time.Second), ACR: "urn:mfa", AMR: []string{"pwd", "otp"}}
	a.Actor = &Actor{Subject: "cl_outer", Actor: &Actor{Subject: "cl_inner"}}
	a.Confirmation = Confirmation{JKT: "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"}
	return a
}

func TestATokenOfAPersonSaysHowThePersonSignedIn(t *testing.T) {
	// checklist_114
	w := newWorld(t, jose.ES256, 100)
	for name, cnf := range map[string]Confirmation{"dpop": {JKT: "thumbprint"}, "certificate": {X5TS256: "digest"}, "bearer": {}} {
		a := ofAna(w)
		a.Confirmation = cnf
		issued := w.issue(t, a)
		verified, err := w.verifier.Verify(issued.Token)
		if err != nil {
			t.Fatal(name, err)
		}
		if diff := cmp.Diff(issued.Claims, verified.Claims()); diff != "" {
			t.Errorf("%s: issued and verified differ: %s", name, diff)
		}
		if got := verified.Claims().Bound(); got != (name != "bearer") {
			t.Errorf("%s: bound is %v", name, got)
		}
		claims := part(t, issued.Token, 1)
		for _, claim := range []string{"auth_time", "acr", "amr", "sid", "act", "offkey_grant", "offkey_person"} {
			if claims[claim] == nil {
				t.Errorf("%s: no %s in %v", name, claim, claims)
			}
		}
		if (claims["cnf"] != nil) != (name != "bearer") {
			t.Errorf("%s: cnf is %v", name, claims["cnf"])
		}
	}
}

func TestATokenOfAClientSaysNothingOfPeople(t *testing.T) {
	w := newWorld(t, jose.ES256, 0)
	claims := part(t, w.issue(t, billing()).Token, 1)
	for _, claim := range []string{"auth_time", "acr", "amr", "sid", "act", "cnf", "offkey_grant", "offkey_person"} {
		if _, there := claims[claim]; there {
			t.Errorf("%s is in %v", claim, claims)
		}
	}
}

func TestATokenOfAPersonFallsWithWhatItCameFrom(t *testing.T) {
	for kind, id := range map[string]string{RevokeGrant: "gr_1", RevokePerson: "pe_ana", RevokeSession: "se_1", RevokeAll: All, RevokeClient: "cl_billing"} {
		w := newWorld(t, jose.ES256, 100)
		mine, other := w.issue(t, ofAna(w)).Token, w.issue(t, Authorization{
			Client: ofAna(w).Client, Resources: []string{api}, Life: time.Minute, GrantID: "gr_2", Login: Login{PersonID: "pe_bob", Session: "se_2"},
		}).Token
		for _, raw := range []string{mine, other} {
			if _, err := w.verifier.Verify(raw); err != nil {
				t.Fatal(kind, err)
			}
		}
		w.revocations.Add(Revocation{Kind: kind, ID: id, Before: w.now(), Expires: w.now().Add(time.Hour)})
		if _, err := w.verifier.Verify(mine); err == nil {
			t.Errorf("revoked by %s and still good", kind)
		}
		_, err := w.verifier.Verify(other)
		if everyone := kind == RevokeAll || kind == RevokeClient; (err != nil) != everyone {
			t.Errorf("%s: the other's token: %v", kind, err)
		}
		w.advance(2 * time.Second)
		_, err = w.verifier.Verify(w.issue(t, ofAna(w)).Token)
		if forever := kind == RevokeGrant || kind == RevokeSession; (err != nil) != forever {
			t.Errorf("%s: a later token: %v", kind, err)
		}
	}
}

func TestARevocationOfNobodyIsAboutNobody(t *testing.T) {
	w := newWorld(t, jose.ES256, 0)
	for _, kind := range []string{RevokeGrant, RevokePerson, RevokeSession, RevokeAPIKey} {
		w.revocations.Add(Revocation{Kind: kind, ID: "", Before: w.now(), Expires: w.now().Add(time.Hour)})
	}
	if _, err := w.verifier.Verify(w.issue(t, billing()).Token); err != nil {
		t.Error(err)
	}
}
