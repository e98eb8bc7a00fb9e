// The script of the caller's page: it asks how an apikey stands, makes a key pair
// here, registers its public half with the apikey, and tries the client out. The
// private half goes into a download and nowhere else; the apikey into the header
// of two requests to this origin.
(function () {
  "use strict";
  var page = document.getElementById("upgrade");
  if (!page || !window.fetch) return;
  page.hidden = false;

  var texts = document.getElementById("upgrade-texts").dataset;
  var problem = byID("upgrade-problem");
  var encoder = new TextEncoder();
  var ahead = 0; // by how many seconds the server's clock is ahead of ours

  function byID(id) { return document.getElementById(id); }

  function base64url(bytes) {
    return btoa(String.fromCharCode.apply(null, new Uint8Array(bytes))).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
  }

  function fail(text) {
    problem.textContent = text;
    problem.hidden = false;
    problem.focus();
  }

  // send answers with the document of a success, and fails with what the server says.
  function send(path, options) {
    options.cache = "no-store";
    options.credentials = "omit";
    options.redirect = "error";
    options.referrerPolicy = "no-referrer";
    return fetch(path, options).catch(function () { throw new Error(texts.network); }).then(function (response) {
      var date = Date.parse(response.headers.get("Date") || "");
      if (date) ahead = Math.round((date - Date.now()) / 1000);
      return response.json().catch(function () { return {}; }).then(function (body) {
        if (!response.ok) throw new Error(body.error_description || texts.network + " (" + response.status + ")");
        return body;
      });
    });
  }

  function busy(button, work) {
    var label = button.textContent;
    problem.hidden = true;
    button.disabled = true;
    button.textContent = texts.working;
    return work().catch(function (error) { fail(error.message); }).then(function () {
      button.disabled = false;
      button.textContent = label;
    });
  }

  function showHeld(held) {
    byID("held-last4").textContent = "..." + held.last4;
    byID("held-stage").textContent = texts[held.stage] || held.stage;
    var until = held.until ? new Date(held.until) : null;
    byID("held-until-label").hidden = byID("held-until").hidden = !until;
    if (until) byID("held-until").textContent = until.toLocaleDateString(document.documentElement.lang, { dateStyle: "long" });
    byID("held-scopes").textContent = (held.scopes || []).concat(held.pending_scopes || []).join(", ") || texts.noscopes;
    byID("held-reason").textContent = held.reason || "";
    byID("held-reason").hidden = !held.reason;
    byID("upgrade-can").hidden = !held.upgrade;
    byID("upgrade-held").hidden = false;
  }

  byID("upgrade-apikey").addEventListener("submit", function (event) {
    event.preventDefault();
    byID("upgrade-held").hidden = true;
    busy(byID("upgrade-check"), function () {
      return send(page.dataset.holder, { headers: { Authorization: "Bearer " + byID("apikey").value.trim() } }).then(showHeld);
    });
  });

  // keyPair makes the key, its public JWK with the RFC 7638 thumbprint as kid, and
  // the private half as PEM.
  function keyPair() {
    if (!window.crypto || !crypto.subtle) return Promise.reject(new Error(texts.webcrypto));
    return crypto.subtle.generateKey({ name: "ECDSA", namedCurve: "P-256" }, true, ["sign", "verify"]).then(function (pair) {
      return Promise.all([crypto.subtle.exportKey("jwk", pair.publicKey), crypto.subtle.exportKey("pkcs8", pair.privateKey)]).then(function (out) {
        var jwk = { crv: out[0].crv, kty: out[0].kty, x: out[0].x, y: out[0].y };
        return crypto.subtle.digest("SHA-256", encoder.encode(JSON.stringify(jwk))).then(function (thumbprint) {
          jwk.kid = base64url(thumbprint);
          jwk.alg = "ES256";
          jwk.use = "sig";
          var body = btoa(String.fromCharCode.apply(null, new Uint8Array(out[1]))).match(/.{1,64}/g).join("\n");
          return { jwk: jwk, sign: pair.privateKey, pem: "-----BEGIN PRIVATE KEY-----\n" + body + "\n-----END PRIVATE KEY-----\n" };
        });
      });
    });
  }

  // assertion is a private_key_jwt (RFC 7523 §2.2) whose one audience is the issuer.
  function assertion(key, clientID) {
    var now = Math.floor(Date.now() / 1000) + ahead;
    var part = function (value) { return base64url(encoder.encode(JSON.stringify(value))); };
    var signed = part({ alg: "ES256", typ: "client-authentication+jwt", kid: key.jwk.kid }) + "." + part({
      iss: clientID, sub: clientID, aud: page.dataset.issuer, iat: now, exp: now + 60, jti: base64url(crypto.getRandomValues(new Uint8Array(16)))
    });
    return crypto.subtle.sign({ name: "ECDSA", hash: "SHA-256" }, key.sign, encoder.encode(signed)).then(function (signature) {
      return signed + "." + base64url(signature);
    });
  }

  function firstToken(key, made) {
    return assertion(key, made.client_id).then(function (proof) {
      var form = new URLSearchParams({
        grant_type: "client_credentials", resource: page.dataset.resource, client_assertion: proof,
        client_assertion_type: "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
      });
      if (made.scope) form.set("scope", made.scope);
      return send(page.dataset.token, { method: "POST", body: form });
    });
  }

  function save(id, content, kind) {
    byID(id).href = URL.createObjectURL(new Blob([content], { type: kind }));
  }

  function quoted(value) { return JSON.stringify(value).slice(1, -1); }

  function showMade(key, made) {
    var scopes = (made.scope || "").split(" ").filter(Boolean);
    var pending = (made.offkey_pending_scope || "").split(" ").filter(Boolean);
    byID("made-id").textContent = made.client_id;
    byID("made-scope").textContent = scopes.join(" ") || texts.noscopes;
    save("save-key", key.pem, "application/x-pem-file");
    save("save-client", JSON.stringify({
      client_id: made.client_id, issuer: page.dataset.issuer, token_endpoint: new URL(page.dataset.token, location.href).href,
      resource: page.dataset.resource, api: page.dataset.api, scopes: scopes, key_file: "key.pem", kid: key.jwk.kid, alg: "ES256",
      registered_at: new Date().toISOString(), pending: made.offkey_status === "pending" || undefined, pending_scopes: pending.length ? pending : undefined
    }, null, 2) + "\n", "application/json");
    document.querySelectorAll("[data-lines]").forEach(function (lines) {
      lines.textContent = lines.textContent.split("%CLIENT_ID%").join(quoted(made.client_id)).split("%KEY_ID%").join(quoted(key.jwk.kid)).split("%SCOPE%").join(quoted(scopes.join(" ")));
    });
    var waits = made.offkey_status === "pending" || pending.length > 0;
    byID("made-waits").textContent = texts.waits + (made.offkey_reason ? " " + made.offkey_reason : "");
    byID("made-waits").hidden = !waits;
    byID("apikey").value = "";
    byID("upgrade-prove").hidden = byID("upgrade-can").hidden = true;
    byID("upgrade-made").hidden = false;
    byID("made-title").focus();
  }

  byID("upgrade-make").addEventListener("submit", function (event) {
    event.preventDefault();
    busy(byID("upgrade-register"), function () {
      return keyPair().then(function (key) {
        var name = byID("client-name").value.trim();
        return send(page.dataset.register, {
          method: "POST", headers: { Authorization: "Bearer " + byID("apikey").value.trim(), "Content-Type": "application/json" },
          body: JSON.stringify({
            client_name: name || undefined, token_endpoint_auth_method: "private_key_jwt", grant_types: ["client_credentials"], jwks: { keys: [key.jwk] }
          })
        }).then(function (made) {
          showMade(key, made);
          if (made.offkey_status === "pending") { byID("made-token").textContent = texts.waits; return; }
          return firstToken(key, made).then(function (token) {
            byID("made-token").textContent = texts.granted + (token.scope ? " (" + token.scope + ")" : "");
          }, function (error) { byID("made-token").textContent = texts.refused + " " + error.message; });
        });
      });
    });
  });

  function showLines() {
    document.querySelectorAll("[data-lines]").forEach(function (lines) { lines.hidden = lines.dataset.lines !== byID("language").value; });
  }
  byID("language").addEventListener("change", showLines);
  showLines();

  byID("copy-lines").addEventListener("click", function () {
    var button = byID("copy-lines"), lines = document.querySelector("[data-lines]:not([hidden])");
    if (!navigator.clipboard) { getSelection().selectAllChildren(lines); return; }
    navigator.clipboard.writeText(lines.textContent).then(function () { button.textContent = button.dataset.done; });
  });
})();
