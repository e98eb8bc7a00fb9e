package openapi

import (
	"fmt"
	"strings"
	"testing"
)

const three = `openapi: 3.1.0
info: {title: Shop, version: "1"}
servers: [{url: "https://{host}/v1", variables: {host: {default: api.example.com}}}]
security: [{key: []}]
components:
  securitySchemes:
    key: {type: apiKey, in: header, name: X-API-Key}
    oauth: {type: oauth2, flows: {clientCredentials: {tokenUrl: "https://x/token", scopes: {"read:orders": Read, "admin": All}}}}
paths:
  /orders:
    parameters: [{name: x, in: query, schema: {type: string}}]
    get:
      tags: [Orders]
      summary: List
      operationId: listOrders
      security: [{key: []}, {oauth: ["read:orders"]}, {oauth: [admin]}]
      responses: {"200": {description: ok}}
    post: {responses: {"201": {description: made}}}
  /orders/{id}:
    $ref: "#/components/pathItems/order"
  /health:
    get: {security: [], responses: {"200": {description: ok}}}
  /news:
    get: {security: [{}, {oauth: ["read:orders"]}], responses: {"200": {description: ok}}}
  /both:
    get: {security: [{oauth: ["b", "a"], key: []}], responses: {"200": {description: ok}}}
    trace: {responses: {"200": {description: ok}}}
`

const two = `{"swagger":"2.0","info":{"title":"Old","version":"1"},"basePath":"/api","securityDefinitions":{"o":{"type":"oauth2","flow":"application","tokenUrl":"https://x","scopes":{"w":"write"}}},
"paths":{"/a/{id}.json":{"put":{"tags":["A"],"security":[{"o":["w"]}],"responses":{"200":{"description":"ok"}}},"get":{"responses":{"200":{"description":"ok"}}}}}}`

func TestRead(t *testing.T) {
	three := strings.Replace(three, "    $ref: \"#/components/pathItems/order\"\n", "    delete: {responses: {\"204\": {description: gone}}}\n", 1)
	for _, tt := range []struct{ name, doc, want string }{
		{"OpenAPI 3", three, "GET /v1/both [[a b]] false; GET /v1/health [] true; GET /v1/news [] true; GET /v1/orders [[read:orders] [admin]] false; POST /v1/orders [] false; DELETE /v1/orders/{id} [] false"},
		{"Swagger 2", two, "GET /api/a/{id}.json [] false; PUT /api/a/{id}.json [[w]] false"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d, err := Read([]byte(tt.doc))
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, o := range d.Operations {
				got = append(got, fmt.Sprintf("%s %s %v %v", o.Method, o.Template, o.AnyOf, o.Open))
			}
			if s := strings.Join(got, "; "); s != tt.want {
				t.Errorf("got\n%s, want\n%s", s, tt.want)
			}
		})
	}
}

func TestWhatIsNoDocumentIsRefused(t *testing.T) {
	for name, doc := range map[string]string{
		"nothing": "", "no YAML": "\t:", "another document": "a: 1", "a list": "[1]", "without paths": "openapi: 3.0.0\ninfo: {title: x, version: '1'}\n",
		"with paths that are empty": "openapi: 3.0.0\ninfo: {title: x, version: '1'}\npaths: {}\n",
	} {
		if d, err := Read([]byte(doc)); err == nil {
			t.Errorf("%s is read as %+v", name, d)
		}
	}
}

func FuzzRead(f *testing.F) {
	f.Add(three)
	f.Add(two)
	f.Fuzz(func(t *testing.T, doc string) {
		d, err := Read([]byte(doc))
		if err == nil && len(d.Operations) == 0 {
			t.Fatal("a document without operations is taken")
		}
	})
}
