package directory

import (
	"fmt"
	"testing"

	"github.com/offkey/offkey/internal/secret"
)

func TestWhatAPersonIsToldOf(t *testing.T) {
	hash := func(text string) PasswordHash {
		h, err := ParsePasswordHash(text)
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
	const bcrypted = "$2b$10$abcdefghijklmnopqrstuv0123456789abcdefghijklmnopqrstu"
	codes := []secret.Hash{secret.HashOf("1"), secret.HashOf("2"), secret.HashOf("3")}
	full := func() *Account {
		return &Account{
			Person: &Person{ID: "pe_1", Email: "ana@example.com"}, Password: hash(bcrypted), TOTP: TOTP{Sealed: []byte{1}, Step: 7},
			Recovery: codes[:2:2], Passkeys: []Passkey{{ID: []byte{1}, Name: "laptop", SignCount: 3}},
		}
	}
	for name, tc := range map[string]struct {
		change func(*Account)
		want   string
	}{
		"nothing":                        {func(*Account) {}, "[]"},
		"a code of the app was used":     {func(a *Account) { a.TOTP.Step = 8 }, "[]"},
		"a passkey was used":             {func(a *Account) { a.Passkeys[0].SignCount++ }, "[]"},
		"another group, another name":    {func(a *Account) { a.Groups, a.Name = []string{"x"}, "anna" }, "[]"},
		"an address is confirmed":        {func(a *Account) { a.EmailVerified = true }, "[]"},
		"another password":               {func(a *Account) { a.Password = hash(bcrypted[:len(bcrypted)-1] + "v") }, "[{password_set }]"},
		"another app":                    {func(a *Account) { a.TOTP = TOTP{Sealed: []byte{2}} }, "[{totp_set }]"},
		"no app":                         {func(a *Account) { a.TOTP = TOTP{} }, "[{totp_removed }]"},
		"a passkey more":                 {func(a *Account) { a.Passkeys = append(a.Passkeys, Passkey{ID: []byte{2}, Name: "key"}) }, "[{passkey_added key}]"},
		"a passkey less":                 {func(a *Account) { a.Passkeys = nil }, "[{passkey_removed laptop}]"},
		"one for another":                {func(a *Account) { a.Passkeys[0] = Passkey{ID: []byte{2}, Name: "key"} }, "[{passkey_added key} {passkey_removed laptop}]"},
		"new codes":                      {func(a *Account) { a.Recovery = codes[1:] }, "[{recovery_made }]"},
		"a code used":                    {func(a *Account) { a.Recovery = codes[:1] }, "[{recovery_used 1}]"},
		"no codes":                       {func(a *Account) { a.Recovery = nil }, "[{recovery_removed }]"},
		"another address":                {func(a *Account) { a.Email = "b@example.com" }, "[{address_changed b@example.com}]"},
		"all factors, the last code too": {func(a *Account) { a.Recovery = codes[:1]; a.TOTP, a.Passkeys = TOTP{}, nil }, "[{totp_removed } {passkey_removed laptop} {recovery_removed }]"},
	} {
		before := full()
		now := before.clone()
		tc.change(now)
		if got := fmt.Sprint(differences(before, now)); got != tc.want {
			t.Errorf("%s: %s, want %s", name, got, tc.want)
		}
	}
}
