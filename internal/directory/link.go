package directory

import (
	"time"

	"github.com/offkey/offkey/internal/secret"
)

// Purpose is what a one-time link is for. A link opens nothing else.
type Purpose string

// The purposes of links.
const (
	ForSetup  Purpose = "setup"  // the first administrator makes an account
	ForInvite Purpose = "invite" // a new person chooses how to sign in
	ForReset  Purpose = "reset"  // somebody who cannot sign in chooses anew
	ForEmail  Purpose = "email"  // an address proves to be its person's
	// ForAddress is another address that a person chose: it is theirs once the
	// link that was sent there is used by them.
	ForAddress Purpose = "address"
)

// linkLife is how long a link of each purpose lives.
var linkLife = map[Purpose]time.Duration{
	ForSetup: 30 * time.Minute, ForInvite: 7 * 24 * time.Hour, ForReset: time.Hour, ForEmail: 24 * time.Hour, ForAddress: 24 * time.Hour,
}

// kindLink is the kind of secret in links, which scanners find.
const kindLink = "li"

// Link is a one-time link as kept: without the secret in it. A person has at
// most one of a purpose, the newest.
type Link struct {
	Hash     secret.Hash `json:"-"`
	Purpose  Purpose     `json:"purpose"`
	PersonID string      `json:"person_id"` // "" of ForSetup
	Email    string      `json:"email,omitempty"`
	Created  time.Time   `json:"created"`
	Expires  time.Time   `json:"expires"`
}

// newLink makes a link, and the secret that stands in it.
func newLink(purpose Purpose, personID, email string, now time.Time) (secret.Text, Link) {
	raw := secret.Generate(kindLink)
	return raw, Link{
		Hash: secret.HashOf(raw.Reveal()), Purpose: purpose, PersonID: personID, Email: email,
		Created: now, Expires: now.Add(linkLife[purpose]),
	}
}
