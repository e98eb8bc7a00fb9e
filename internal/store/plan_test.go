package store

import (
	"database/sql"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/offkey/offkey/internal/apikey"
	"github.com/offkey/offkey/internal/client"
	"github.com/offkey/offkey/internal/keyring"
	"github.com/offkey/offkey/internal/policy"
	"github.com/offkey/offkey/internal/secret"
	sessions "github.com/offkey/offkey/internal/session"
	"github.com/offkey/offkey/internal/token"
	"github.com/offkey/offkey/internal/traffic"
)

// useAll calls every method, so that every statement is held by a session.
func useAll(t *testing.T, db *DB) {
	t.Helper()
	ctx, e, now := t.Context(), did("x"), time.Now()
	ok := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	key := func(id string) *apikey.Key { return &apikey.Key{ID: id, Fingerprint: secret.HashOf(id)} }
	_, err := db.LearnAPIKey(ctx, key("ak_1"), e)
	ok(err)
	for _, keys := range [][]*apikey.Key{{key("ak_1")}, {key("ak_2")}} {
		_, err = db.ImportAPIKeys(ctx, keys, e)
		ok(err)
	}
	for _, id := range []string{"cl_1", "cl_2"} {
		c := client.Client{ID: id, Source: client.SourceUpgrade}
		ok(db.RegisterUpgrade(ctx, "ak_1", &c, true, func([]*client.Client, *apikey.Key) error { c.Status = client.Active; return nil }, e))
	}
	ok(db.CreateClient(ctx, &client.Client{ID: "cl_3"}, e))
	ok(db.TouchClients(ctx, map[string]map[string]time.Time{"cl_1": {"cr_1": now}}))
	ok(db.SealAPIKey(ctx, "ak_1", "cl_1", "api", []byte{1}, e))
	_, _, err = db.SealedAPIKey(ctx, "cl_1", "api")
	ok(err)
	_, err = db.ContainAPIKey(ctx, "ak_1", now.Add(-time.Hour), e)
	ok(err)
	_, err = db.UpdateClient(ctx, "cl_3", func(c *client.Client) error { c.Status = client.Disabled; return nil }, e)
	ok(err)
	ok(db.DeleteClient(ctx, "cl_1", e))
	_, _, err = db.Clients(ctx, client.Filter{})
	ok(err)
	_, _, err = db.APIKeys(ctx, apikey.Filter{})
	ok(err)
	_, err = db.APIKeyByFingerprint(ctx, secret.HashOf("ak_1"))
	ok(err)
	_, _, _, err = db.APIKeyUse(ctx, "ak_1")
	ok(err)
	for _, jti := range []string{"a", "a"} {
		_, err = db.SpendAssertion(ctx, "cl_1", jti, now)
		ok(err)
	}
	ok(db.Revoke(ctx, token.Revocation{Kind: token.RevokeToken, ID: "x"}, e))
	_, err = db.Revocations(ctx, now)
	ok(err)
	device := sessions.Device{ID: "gr_1", Code: secret.HashOf("a"), UserCode: "a", ClientID: "cl_1", Expires: now.Add(time.Hour)}
	ok(db.StartDevice(ctx, device, sessions.DeviceLimits{PerClient: 1, All: 1}, now))
	_, err = db.WaitingDevice(ctx, "a", now)
	ok(err)
	_, err = db.PollDevice(ctx, device.Code, now)
	ok(err)
	ok(db.AnswerDevice(ctx, device.Code, sessions.Answer{PersonID: "pe_1", At: now.Add(time.Second)}, e))
	_, err = db.Device(ctx, device.Code)
	ok(err)
	_, err = db.RedeemDevice(ctx, device.Code, now)
	ok(err)
	useSessions(t, db)
	g := token.Grant{ID: "gr_1", ClientID: "cl_9", Login: token.Login{PersonID: "pe_1", Session: "se_9"}, Created: now}
	pushed := sessions.Pushed{Hash: secret.HashOf("p"), ClientID: "cl_9", Body: []byte("{}"), Expires: now.Add(time.Hour)}
	ok(db.PushRequest(ctx, pushed, sessions.PushedLimits{PerClient: 9, All: 9}))
	_, err = db.PushedRequest(ctx, pushed.Hash, now)
	ok(err)
	ok(db.IssueCode(ctx, token.Code{Hash: secret.HashOf("c"), Grant: g, Expires: now.Add(time.Minute)}, pushed.Hash, e))
	_, err = db.RedeemCode(ctx, secret.HashOf("c"), now)
	ok(err)
	_, err = db.DueNotices(ctx, now, 1)
	ok(err)
	ok(db.SettleNotice(ctx, "x", now))
	ok(db.SettleNotice(ctx, "x", time.Time{}))
	_, rt := token.NewRefreshToken()
	ok(db.StartFamily(ctx, token.Family{Grant: g, Handle: rt.Handle, Current: rt.Secret, LastUsed: now, Ends: now.Add(time.Hour)}, e))
	_, err = db.UseFamily(ctx, rt, rt, now, 0)
	ok(err)
	_, err = db.Grant(ctx, "gr_1")
	ok(err)
	ok(db.RevokeGranted(ctx, "pe_1", "cl_9", e))
	for _, kind := range []string{token.RevokePerson, token.RevokeSession, token.RevokeClient} {
		ok(db.Revoke(ctx, token.Revocation{Kind: kind, ID: "x", Before: now}, e))
	}
	ok(db.AddSigningKey(ctx, keyring.Key{ID: "k1", Alg: "ES256", Sealed: []byte{1}}, e))
	for range 2 {
		ok(db.DropSigningKey(ctx, "k1", now, e))
	}
	r, err := policy.ParseRoute("GET /a")
	ok(err)
	ok(db.SetRoute(ctx, r, e))
	ok(db.DeleteRoute(ctx, "GET /a", e))
	_, err = db.UpdateSettings(ctx, func(s *policy.Settings) error { s.StageUntil = now; return nil }, e)
	ok(err)
	_, err = db.UpdateSettings(ctx, func(s *policy.Settings) error { s.StageUntil = time.Time{}; return nil }, e)
	ok(err)
	rows := make([]traffic.Row, trafficBatch+1)
	for i := range rows {
		rows[i] = traffic.Row{Hour: now, Credential: traffic.Credential{Kind: traffic.KindAPIKey, ID: "ak_1"}, Source: netip.MustParsePrefix("10.0.0.0/24"), Status: i}
	}
	ok(db.AddTraffic(ctx, rows))
	for _, f := range []traffic.Filter{{}, {Credential: &rows[0].Credential}} {
		ok(db.Traffic(ctx, f, func(traffic.Row) error { return nil }))
	}
	rule := &client.TrustRule{ID: "tr_1", Name: "one", ClientID: "cl_3"}
	ok(db.CreateTrustRule(ctx, rule, e))
	_, err = db.TrustRules(ctx)
	ok(err)
	ok(db.SetTrustDisabled(ctx, "tr_1", true, e))
	ok(db.DeleteTrustRule(ctx, "tr_1", e))
	ok(db.CreateRegistrationToken(ctx, &client.RegistrationToken{ID: "rt_1", Hash: secret.HashOf("rt_1"), UsesLeft: 2, Expires: now.Add(time.Hour)}, e))
	_, err = db.RegistrationTokens(ctx)
	ok(err)
	for _, id := range []string{"cl_7", "cl_8"} {
		ok(db.RegisterClient(ctx, client.Registration{Client: &client.Client{ID: id}, Token: secret.HashOf("rt_1"), UnusedUntil: now.Add(time.Hour), MostUnused: 9},
			func(*client.Client, *client.RegistrationToken) error { return nil }, e))
	}
	ok(db.DeleteRegistrationToken(ctx, "rt_1", e))
	_, err = db.TrafficFloor(ctx)
	ok(err)
	_, _, err = db.VerifyAudit(ctx)
	ok(err)
	_, err = db.ChangesSince(ctx, 0, 1)
	ok(err)
	usePeople(t, db)
	for _, at := range []time.Time{now, now.AddDate(1, 0, 0)} {
		_, err = db.Clean(ctx, at, 1000)
		ok(err)
	}
	ok(db.Check(ctx))
}

// useSessions calls what browsers need.
func useSessions(t *testing.T, db *DB) {
	t.Helper()
	ctx, e, now := t.Context(), did("x"), time.Now()
	ok := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	w := sessions.Waiting{Request: "rq_1", Browser: secret.HashOf("b")}
	ok(db.PutRequest(ctx, sessions.Request{ID: w.Request, Browser: w.Browser, Kind: sessions.ForClient, Created: now, Expires: now.Add(time.Hour)}, sessions.RequestLimits{PerBrowser: 1, All: 9}))
	s := sessions.Session{ID: "se_1", Cookie: secret.HashOf("c"), PersonID: "pe_1", Created: now, LastSeen: now, Expires: now.Add(time.Hour)}
	for range 2 {
		_, err := db.StartSession(ctx, s, s.Cookie, w, e)
		ok(err)
	}
	ok(db.TouchSession(ctx, "se_1", now.Add(time.Second)))
	_, err := db.SessionsOf(ctx, "pe_1", now)
	ok(err)
	consent := sessions.Consent{PersonID: "pe_1", ClientID: "cl_3", At: now}
	ok(db.AnswerRequest(ctx, w, sessions.Answer{PersonID: "pe_1", SessionID: "se_1", At: now}, &consent, e))
	_, err = db.TakeRequest(ctx, w, now)
	ok(err)
	_, err = db.ConsentsOf(ctx, "pe_1")
	ok(err)
	ok(db.WithdrawConsent(ctx, "pe_1", "cl_3", e))
	_, err = db.EndSessionsOf(ctx, "pe_1", "", e)
	ok(err)
}

func TestQueriesGoByIndex(t *testing.T) {
	db := openNew(t)
	useAll(t, db)
	// These read all that there is, of which there is little, or an end of it.
	whole := []string{
		"FROM route ORDER BY match", "FROM trust_rule ORDER BY id", "FROM registration_token ORDER BY id", "FROM setting", "FROM signing_key ORDER BY", "FROM sealed_apikey GROUP BY", "FROM sqlite_schema",
		"coalesce(min(seq), 1) FROM change_log", "(SELECT max(seq) FROM change_log)", "coalesce(min(hour), 0) FROM traffic", "SELECT ids FROM spent_assertion",
		"FROM people_group ORDER BY name", "count(*) FROM people_group", "FROM person_group GROUP BY",
		"FROM revocation WHERE expires > ? ORDER BY", "SELECT sqlite_version()",
	}
	looked := 0
	explain := func(s *session) {
		for query := range s.conn.(*sqliteConn).held {
			verb, _, _ := strings.Cut(strings.TrimSpace(query), " ")
			if verb != "SELECT" && verb != "UPDATE" && verb != "DELETE" {
				continue
			}
			looked++
			err := (&sqliteConn{conn: s.conn.(*sqliteConn).conn, held: map[string]*sql.Stmt{}}).each("EXPLAIN QUERY PLAN "+query, make(args, strings.Count(query, "?")), func(scan func(...any) error) error {
				var id, parent, unused int
				var step string
				if err := scan(&id, &parent, &unused, &step); err != nil {
					return err
				}
				if !strings.HasPrefix(step, "SCAN ") && !strings.Contains(step, "TEMP B-TREE") {
					return nil
				}
				for _, fine := range whole {
					if strings.Contains(query, fine) {
						return nil
					}
				}
				t.Errorf("%s\n\t%s", strings.Join(strings.Fields(query), " "), step)
				return nil
			})
			if err != nil {
				t.Errorf("%s: %v", query, err)
			}
		}
	}
	if err := db.change(t.Context(), func(x *tx) error { explain(x.session); return nil }); err != nil {
		t.Fatal(err)
	}
	for range cap(db.pool.idle) {
		s := <-db.pool.idle
		explain(s)
		defer func() { db.pool.idle <- s }()
	}
	if looked < 40 {
		t.Errorf("only %d statements were looked at", looked)
	}
}
