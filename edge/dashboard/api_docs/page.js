// Swagger UI over this gateway's own description. It asks nobody else (no validator), and shows a session's CSRF token.
(async function () {
  "use strict";
  let csrf = null;
  try {
    const answer = await fetch("/api/v1/me", { headers: { Accept: "application/json" } });
    if (answer.ok) csrf = (await answer.json()).csrf;
  } catch { csrf = null; }
  window.SwaggerUIBundle({
    url: "/openapi.json",
    dom_id: "#api",
    validatorUrl: null,
    deepLinking: false,
    displayRequestDuration: true,
    requestInterceptor(request) {
      if (csrf && new URL(request.url, location.href).origin === location.origin) request.headers["X-CSRF-Token"] = csrf;
      return request;
    },
  });
})();
