package importfile

import (
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// kong is what the documents of one configuration say together: consumers can
// be named by what has their credentials, and the other way round.
type kong struct {
	consumers map[string]kongConsumer // by id, username, custom_id, and what a Secret is named by
	secrets   map[string]node         // of Kubernetes, by name
	yield     Yield
}

type kongConsumer struct {
	owner, contact string
	scopes         []string
}

// readKong reads declarative configuration and the files of deck: credentials
// below their consumers, or beside them with the consumer's id. A consumer's
// acls are its scopes. KongConsumer and the Secrets that it names are read too.
func readKong(documents []node, found *Found, yield Yield) error {
	k := kong{consumers: map[string]kongConsumer{}, secrets: map[string]node{}, yield: yield}
	for _, d := range documents {
		k.note(d)
		noteKongCarriers(d, found)
	}
	for _, d := range documents {
		if err := k.readDeclarative(d); err != nil {
			return err
		}
		for _, object := range kubernetesObjects(d) {
			if err := k.readObject(object); err != nil {
				return err
			}
		}
	}
	return nil
}

// kubernetesObjects are the objects of a document, which may be a List.
func kubernetesObjects(d node) []node {
	if d.get("kind").text == "List" {
		return d.get("items").list
	}
	return []node{d}
}

// note remembers consumers, with their groups, and Secrets.
func (k *kong) note(d node) {
	groups := map[string][]string{}
	for _, acl := range d.get("acls").list {
		groups[consumerOf(acl)] = append(groups[consumerOf(acl)], acl.first("group"))
	}
	for _, c := range d.get("consumers").list {
		of := kongConsumer{owner: c.first("username", "custom_id", "id")}
		of.contact = contactIn(c.first("custom_id"), c.first("username"))
		names := []string{c.first("id"), c.first("username"), c.first("custom_id")}
		for _, acl := range c.get("acls").list {
			of.scopes = append(of.scopes, acl.first("group"))
		}
		for _, name := range names {
			if name != "" {
				of.scopes = append(of.scopes, groups[name]...)
			}
		}
		for _, name := range names {
			if name != "" {
				k.consumers[name] = of
			}
		}
	}
	for _, object := range kubernetesObjects(d) {
		if object.get("kind").text == "Secret" {
			k.secrets[object.at("metadata", "name").text] = object
		}
	}
}

// consumerOf names the consumer of a credential or group: its id, or an object
// with that.
func consumerOf(n node) string {
	c := n.get("consumer")
	if c.kind == kindMap {
		return c.first("id", "username")
	}
	return c.text
}

func (k *kong) readDeclarative(d node) error {
	for _, c := range d.get("consumers").list {
		of := k.consumers[c.first("username", "custom_id", "id")]
		for _, credential := range c.get("keyauth_credentials").list {
			if err := k.credential(credential, of); err != nil {
				return err
			}
		}
	}
	for _, credential := range d.get("keyauth_credentials").list {
		of, known := k.consumers[consumerOf(credential)]
		if !known && consumerOf(credential) != "" {
			of.owner = consumerOf(credential) // the dump has its credentials alone
		}
		if err := k.credential(credential, of); err != nil {
			return err
		}
	}
	return nil
}

func (k *kong) credential(n node, of kongConsumer) error {
	e := Entry{
		Line: n.line, Key: n.first("key"), Owner: of.owner, Contact: of.contact, Scopes: of.scopes,
		Label: strings.Join(n.get("tags").texts(), " "), Created: moment(n.first("created_at")),
	}
	if ttl, err := strconv.Atoi(n.first("ttl")); err == nil && ttl > 0 && !e.Created.IsZero() {
		e.Expires = e.Created.Add(time.Duration(min(ttl, 100*365*24*3600)) * time.Second)
	}
	return k.yield(e, reference(e.Key))
}

// readObject reads KongConsumer with its Secrets, and KongCredential of old.
func (k *kong) readObject(o node) error {
	switch o.get("kind").text {
	case "KongConsumer":
		of := kongConsumer{owner: o.first("username", "custom_id")}
		of.contact = contactIn(o.first("custom_id"), of.owner)
		names := o.get("credentials").texts()
		var keys []Entry
		for _, name := range names {
			secret, there := k.secrets[name]
			if !there {
				if err := k.yield(Entry{Line: o.line, Owner: of.owner}, unresolved("its apikey is in the Secret %s, which is not in the list: add it with `kubectl get secret -o yaml`", line(name))); err != nil {
					return err
				}
				continue
			}
			switch credentialKind(secret) {
			case "acl":
				of.scopes = append(of.scopes, secretValue(secret, "group"))
			case "key-auth", "":
				if key := secretValue(secret, "key"); key != "" {
					keys = append(keys, Entry{Line: secret.line, Key: key, Label: name})
				}
			}
		}
		for _, e := range keys {
			e.Owner, e.Contact, e.Scopes = of.owner, of.contact, of.scopes
			if err := k.yield(e, reference(e.Key)); err != nil {
				return err
			}
		}
	case "KongCredential":
		if o.get("type").text == "key-auth" {
			e := Entry{Line: o.line, Key: o.at("config", "key").text, Label: o.at("metadata", "name").text, Owner: o.first("consumerRef")}
			return k.yield(e, reference(e.Key))
		}
	}
	return nil
}

// credentialKind is what kind of credential a Secret has, "" if it does not say.
func credentialKind(secret node) string {
	if kind := secret.at("metadata", "labels", "konghq.com/credential").text; kind != "" {
		return kind
	}
	return secretValue(secret, "kongCredType")
}

// secretValue is a value of a Secret, which has it in base64 or as it is.
func secretValue(secret node, name string) string {
	if plain := secret.at("stringData", name).text; plain != "" {
		return plain
	}
	raw, err := base64.StdEncoding.DecodeString(secret.at("data", name).text)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(raw))
}

// noteKongCarriers finds where the key-auth plugin looks for apikeys.
func noteKongCarriers(d node, found *Found) {
	d.walk(func(n node) {
		if n.first("name") != "key-auth" && n.first("plugin") != "key-auth" {
			return
		}
		c := n.get("config")
		names := c.get("key_names").texts()
		if len(names) == 0 {
			names = []string{"apikey"}
		}
		for _, name := range names {
			if !isFalse(c.first("key_in_header")) {
				found.carrier("header", name)
			}
			if !isFalse(c.first("key_in_query")) {
				found.carrier("query", name)
			}
		}
		if text := c.first("key_in_body"); text != "" && !isFalse(text) {
			found.note("Kong takes apikeys from bodies too (key_in_body), where offkey does not look")
		}
	})
}

func (f *Found) carrier(kind, name string) {
	text := kind + ":" + line(name)
	for _, known := range f.Carriers {
		if strings.EqualFold(known, text) {
			return
		}
	}
	if len(f.Carriers) < 32 && name != "" {
		f.Carriers = append(f.Carriers, text)
	}
}

func (f *Found) note(format string, a ...any) {
	text := fmt.Sprintf(format, a...)
	for _, known := range f.Notes {
		if known == text {
			return
		}
	}
	if len(f.Notes) < 32 {
		f.Notes = append(f.Notes, text)
	}
}
