package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/offkey/offkey/internal/jose"
)

func TestKeygen(t *testing.T) {
	for _, alg := range []string{"ES256", "EdDSA", "PS256", "es256"} {
		t.Run(alg, func(t *testing.T) {
			dir := t.TempDir()
			key, set := filepath.Join(dir, "k.pem"), filepath.Join(dir, "k.jwks")
			r := offkey(t, "keygen", "--alg", alg, "--out", key, "--jwks", set)
			r.want(t, exitOK, "never sent")
			public, err := jose.ParseKeySet([]byte(r.out)) // it refuses private members
			if err != nil {
				t.Fatal(err)
			}
			pem, err := os.ReadFile(key)
			if err != nil {
				t.Fatal(err)
			}
			private, err := jose.ParseSigningKeyPEM(pem)
			if err != nil {
				t.Fatal(err)
			}
			if public.Keys[0].ID != private.ID() || !strings.EqualFold(string(public.Keys[0].Alg), alg) || public.Keys[0].Use != "sig" {
				t.Errorf("public %+v is not of private %s", public.Keys[0], private.ID())
			}
			for _, path := range []string{key, set} {
				if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
					t.Errorf("%s: %v, %v", path, info.Mode(), err)
				}
			}
			if copied, err := os.ReadFile(set); err != nil || string(copied) != r.out {
				t.Errorf("the file holds another set than stdout: %v", err)
			}
			offkey(t, "keygen", "--out", key).want(t, exitFailed, "--force")
			if again, err := os.ReadFile(key); err != nil || string(again) != string(pem) {
				t.Error("the key is gone")
			}
			offkey(t, "keygen", "--out", key, "--force").want(t, exitOK)
		})
	}
	t.Run("unknown algorithm", func(t *testing.T) {
		offkey(t, "keygen", "--alg", "HS256", "--out", filepath.Join(t.TempDir(), "k")).want(t, exitUsage, "ES256 or EdDSA")
	})
	t.Run("no such folder", func(t *testing.T) {
		offkey(t, "keygen", "--out", filepath.Join(t.TempDir(), "x", "k")).want(t, exitFailed, "no such file")
	})
}
