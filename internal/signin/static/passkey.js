// The one script of these pages: it asks the browser for a passkey, puts what it
// says into the form and sends that. Without it everything else works.
(function () {
  "use strict";
  if (!window.PublicKeyCredential || !navigator.credentials) return;

  function bytes(text) {
    var raw = atob(text.replace(/-/g, "+").replace(/_/g, "/"));
    return Uint8Array.from(raw, function (c) { return c.charCodeAt(0); }).buffer;
  }

  function text(buffer) {
    var raw = "";
    new Uint8Array(buffer).forEach(function (b) { raw += String.fromCharCode(b); });
    return btoa(raw).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
  }

  function withIDs(list) {
    return (list || []).map(function (one) { return Object.assign({}, one, { id: bytes(one.id) }); });
  }

  function ask(kind, key) {
    key.challenge = bytes(key.challenge);
    if (kind === "create") {
      key.user.id = bytes(key.user.id);
      key.excludeCredentials = withIDs(key.excludeCredentials);
      return navigator.credentials.create({ publicKey: key });
    }
    key.allowCredentials = withIDs(key.allowCredentials);
    return navigator.credentials.get({ publicKey: key });
  }

  function said(credential) {
    var from = credential.response;
    var response = { clientDataJSON: text(from.clientDataJSON) };
    ["attestationObject", "authenticatorData", "signature", "userHandle"].forEach(function (name) {
      if (from[name]) response[name] = text(from[name]);
    });
    if (from.getTransports) response.transports = from.getTransports();
    return JSON.stringify({
      id: credential.id, rawId: text(credential.rawId), type: credential.type,
      authenticatorAttachment: credential.authenticatorAttachment || undefined,
      clientExtensionResults: {}, response: response
    });
  }

  document.querySelectorAll("form[data-passkey]").forEach(function (form) {
    var failed = form.querySelector("[data-failed]");
    form.hidden = false;
    form.addEventListener("submit", function (event) {
      if (form.elements.response.value) return;
      event.preventDefault();
      failed.hidden = true;
      ask(form.dataset.passkey, JSON.parse(form.dataset.options).publicKey).then(function (credential) {
        form.elements.response.value = said(credential);
        form.submit();
      }, function () {
        failed.hidden = false;
      });
    });
  });
})();
