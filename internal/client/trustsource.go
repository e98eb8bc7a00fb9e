package client

import (
	"fmt"
	"strings"
	"time"
)

// The issuers of the two forges that everybody shares.
const (
	issuerGitHub = "https://token.actions.githubusercontent.com"
	issuerGitLab = "https://gitlab.com"
)

// TrustFrom reads where tokens come from, in one word:
//
//	github:ORG/REPO, github:ORG/REPO:ref:refs/heads/main, github:ORG/REPO:environment:prod
//	gitlab:GROUP/PROJECT, gitlab:GROUP/PROJECT:ref_type:branch:ref:main
//	kubernetes:https://issuer.of.the.cluster
//	spiffe://trust.domain, spiffe://trust.domain/ns/*/sa/api
//	https://any.issuer
//
// and fills in what is usual there. The subject that it leaves empty must be
// named.
func TrustFrom(from string) (TrustRule, error) {
	kind, rest, _ := strings.Cut(from, ":")
	switch kind {
	case "github":
		return fromGitHub(rest)
	case "gitlab":
		return fromGitLab(rest)
	case "kubernetes":
		// A pod reads the same projected token until it is renewed, an hour later.
		return TrustRule{Kind: TrustKubernetes, Issuer: rest, Reusable: true, MaxAge: 2 * time.Hour}, nil
	case "spiffe":
		return fromSPIFFE(from)
	case "https", "http":
		return TrustRule{Kind: TrustOIDC, Issuer: from, MaxAge: time.Hour}, nil
	}
	return TrustRule{}, fmt.Errorf("%q is no place where tokens come from: write github:ORG/REPO, gitlab:GROUP/PROJECT, kubernetes:URL, spiffe://TRUST_DOMAIN or the https URL of an issuer", from)
}

// fromGitHub reads ORG/REPO and, after a colon, the rest of the sub that a
// workflow gets.
func fromGitHub(rest string) (TrustRule, error) {
	repository, context, narrowed := strings.Cut(rest, ":")
	org, repo, ok := strings.Cut(repository, "/")
	if !ok || org == "" || repo == "" || strings.Contains(repo, "/") || strings.Contains(org, "*") {
		return TrustRule{}, fmt.Errorf("%q is no repository of GitHub: write ORG/REPO, ORG/REPO:ref:refs/heads/main or ORG/REPO:environment:prod", rest)
	}
	if !narrowed {
		context = "**"
	}
	r := TrustRule{Kind: TrustGitHub, Issuer: issuerGitHub, MaxAge: 15 * time.Minute, Subject: Pattern("repo:" + repository + ":" + context)}
	// The same in a claim of its own, which no branch or environment is part of.
	r.Where = []Condition{{Claim: "repository", AnyOf: []Pattern{Pattern(repository)}}}
	return r, nil
}

// fromGitLab reads the path of a project, which may be deep in groups.
func fromGitLab(rest string) (TrustRule, error) {
	project, context, narrowed := strings.Cut(rest, ":")
	if first, _, ok := strings.Cut(project, "/"); !ok || first == "" || strings.HasPrefix(first, "*") || strings.HasSuffix(project, "/") {
		return TrustRule{}, fmt.Errorf("%q is no project of GitLab: write GROUP/PROJECT or GROUP/PROJECT:ref_type:branch:ref:main", rest)
	}
	if !narrowed {
		context = "**"
	}
	r := TrustRule{Kind: TrustGitLab, Issuer: issuerGitLab, MaxAge: 2 * time.Hour, Subject: Pattern("project_path:" + project + ":" + context)}
	r.Where = []Condition{{Claim: "project_path", AnyOf: []Pattern{Pattern(project)}}}
	return r, nil
}

// fromSPIFFE reads a trust domain, with the pattern of a workload's path after
// it. The agents of a trust domain hand one JWT-SVID out several times, and jti
// is optional in it.
func fromSPIFFE(from string) (TrustRule, error) {
	domain, path, narrowed := strings.Cut(strings.TrimPrefix(from, "spiffe://"), "/")
	r := TrustRule{Kind: TrustSPIFFE, Issuer: "spiffe://" + domain, Reusable: true, MaxAge: time.Hour}
	if narrowed {
		r.Subject = Pattern(r.Issuer + "/" + path)
	}
	return r, nil
}
