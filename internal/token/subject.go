package token

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"

	"github.com/offkey/offkey/internal/client"
)

// Subjects says under which sub a client knows a person. Safe for concurrent
// use.
type Subjects struct{ key []byte }

// NewSubjects makes Subjects whose pairwise ones cannot be told without key. With
// another key every one of them is another.
func NewSubjects(key []byte) Subjects { return Subjects{key} }

// Of is the person's id, or for a client with pairwise subjects a name that no
// client of another sector sees (OIDC Core §8.1). It never meets the id of a
// client.
func (s Subjects) Of(c *client.Client, personID string) string {
	if c.SubjectType != client.SubjectPairwise {
		return personID
	}
	sector := c.Sector()
	mac := hmac.New(sha256.New, s.key)
	mac.Write(binary.AppendUvarint(nil, uint64(len(sector)))) // so that no two pairs share their bytes
	mac.Write([]byte(sector))
	mac.Write([]byte(personID))
	return "pw_" + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}
