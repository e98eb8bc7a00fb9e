package importfile

// readUnkey reads the keys of an API as they are listed, and requests to
// migrate keys, which have a hash for each. Listed keys are without either,
// unless they were asked for with decrypt=true.
func readUnkey(documents []node, _ *Found, yield Yield) error {
	for _, d := range documents {
		list := d.get("keys")
		if list.kind != kindList {
			list = d.get("data")
		}
		if d.kind == kindList {
			list = d
		}
		for _, item := range list.list {
			if err := unkeyKey(item, yield); err != nil {
				return err
			}
		}
	}
	return nil
}

func unkeyKey(n node, yield Yield) error {
	e := Entry{
		Line: n.line, Key: n.first("plaintext"), Label: n.first("name"), Owner: orElse(n.first("externalId", "ownerId"), n.at("identity", "externalId").text),
		Contact: contactIn(n.at("meta", "email").text, n.at("meta", "contact").text), Scopes: n.get("permissions").texts(),
		Created: moment(n.first("createdAt")), Expires: moment(n.first("expires")), Disabled: isFalse(n.first("enabled")),
	}
	if e.Key != "" {
		return yield(e, nil)
	}
	text, variant := n.get("hash").text, ""
	if of := n.get("hash"); of.kind == kindMap {
		text, variant = of.first("value"), of.first("variant")
	}
	switch {
	case text == "":
		return yield(e, unresolved("its apikey is not in the list: ask for it with decrypt=true, or take the file that it was migrated from"))
	case variant != "" && variant != "sha256_base64" && variant != "sha256_hex":
		return yield(e, unresolved("its hash is of the variant %s, which is not known", line(variant)))
	}
	h, err := parseHash(text, HashForm{Algorithm: "sha256"})
	if err != nil {
		return yield(e, unresolvedHash(err))
	}
	if prefix := n.first("prefix"); prefix != "" {
		h.Prefix = prefix + "_"
	}
	e.Hash = &h
	return yield(e, nil)
}
