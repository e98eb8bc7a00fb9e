package importfile

// readAWS reads what `aws apigateway get-api-keys --include-values` prints.
func readAWS(documents []node, _ *Found, yield Yield) error {
	for _, d := range documents {
		list := d.get("items")
		if list.kind != kindList {
			list = d.get("item") // as the SDKs have it
		}
		for _, n := range list.list {
			e := Entry{
				Line: n.line, Key: n.first("value"), Label: n.first("name", "description", "id"), Owner: orElse(n.first("customerId"), n.at("tags", "owner").text),
				Contact: contactIn(n.at("tags", "email").text, n.at("tags", "contact").text), Created: moment(n.first("createdDate")),
				Disabled: isFalse(n.first("enabled")),
			}
			var problem error
			if e.Key == "" {
				problem = unresolved("its value is not in the list: ask for it with --include-values")
			}
			if err := yield(e, problem); err != nil {
				return err
			}
		}
	}
	return nil
}
