package main

import (
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// productsAPI is the API of the demo: a small shop that is secured with keys
// in the three places where keys are usually found. It knows nothing of offkey.
type productsAPI struct {
	keys map[string]string // key -> who it was given to

	mu       sync.Mutex
	products []product
	made     int // products so far, for their ids
}

type product struct {
	ID    int     `json:"id"`
	Name  string  `json:"name"`
	Price float64 `json:"price"`
}

// newProductsAPI makes the API with the keys that it has given out.
func newProductsAPI(keys map[string]string) http.Handler {
	a := &productsAPI{
		keys: keys,
		products: []product{
			{1, "Kettle", 39.90}, {2, "Teapot", 24.50}, {3, "Cup", 7.20}, {4, "Tray", 18.00},
		},
		made: 4,
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /health", func(w http.ResponseWriter, _ *http.Request) { reply(w, 200, "up") })
	mux.HandleFunc("GET /v1/products", a.withKey(a.list))
	mux.HandleFunc("GET /v1/products/{id}", a.withKey(a.show))
	mux.HandleFunc("POST /v1/products", a.withKey(a.create))
	mux.HandleFunc("GET /v1/stock", a.withKey(a.stock))
	return mux
}

// withKey lets a call through that brings one of the keys.
func (a *productsAPI) withKey(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		key := r.Header.Get("X-API-Key")
		if scheme, value, ok := strings.Cut(r.Header.Get("Authorization"), " "); ok && scheme == "KEY" {
			key = value
		}
		if q := r.URL.Query().Get("api_key"); q != "" {
			key = q
		}
		if _, ok := a.keys[key]; !ok {
			reply(w, http.StatusUnauthorized, map[string]string{"error": "a valid API key is needed"})
			return
		}
		next(w, r)
	}
}

func (a *productsAPI) list(w http.ResponseWriter, _ *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	reply(w, 200, a.products)
}

func (a *productsAPI) show(w http.ResponseWriter, r *http.Request) {
	id, _ := strconv.Atoi(r.PathValue("id"))
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, p := range a.products {
		if p.ID == id {
			reply(w, 200, p)
			return
		}
	}
	reply(w, 404, map[string]string{"error": "no such product"})
}

// maxProducts keeps a demo that is left running from growing: the oldest of
// those that were added goes.
const maxProducts = 100

func (a *productsAPI) create(w http.ResponseWriter, r *http.Request) {
	var p product
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 4096)).Decode(&p); err != nil {
		reply(w, 400, map[string]string{"error": err.Error()})
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.made++
	p.ID = a.made
	if len(a.products) >= maxProducts {
		a.products = slices.Delete(a.products, 4, 5)
	}
	a.products = append(a.products, p)
	reply(w, 201, p)
}

func (a *productsAPI) stock(w http.ResponseWriter, _ *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	reply(w, 200, map[string]int{"products": len(a.products)})
}

func reply(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // the caller may have gone
}
