package main

import (
	"context"
	"encoding/json"
	"strings"
)

// notifyCmd groups what is told to the owners of apikeys.
type notifyCmd struct {
	Preview notifyPreviewCmd `cmd:"" help:"What owners would be told now."`
	Send    notifySendCmd    `cmd:"" help:"Tell them now, instead of within minutes."`
}

// toldDoc is what was told, or would be.
type toldDoc struct {
	Messages []struct {
		To      []string `json:"to"`
		Why     string   `json:"why"`
		Subject string   `json:"subject"`
		Text    string   `json:"text"`
		APIKeys int64    `json:"apikeys"`
		Notices int64    `json:"notices"`
	} `json:"messages"`
	Sent    int64 `json:"sent"`
	Waiting bool  `json:"waiting"`
}

// notifyFlags say whose owners, and of what.
type notifyFlags struct {
	operatorFlags
	Cohort   string   `xor:"whom" placeholder:"NAME" help:"The apikeys of this cohort. Default: all."`
	APIKey   []string `name:"apikey" xor:"whom" placeholder:"ID" help:"These apikeys."`
	Template string   `enum:"warn,brownout,end," default:"" placeholder:"OCCASION" help:"Only of this: warn, brownout or end. Default: all that is due."`
	Again    bool     `help:"Also what they were told before."`
}

func (c *notifyFlags) ask(ctx context.Context, t *terminal, stage string, dryRun bool) (d toldDoc, shown bool, err error) {
	body := map[string]any{"cohort": c.Cohort, "apikeys": c.APIKey, "occasion": c.Template, "again": c.Again, "stage": stage}
	var raw json.RawMessage
	if err := c.connect().send(ctx, "POST", "/notify", parameters("dry_run", whenTrue(dryRun)), body, &raw); err != nil {
		return d, false, err
	}
	if t.JSON {
		return d, true, t.document(raw)
	}
	return d, false, json.Unmarshal(raw, &d)
}

type notifyPreviewCmd struct {
	notifyFlags
	Stage string `placeholder:"STAGE" help:"If that were the stage of all: warn, brownout or upgrade_only. Default: as it is."`
}

func (notifyPreviewCmd) Help() string {
	return `Examples:
  offkey notify preview --stage warn
  offkey notify preview --cohort partners --template end
  offkey notify preview --again

Owners are told by themselves, within minutes: once for each apikey and program that it is on its way out, before each brownout, and 30, 7
and 1 days before the end. One message goes to a contact for all its apikeys. Where an apikey has no contact, email.to_admins gets it.`
}

// Run shows what would be sent.
func (c *notifyPreviewCmd) Run(ctx context.Context, t *terminal) error {
	d, shown, err := c.ask(ctx, t, c.Stage, true)
	if err != nil || shown {
		return err
	}
	if len(d.Messages) == 0 {
		t.say("Nobody is to be told of anything now.")
		return nil
	}
	for _, m := range d.Messages {
		to := strings.Join(m.To, ", ")
		if to == "" {
			to = m.Why
		}
		t.say("To: %s\nSubject: %s\n\n%s", to, m.Subject, m.Text)
	}
	t.say("%s about %s. Nothing was sent.", count(int64(len(d.Messages)), "message"), count(sum(d), "apikey"))
	return nil
}

func sum(d toldDoc) (apikeys int64) {
	for _, m := range d.Messages {
		apikeys += m.APIKeys
	}
	return apikeys
}

type notifySendCmd struct {
	notifyFlags
	DryRun bool `help:"The same as preview."`
}

func (notifySendCmd) Help() string {
	return `Examples:
  offkey notify send
  offkey notify send --cohort partners --template end --again

Puts the messages into the outbox, from where they are delivered.`
}

// Run tells them.
func (c *notifySendCmd) Run(ctx context.Context, t *terminal) error {
	if c.DryRun {
		return (&notifyPreviewCmd{notifyFlags: c.notifyFlags}).Run(ctx, t)
	}
	d, shown, err := c.ask(ctx, t, "", false)
	if err != nil || shown {
		return err
	}
	t.done("%s about %s", count(d.Sent, "message"), count(sum(d), "apikey"))
	if d.Waiting {
		t.warn("the outbox is full: the rest follows as it is delivered")
	}
	return nil
}
