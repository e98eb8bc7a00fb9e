// Command offkey takes an HTTP API off API keys. This package is the command
// line and no more: it reads flags and files, asks the packages that know, and
// shows what they say.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/alecthomas/kong"
)

// cli is the whole command line.
type cli struct {
	JSON bool `help:"Print one JSON document; an error is one JSON object on stderr."`

	Up    upCmd    `cmd:"" group:"run" help:"Stand in front of an API, everything in one process."`
	Serve serveCmd `cmd:"" group:"run" help:"Run from a configuration file."`
	Demo  demoCmd  `cmd:"" group:"run" help:"See the whole story in ten seconds, without an API of your own."`

	Init    initCmd    `cmd:"" group:"run" help:"Write a configuration to begin with."`
	Config  configCmd  `cmd:"" group:"run" help:"The configuration file: validate, show, diff, schema, reload."`
	DB      dbCmd      `cmd:"" name:"db" group:"run" help:"The database: copy."`
	Doctor  doctorCmd  `cmd:"" group:"run" help:"Look for what is wrong."`
	Version versionCmd `cmd:"" group:"run" help:"Print the version."`

	APIKeys apikeysCmd `cmd:"" name:"apikeys" group:"apikeys" help:"The apikeys in use: list, show, import, map, extend, revoke, block."`

	Status  statusCmd  `cmd:"" group:"road" help:"How far the road has been walked."`
	Observe observeCmd `cmd:"" group:"road" help:"Read access logs: who uses which apikey, for what."`
	Routes  routesCmd  `cmd:"" group:"road" help:"Which scopes a call needs: list, set, unset, enforce, test."`
	Scopes  scopesCmd  `cmd:"" group:"road" help:"Scopes for the API and for each caller: design, infer, describe."`
	Plan    planCmd    `cmd:"" group:"road" help:"Whose calls would fail if: recorded traffic under other rules."`
	Stage   stageCmd   `cmd:"" group:"road" help:"Move apikeys along the road, or back: set, cohorts, pause and more."`

	Brownout brownoutCmd `cmd:"" group:"road" help:"Short, announced refusals: now, schedule, list, cancel."`
	Notify   notifyCmd   `cmd:"" group:"road" help:"What the owners of apikeys are told: preview, send."`

	Leak leakCmd `cmd:"" group:"road" help:"A credential got out: how far it reaches: list, show, close."`

	Scan scanCmd `cmd:"" group:"road" help:"Look for leaked credentials in a tree, its git history, logs."`

	Calls callsCmd `cmd:"" group:"road" help:"Who called what, from the recorded calls."`

	Report reportCmd `cmd:"" group:"road" help:"Evidence of how far it is, signed; verify one."`

	OpenAPI openapiCmd `cmd:"" name:"openapi" group:"road" help:"The API's own document: rewrite."`

	Clients clientsCmd `cmd:"" group:"identities" help:"Clients: list, show, create, update, rotate, approve, disable, enable, revoke, delete; registration-token."`
	People  peopleCmd  `cmd:"" group:"identities" help:"People: list, show, invite, create, set, disable, enable, delete, sessions, groups and more."`
	Trust   trustCmd   `cmd:"" group:"identities" help:"Other issuers whose tokens count: list, add, show, test and more."`
	Signing signingCmd `cmd:"" group:"identities" help:"Keys that tokens are signed with: list, rotate, drop."`
	Revoke  revokeCmd  `cmd:"" group:"identities" help:"Refuse everything that was issued until now, and end every session."`
	Audit   auditCmd   `cmd:"" group:"identities" help:"Who changed what, and whether the log is whole."`

	Upgrade   upgradeCmd   `cmd:"" group:"callers" help:"Trade an apikey for a client of your own."`
	Token     tokenCmd     `cmd:"" group:"callers" help:"Print an access token."`
	Call      callCmd      `cmd:"" group:"callers" help:"Call an API with an access token."`
	Login     loginCmd     `cmd:"" group:"callers" help:"Sign in, to act for yourself."`
	Logout    logoutCmd    `cmd:"" group:"callers" help:"Sign out."`
	Whoami    whoamiCmd    `cmd:"" group:"callers" help:"Who token and call act for."`
	Agent     agentCmd     `cmd:"" group:"callers" help:"Put a token on the calls of a program that cannot change."`
	Keygen    keygenCmd    `cmd:"" group:"callers" help:"Make a key pair."`
	Assertion assertionCmd `cmd:"" group:"callers" help:"Print a client assertion, to follow each step by hand."`
}

// groups are the headings under which --help lists the commands.
var groups = []kong.Group{
	{Key: "run", Title: "Run"}, {Key: "apikeys", Title: "Apikeys"}, {Key: "road", Title: "Road"},
	{Key: "identities", Title: "Identities"}, {Key: "callers", Title: "Callers (no rights needed)"},
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr, os.Getenv)
	stop()
	os.Exit(code)
}

// run is main without the process around it.
func run(ctx context.Context, args []string, in io.Reader, out, errOut io.Writer, env func(string) string) (code int) {
	t := &terminal{In: in, Out: out, Err: errOut, Env: env, Now: time.Now, Colour: wantsColour(errOut, env)}
	defer func() {
		switch left := recover().(type) {
		case nil:
		case exit:
			code = int(left)
		default:
			panic(left)
		}
	}()
	var c cli
	parser, err := kong.New(&c, kong.Name("offkey"), kong.Description("Take an HTTP API off API keys."),
		kong.Writers(out, errOut), kong.Exit(func(code int) { panic(exit(code)) }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, NoExpandSubcommands: true}), kong.ExplicitGroups(groups), kong.Bind(t), kong.BindTo(ctx, (*context.Context)(nil)))
	if err != nil {
		return t.fail(fmt.Errorf("build the command line: %w", err))
	}
	args = meant(args)
	parsed, err := parser.Parse(args)
	t.JSON = c.JSON || err != nil && slices.Contains(args, "--json")
	if err != nil {
		return t.fail(parseFailure(err))
	}
	return t.fail(parsed.Run())
}

// meant are the arguments that people mean who try what most programs know.
func meant(args []string) []string {
	switch {
	case len(args) == 0:
		return []string{"--help"}
	case args[0] == "help":
		return append(slices.Clone(args[1:]), "--help")
	case args[0] == "--version":
		return append([]string{"version"}, args[1:]...)
	}
	return args
}

// exit carries kong's wish to end (after --help) out of the parser.
type exit int

// stray is how kong shows an argument that nobody wants, got how it shows a
// value that cannot be.
var (
	stray = regexp.MustCompile(`(?s)^unexpected argument .*`)
	got   = regexp.MustCompile(`(?s) but got .*`)

	missingArgument = regexp.MustCompile(`^expected "(<[^"]*)"$`)
)

// parseFailure never repeats a stray argument: it may be an apikey, which is
// refused there for the very reason that arguments are seen by others.
func parseFailure(err error) error {
	message := stray.ReplaceAllString(err.Error(), "unexpected argument (not shown: it may be a secret, and secrets are never arguments)")
	message = got.ReplaceAllString(message, " (what was given is not shown)")
	message = missingArgument.ReplaceAllString(message, "the argument $1 is missing")
	command, fix := "offkey", ""
	var parse *kong.ParseError
	if errors.As(err, &parse) && parse.Context.Selected() != nil {
		command = parse.Context.Selected().FullPath()
		if group := parse.Context.Selected().Children; len(group) > 0 {
			var names []string
			for _, child := range group {
				names = append(names, child.Name)
			}
			fix = "`" + command + "` goes on with " + strings.Join(names, ", ") + "; "
		}
	}
	return wrongUsage(message, fix+"see `"+command+" --help`")
}
