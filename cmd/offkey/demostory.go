package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"

	"github.com/offkey/offkey/sdk/go/oauthclient"
)

// enoughCalls is how many calls of each program a step looks at.
const enoughCalls = 8

// tell is the story, scene by scene.
func (d *demo) tell(ctx context.Context) error {
	for _, scene := range []func(context.Context) error{
		d.keysAppear, d.oneUpgrades, d.routesAreDeclared, d.scopesHold, d.programSendsTokens, d.planIsAsked, d.keyIsRetired, d.othersGoOn, d.auditHolds,
	} {
		if err := scene(ctx); err != nil {
			return err
		}
	}
	return nil
}

// at is where the operator's commands find this offkey.
func (d *demo) at(args ...string) []string { return append(args, "--data", d.data) }

// mover is the program that leaves its key.
func (d *demo) mover() *demoCaller { return d.callers[0] }

func (d *demo) keysAppear(ctx context.Context) error {
	d.scene("An API with keys, and offkey in front of it: the keys appear")
	d.show("A products API listens at %s. It wants a key, and knows nothing of offkey. Three programs use it:", d.up.Upstream)
	for _, c := range d.callers {
		d.show("  %-13s %s", c.name, c.where)
	}
	typed := []string{"up", "--upstream", d.up.Upstream, "--token-call", d.up.TokenCall}
	for _, place := range d.up.APIKeyIn {
		typed = append(typed, "--apikey-in", place)
	}
	d.show("%s", d.t.paint("36", "$ "+typedCommand(d.at(typed...))))
	d.show("  (here it runs in the same process)   %s  ->  %s", d.offkey.Gateway, d.up.Upstream)

	var list struct{ APIKeys []apikeyDoc }
	err := d.waitFor(ctx, "offkey learns keys from what the API answers", func() (string, bool, error) {
		list.APIKeys = nil
		err := d.ask(ctx, &list, d.at("apikeys", "list")...)
		ready := len(list.APIKeys) == len(d.callers) && !slices.ContainsFunc(list.APIKeys, func(k apikeyDoc) bool { return k.Calls < enoughCalls })
		return fmt.Sprintf("%d of %d known", len(list.APIKeys), len(d.callers)), ready, err
	})
	if err != nil {
		return err
	}
	if _, err := d.command(ctx, exitOK, d.at("apikeys", "list")...); err != nil {
		return err
	}
	for _, c := range d.callers {
		if !slices.ContainsFunc(list.APIKeys, func(k apikeyDoc) bool { return strings.HasSuffix(c.key, k.Last4) }) {
			return d.broken("the key of %s is not listed", c.name)
		}
	}
	d.shows("%d keys known, each with where it travels and how often it is used; none of them was typed in, none is kept in clear", len(list.APIKeys))
	return nil
}

func (d *demo) oneUpgrades(ctx context.Context) error {
	c := d.mover()
	d.scene("The program " + c.name + " trades its key for an OAuth client, with one command")
	_, err := d.command(ctx, exitOK, "upgrade", "--api", d.offkey.Gateway, "--apikey-file", d.keyFile(c), "--name", c.name, "--lang", "go", "--dir", d.callerDir(c))
	if err != nil {
		return err
	}
	client, err := oauthclient.LoadClient(d.callerDir(c), "")
	if err != nil {
		return d.broken("%v", err)
	}
	if len(client.Scopes) == 0 || client.Pending {
		return d.broken("the client %s has no scopes", client.ClientID)
	}
	d.shows("it has a key pair of its own, and the scopes that its calls used: %s", strings.Join(client.Scopes, " "))
	return nil
}

func (d *demo) routesAreDeclared(ctx context.Context) error {
	d.scene("The operator says which scope each route needs, as proposed by the traffic, and enforces it")
	operations := map[string]bool{}
	for _, c := range d.callers {
		for _, call := range c.calls {
			operations[templateOf(call)] = true
		}
	}
	var found []routeDoc
	err := d.waitFor(ctx, "routes are seen", func() (string, bool, error) {
		var list struct{ Routes []routeDoc }
		err := d.ask(ctx, &list, d.at("routes", "list", "--source", "observed")...)
		found = slices.DeleteFunc(list.Routes, func(r routeDoc) bool { return !operations[r.Match] })
		return fmt.Sprintf("%d of %d", len(found), len(operations)), len(found) == len(operations), err
	})
	if err != nil {
		return err
	}
	for _, r := range found {
		if len(r.Scopes) == 0 {
			return d.broken("no scope is proposed for %s", r.Match)
		}
		if _, err := d.command(ctx, exitOK, d.at(append([]string{"routes", "set", r.Match}, r.Scopes...)...)...); err != nil {
			return err
		}
	}
	if _, err := d.command(ctx, exitOK, d.at("routes", "enforce", "on")...); err != nil {
		return err
	}
	d.shows("%d routes, enforced for tokens; programs with keys notice nothing", len(found))
	return nil
}

// templateOf is an operation as offkey counts it: numbers in the path are ids.
func templateOf(operation string) string {
	parts := strings.Split(operation, "/")
	for i, p := range parts {
		if p != "" && strings.Trim(p, "0123456789") == "" {
			parts[i] = "{id}"
		}
	}
	return strings.Join(parts, "/")
}

func (d *demo) scopesHold(ctx context.Context) error {
	d.scene("A token opens what its scope says, and no more")
	products, dir := d.offkey.Gateway+"/v1/products", d.callerDir(d.mover())
	for _, try := range []struct {
		exit int
		want string
		args []string
	}{
		{exitFailed, "403 Forbidden", []string{"call", "GET", products, "--scope", "", "--dir", dir}},
		{exitOK, "200 OK", []string{"call", "GET", products + "/1", "--dir", dir}},
		{exitFailed, "403 Forbidden", []string{"call", "POST", products, "-d", `{"name":"Spoon"}`, "--dir", dir}},
	} {
		said, err := d.command(ctx, try.exit, try.args...)
		if err != nil {
			return err
		}
		if !strings.Contains(said, try.want) {
			return d.broken("the answer is not %s: %s", try.want, said)
		}
	}
	d.shows("403 without the scope, 200 with it, 403 for what the program has never done; its key opened all of it")
	return nil
}

func (d *demo) programSendsTokens(ctx context.Context) error {
	c := d.mover()
	d.scene("The three lines are changed in " + c.name + ": it calls with tokens from now on")
	config, err := oauthclient.Load(d.callerDir(c))
	if err != nil {
		return d.broken("%v", err)
	}
	c.sendTokens(config.Client())
	if err := d.calls(ctx, c); err != nil {
		return err
	}
	good, _ := c.counted()
	d.shows("%d calls with tokens, all answered with success; the API still sees the key that it knows", good)
	return nil
}

// calls waits until each caller has made enough calls, all with success.
func (d *demo) calls(ctx context.Context, callers ...*demoCaller) error {
	return d.waitFor(ctx, "calls are made", func() (string, bool, error) {
		least, refused := -1, ""
		for _, c := range callers {
			good, bad := c.counted()
			if least < 0 || good < least {
				least = good
			}
			if bad > 0 {
				refused = fmt.Sprintf("%d calls of %s have failed", bad, c.name)
			}
		}
		if refused != "" {
			return "", false, d.broken("%s", refused)
		}
		return fmt.Sprintf("%d each", least), least >= enoughCalls, nil
	})
}

func (d *demo) planIsAsked(ctx context.Context) error {
	d.scene("Whose calls would fail without keys? The recorded calls say it, before anything is done")
	if _, err := d.command(ctx, exitOK, d.at("plan", "retired")...); err != nil {
		return err
	}
	var plan planDoc
	if err := d.ask(ctx, &plan, d.at("plan", "retired")...); err != nil {
		return err
	}
	stay := 0
	for _, c := range d.callers[1:] {
		key, err := d.apikeyOf(ctx, c)
		if err != nil {
			return err
		}
		if !slices.ContainsFunc(plan.Callers, func(r planRow) bool { return r.ID == key.ID && r.Calls > 0 }) {
			return d.broken("the plan does not name the key of %s", c.name)
		}
		stay++
	}
	d.shows("%d programs still need their keys: only the key of %s goes", stay, d.mover().name)
	return nil
}

// apikeyOf finds a caller's key in the inventory.
func (d *demo) apikeyOf(ctx context.Context, c *demoCaller) (apikeyDoc, error) {
	var list struct{ APIKeys []apikeyDoc }
	if err := d.ask(ctx, &list, d.at("apikeys", "list")...); err != nil {
		return apikeyDoc{}, err
	}
	i := slices.IndexFunc(list.APIKeys, func(k apikeyDoc) bool { return strings.HasSuffix(c.key, k.Last4) })
	if i < 0 {
		return apikeyDoc{}, d.broken("the key of %s is not listed", c.name)
	}
	return list.APIKeys[i], nil
}

func (d *demo) keyIsRetired(ctx context.Context) error {
	c := d.mover()
	d.scene("The key of " + c.name + " is retired")
	key, err := d.apikeyOf(ctx, c)
	if err != nil {
		return err
	}
	for _, other := range d.callers {
		other.countAnew()
	}
	if _, err := d.command(ctx, exitOK, d.at("stage", "set", "retired", "--apikey", key.ID)...); err != nil {
		return err
	}
	d.show("%s", d.t.paint("36", fmt.Sprintf(`$ curl -i -H "X-API-Key: $(cat %s)" %s/v1/products`, shellQuote(d.keyFile(c)), d.offkey.Gateway)))
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, d.offkey.Gateway+"/v1/products", nil)
	if err != nil {
		return err
	}
	c.sign(req, c.key)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return d.broken("%v", err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return d.broken("%v", err)
	}
	var problem struct{ Code, Detail string }
	var pretty bytes.Buffer
	if err := json.Unmarshal(body, &problem); err != nil || json.Indent(&pretty, body, "", "  ") != nil {
		return d.broken("the answer is %s: %s", resp.Status, body)
	}
	d.show("%s %s\nWWW-Authenticate: %s\nContent-Type: %s\n\n%s", resp.Proto, resp.Status, resp.Header.Get("WWW-Authenticate"), resp.Header.Get("Content-Type"), strings.TrimSpace(pretty.String()))
	if resp.StatusCode != http.StatusUnauthorized || problem.Code != "apikey_retired" {
		return d.broken("the key is answered with %s", resp.Status)
	}
	d.shows("401, and the answer says why; `offkey stage set observe --apikey %s` would take it back within a second", key.ID)
	return nil
}

func (d *demo) othersGoOn(ctx context.Context) error {
	d.scene("Nobody else notices")
	if err := d.calls(ctx, d.callers...); err != nil {
		return err
	}
	for _, c := range d.callers {
		how := c.where
		if c == d.mover() {
			how = "Authorization: Bearer …"
		}
		good, bad := c.counted()
		d.show("  %-13s %-24s %3d calls with success, %d refused", c.name, how, good, bad)
	}
	if _, err := d.command(ctx, exitOK, d.at("status")...); err != nil {
		return err
	}
	d.shows("two programs with keys, one with tokens, no call lost")
	return nil
}

func (d *demo) auditHolds(ctx context.Context) error {
	d.scene("What was done is on record, and the record holds")
	if _, err := d.command(ctx, exitOK, d.at("audit", "--limit", "20")...); err != nil {
		return err
	}
	if _, err := d.command(ctx, exitOK, d.at("audit", "--verify")...); err != nil {
		return err
	}
	var verified struct {
		Entries int
		OK      bool
	}
	if err := d.ask(ctx, &verified, d.at("audit", "--verify")...); err != nil {
		return err
	}
	if !verified.OK || verified.Entries == 0 {
		return d.broken("the audit log does not verify")
	}
	d.shows("%d entries, each bound to the one before", verified.Entries)
	return nil
}
