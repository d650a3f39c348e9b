//! `/resource` and `/static-resource`: the two ends of HTTP caching, as small
//! as they can be. One is fresh for a minute and then asked about by its
//! entity tag; the other never changes and is not asked about for a year.

use super::conditional::respond_json;
use corelane::{App, Ctx, Error, Response};

/// Pattern of the resource that is revalidated.
pub const RESOURCE: &str = "/resource";
/// Pattern of the resource that never changes.
pub const STATIC_RESOURCE: &str = "/static-resource";

/// Default `Cache-Control` by pattern. A year is 31,536,000 seconds.
pub const CACHE_CONTROL: &[(&str, &str)] = &[
    (RESOURCE, "public, max-age=60, must-revalidate"),
    (STATIC_RESOURCE, "public, max-age=31536000, immutable"),
];

/// Adds the routes.
pub fn install(app: App) -> App {
    app.get(RESOURCE, resource)
        .get(STATIC_RESOURCE, static_resource)
}

async fn resource(ctx: Ctx) -> Result<Response, Error> {
    respond_json(&ctx, RESOURCE_JSON.to_vec(), None)
}

async fn static_resource(ctx: Ctx) -> Result<Response, Error> {
    respond_json(&ctx, STATIC_RESOURCE_JSON.to_vec(), None)
}

const RESOURCE_JSON: &[u8] =
    br#"{"name":"resource","message":"Fresh for a minute, then revalidated by its ETag."}"#;
const STATIC_RESOURCE_JSON: &[u8] =
    br#"{"name":"static-resource","message":"This never changes; keep it for a year."}"#;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_are_json() {
        for (json, name) in [
            (RESOURCE_JSON, "resource"),
            (STATIC_RESOURCE_JSON, "static-resource"),
        ] {
            let value: serde_json::Value = serde_json::from_slice(json).unwrap();
            assert_eq!(value["name"], name);
        }
    }
}
