//! What the admin listener answers: for an operator, never for the public.
//!
//! The server lets nobody through to these handlers who may not come in (see
//! [`AdminOptions`](corelane::server::AdminOptions)), so none of them asks again.
//! Each route is one line in [`install`] and one entry in `ENDPOINTS`.

use http::{HeaderValue, header};
use serde::Serialize;

use super::health::{self, HealthOptions};
use super::{cache_admin, metrics};
use corelane::{App, Ctx, Error, Response};

/// The shipped admin app, for [`App::admin`].
#[must_use]
pub fn app(health: &HealthOptions) -> App {
    install(App::new(), health)
}

/// Adds the routes.
#[must_use]
pub fn install(app: App, health: &HealthOptions) -> App {
    let app = app.get("/", list).get("/metrics", metrics::metrics);
    cache_admin::install(health::install(app, health))
}

/// One line of the list.
#[derive(Debug, Serialize)]
struct Endpoint {
    method: &'static str,
    path: &'static str,
    what: &'static str,
}

/// In the order an operator reads them.
const ENDPOINTS: &[Endpoint] = &[
    Endpoint {
        method: "GET",
        path: "/",
        what: "this list",
    },
    Endpoint {
        method: "GET",
        path: "/metrics",
        what: "the numbers of all shards; ?format=prometheus for a scraper",
    },
    Endpoint {
        method: "GET",
        path: "/health",
        what: "how the server is, and which shards are stuck",
    },
    Endpoint {
        method: "GET",
        path: "/health/live",
        what: "whether the process takes requests",
    },
    Endpoint {
        method: "GET",
        path: "/health/ready",
        what: "whether to send requests here",
    },
    Endpoint {
        method: "GET",
        path: "/cache/stats",
        what: "every cache: hits, misses, keys, bytes, all shards together",
    },
    Endpoint {
        method: "GET",
        path: "/cache/{name}",
        what: "the keys of a cache; ?limit=N for more or less than 100",
    },
    Endpoint {
        method: "DELETE",
        path: "/cache/{name}/{*key}",
        what: "forgets a key on all shards; a query is part of the key",
    },
    Endpoint {
        method: "DELETE",
        path: "/cache",
        what: "?tag=NAME forgets what depends on a tag; ?all=true everything",
    },
    Endpoint {
        method: "DELETE",
        path: "/cache/{name}",
        what: "forgets a whole cache",
    },
];

/// Answers `GET /`.
async fn list(_ctx: Ctx) -> Result<Response, Error> {
    #[derive(Serialize)]
    struct List {
        endpoints: &'static [Endpoint],
    }
    let mut response = Response::json(&List {
        endpoints: ENDPOINTS,
    })?;
    response.insert_header(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_route_is_in_the_list_and_every_line_has_a_route() {
        let app = || app(&HealthOptions::default());
        let routes = format!("{:?}", app());
        for Endpoint { method, path, .. } in ENDPOINTS {
            assert!(routes.contains(&format!("({method}, {path:?})")), "{path}");
        }
        assert_eq!(routes.matches(", \"/").count(), ENDPOINTS.len());
        App::new().admin(app()).check().unwrap();
    }
}
