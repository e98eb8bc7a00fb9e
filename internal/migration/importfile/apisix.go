package importfile

import "strings"

// readAPISIX reads consumers with their key-auth plugin or their credentials,
// from a standalone file or as the Admin API lists them. One whose plugin is
// switched off is disabled.
func readAPISIX(documents []node, found *Found, yield Yield) error {
	for _, d := range documents {
		for _, list := range []string{"routes", "services"} {
			for _, r := range d.get(list).list {
				if plugin := r.at("plugins", "key-auth"); plugin.kind == kindMap {
					found.carrier("header", orElse(plugin.first("header"), "apikey"))
					found.carrier("query", orElse(plugin.first("query"), "apikey"))
				}
			}
		}
		consumers := d.get("consumers").list
		consumers = append(consumers, listed(d)...)
		for _, c := range consumers {
			if err := apisixConsumer(c, yield); err != nil {
				return err
			}
		}
	}
	return nil
}

// listed are the values that the Admin API lists, each with its path as "path".
func listed(d node) (all []node) {
	items := d.get("list").list
	if items == nil {
		items = d.at("node", "nodes").list
	}
	if items == nil && d.get("value").kind == kindMap {
		items = []node{d}
	}
	for _, item := range items {
		value := item.get("value")
		value.members = append(value.members, member{"path", item.get("key")})
		all = append(all, value)
	}
	return all
}

func apisixConsumer(c node, yield Yield) error {
	e := Entry{Line: c.line, Owner: c.first("username"), Label: c.first("desc")}
	if _, rest, inPath := strings.Cut(c.first("path"), "/consumers/"); inPath && e.Owner == "" {
		e.Owner, _, _ = strings.Cut(rest, "/") // …/consumers/NAME/credentials/ID
		e.Label = orElse(e.Label, c.first("name", "id"))
	}
	e.Contact = contactIn(c.at("labels", "email").text, c.at("labels", "contact").text, e.Owner)
	e.Created = moment(c.first("create_time"))
	if err := apisixKey(c, e, yield); err != nil {
		return err
	}
	for _, credential := range c.get("credentials").list {
		of := e
		of.Line, of.Label = credential.line, credential.first("desc", "name", "id")
		if err := apisixKey(credential, of, yield); err != nil {
			return err
		}
	}
	return nil
}

// apisixKey yields the apikey of a consumer or credential, if it has one.
func apisixKey(n node, e Entry, yield Yield) error {
	plugin := n.at("plugins", "key-auth")
	if plugin.kind != kindMap {
		return nil
	}
	e.Key = plugin.first("key")
	e.Disabled = plugin.at("_meta", "disable").text == "true"
	return yield(e, reference(e.Key))
}

func orElse(text, otherwise string) string {
	if text == "" {
		return otherwise
	}
	return text
}
