package migration

import (
	"fmt"
	"math/bits"
	"strings"
	"time"

	"github.com/offkey/offkey/internal/oauth"
)

// The ways by which a caller does without its apikey.
const (
	FlowClientCredentials = oauth.GrantClientCredentials // a service: a client with a key pair
	FlowDevice            = "device_code"                // a person at a terminal signs in once
	FlowCode              = oauth.GrantAuthorizationCode // a person before a page, with PKCE
	FlowAgent             = "agent"                      // it cannot be changed: `offkey agent` beside it sends tokens
	FlowFederation        = "federation"                 // its platform vouches for it: no secret at all
)

// marks are parts of User-Agents, in small letters, that tell what kind of
// program sends them.
type marks []struct{ part, what string }

// platforms issue OpenID tokens to what runs on them.
var platforms = marks{
	{"github-actions", "GitHub Actions"}, {"githubactions", "GitHub Actions"}, {"github actions", "GitHub Actions"}, {"actions/", "GitHub Actions"},
	{"gitlab-runner", "GitLab"}, {"gitlab-ci", "GitLab"}, {"gitlabci", "GitLab"}, {"gitlab runner", "GitLab"},
	{"circleci", "CircleCI"}, {"buildkite", "Buildkite"}, {"bitbucket-pipelines", "Bitbucket Pipelines"}, {"azure-pipelines", "Azure Pipelines"},
	{"azuredevops", "Azure Pipelines"}, {"vsts", "Azure Pipelines"}, {"terraform cloud", "Terraform Cloud"}, {"hcp terraform", "Terraform Cloud"},
	{"exec-env/aws_lambda", "AWS Lambda"}, {"exec-env/aws_ecs", "AWS ECS"}, {"cloud-run", "Cloud Run"}, {"cloudbuild", "Cloud Build"}, {"google-cloud-scheduler", "Cloud Scheduler"},
	{"google-cloud-tasks", "Cloud Tasks"},
}

// products are bought, not written: they send what they can, a key.
var products = marks{
	{"zapier", "Zapier"}, {"n8n", "n8n"}, {"integromat", "Make"}, {"make/", "Make"}, {"workato", "Workato"}, {"tray.io", "Tray"}, {"ifttt", "IFTTT"},
	{"grafana", "Grafana"}, {"prometheus", "Prometheus"}, {"telegraf", "Telegraf"}, {"datadog", "Datadog"}, {"splunk", "Splunk"}, {"logstash", "Logstash"},
	{"tableau", "Tableau"}, {"powerbi", "Power BI"}, {"power bi", "Power BI"}, {"microsoft.data.mashup", "Power Query"}, {"microsoft office", "Microsoft Office"},
	{"google-apps-script", "Google Apps Script"}, {"salesforce", "Salesforce"}, {"sap netweaver", "SAP"}, {"wordpress", "WordPress"}, {"shopify", "Shopify"},
	{"esp8266", "a device"}, {"esp32", "a device"}, {"arduino", "a device"}, {"lwip", "a device"}, {"micropython", "a device"}, {"home-assistant", "Home Assistant"},
	{"homeassistant", "Home Assistant"}, {"node-red", "Node-RED"}, {"uptimerobot", "UptimeRobot"}, {"pingdom", "Pingdom"},
}

// tools have a person before them.
var tools = marks{
	{"postmanruntime", "Postman"}, {"insomnia", "Insomnia"}, {"httpie", "HTTPie"}, {"xh/", "xh"}, {"bruno", "Bruno"}, {"powershell", "PowerShell"}, {"paw/", "Paw"},
	{"rapidapi", "RapidAPI"}, {"vscode-restclient", "a REST client"}, {"intellij http client", "a REST client"}, {"-cli/", "a command line"}, {"-cli ", "a command line"},
	{"_cli/", "a command line"}, {"/cli", "a command line"}, {"jupyter", "a notebook"},
}

// plainTools are used by people and by scripts alike: their hours tell.
var plainTools = marks{{"curl/", "curl"}, {"wget/", "Wget"}}

func (m marks) find(agent string) (what string) {
	agent = strings.ToLower(agent)
	for _, mark := range m {
		if strings.Contains(agent, mark.part) {
			return mark.what
		}
	}
	return ""
}

// flowFold is what a caller's way is told by.
type flowFold struct {
	calls                                  int64
	browser, page                          int64 // calls from browsers, from pages in them
	platform, product, tool, plain         int64
	platformAs, productAs, toolAs, asPlain string
	hours                                  uint32 // of the day, UTC, with calls
	weekend                                bool
	days                                   map[int64]struct{}
}

// flowOf recommends a way for a caller, with the evidence. It is a function of
// what was seen alone, and its rules are tried in order.
func flowOf(g *callerGroup) (flow string, evidence []string) {
	f := foldFlow(g)
	most := func(n int64) bool { return f.calls > 0 && 2*n > f.calls }
	say := func(flow, format string, args ...any) (string, []string) {
		return flow, []string{fmt.Sprintf(format, args...)}
	}
	switch {
	case most(f.platform):
		return say(FlowFederation, "its User-Agent is of %s, which vouches for what runs on it: no secret is needed (`offkey trust add`)", f.platformAs)
	case most(max(f.browser, f.page)):
		return say(FlowCode, "%d of %d calls come from browsers: a person is there to sign in", max(f.browser, f.page), f.calls)
	case most(f.product):
		return say(FlowAgent, "its User-Agent is of %s, which sends what it is given and cannot be changed", f.productAs)
	case most(f.tool):
		return say(FlowDevice, "its User-Agent is of %s, which a person runs", f.toolAs)
	case most(f.plain) && f.keepsHours():
		return say(FlowDevice, "%s on %d days, never on weekends and in %d hours of the day only: a person runs it", f.asPlain, len(f.days), bits.OnesCount32(f.hours))
	}
	if bits.OnesCount32(f.hours) >= 20 {
		return say(FlowClientCredentials, "a program that calls around the clock")
	}
	return say(FlowClientCredentials, "a program: nothing shows a person before it")
}

// keepsHours reports whether calls come when people work: on ten days or more,
// none on a weekend, and within ten hours of the day.
func (f *flowFold) keepsHours() bool {
	return len(f.days) >= 10 && !f.weekend && bits.OnesCount32(f.hours) <= 10
}

func foldFlow(g *callerGroup) *flowFold {
	f := &flowFold{days: map[int64]struct{}{}}
	for _, c := range g.cells {
		f.calls += c.calls
		f.page += c.page
		if isBrowser(c.agent) {
			f.browser += c.calls
		}
		for _, m := range []struct {
			marks marks
			n     *int64
			as    *string
		}{{platforms, &f.platform, &f.platformAs}, {products, &f.product, &f.productAs}, {tools, &f.tool, &f.toolAs}, {plainTools, &f.plain, &f.asPlain}} {
			if what := m.marks.find(c.agent); what != "" {
				*m.n += c.calls
				*m.as = what
				break
			}
		}
		f.hours |= c.hours
		for day := range c.days {
			f.days[day] = struct{}{}
			weekday := time.Unix(day*86400, 0).UTC().Weekday()
			f.weekend = f.weekend || weekday == time.Saturday || weekday == time.Sunday
		}
	}
	return f
}
