//! `GET /metrics`: the numbers of all shards, as the chapter's JSON or as
//! Prometheus text.
//!
//! `?format=json` or `?format=prometheus` decides; without it `Accept` does.
//! Whoever asks for OpenMetrics is a scraper and gets the Prometheus text,
//! which every scraper reads; otherwise JSON unless text is wanted more.

use http::{HeaderValue, header};
use serde::Deserialize;

use crate::store::Store;
use corelane::internals::metrics::{MetricsView, PROMETHEUS_CONTENT_TYPE, prometheus_text};
use corelane::internals::semantics::{best_media_type, media_type_quality};
use corelane::{Ctx, Error, Response};

/// Answers `GET /metrics`.
///
/// # Errors
/// 400 when the query asks for something else than a known `format`.
pub async fn metrics(ctx: Ctx) -> Result<Response, Error> {
    let format = match asked_format(&ctx)? {
        Some(format) => format,
        None => negotiated_format(accept(&ctx).as_deref()),
    };
    let mut snapshot = ctx.metrics().await;
    if let Some(store) = ctx.find_state::<Store>() {
        snapshot.database = store.connections();
    }
    let mut response = match format {
        Format::Json => Response::json(&MetricsView::from(&snapshot))?,
        Format::Prometheus => {
            Response::with_body(PROMETHEUS_CONTENT_TYPE, prometheus_text(&snapshot))
        }
    };
    response.insert_header(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response.insert_header(header::VARY, HeaderValue::from_static("Accept"));
    Ok(response)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Json,
    Prometheus,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct MetricsQuery {
    format: Option<String>,
}

fn asked_format(ctx: &Ctx) -> Result<Option<Format>, Error> {
    let refused = || Error::bad_request("the query may be format=json or format=prometheus");
    let query: MetricsQuery = ctx.query().map_err(|_| refused())?;
    match query.format.as_deref() {
        None => Ok(None),
        Some("json") => Ok(Some(Format::Json)),
        Some("prometheus") => Ok(Some(Format::Prometheus)),
        Some(_) => Err(refused()),
    }
}

/// All `Accept` lines as one field value.
fn accept(ctx: &Ctx) -> Option<Vec<u8>> {
    let lines: Vec<&[u8]> = ctx.header_all(&header::ACCEPT).collect();
    (!lines.is_empty()).then(|| lines.join(&b", "[..]))
}

fn negotiated_format(accept: Option<&[u8]>) -> Format {
    let Some(field) = accept else {
        return Format::Json;
    };
    let names_open_metrics = field
        .windows(OPEN_METRICS.len())
        .any(|window| window.eq_ignore_ascii_case(OPEN_METRICS.as_bytes()));
    if names_open_metrics && media_type_quality(accept, OPEN_METRICS) > 0 {
        return Format::Prometheus;
    }
    // Who accepts neither gets JSON: RFC 9110 section 12.4.1 prefers that to 406.
    match best_media_type(accept, &["application/json", "text/plain"]) {
        Some(1) => Format::Prometheus,
        _ => Format::Json,
    }
}

const OPEN_METRICS: &str = "application/openmetrics-text";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_and_json_clients_get_json() {
        for accept in [
            None,
            Some("*/*"),
            Some("application/json"),
            Some("application/json, text/plain, */*"),
            Some("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"),
            Some("text/plain;q=0.5, application/json"),
            Some("image/png"),
            Some("text/plain;q=0"),
            Some("application/openmetrics-text;q=0, */*"),
        ] {
            let format = negotiated_format(accept.map(str::as_bytes));
            assert_eq!(format, Format::Json, "{accept:?}");
        }
    }

    #[test]
    fn scrapers_and_who_wants_text_get_prometheus() {
        for accept in [
            "text/plain",
            "text/plain;version=0.0.4;q=1,*/*;q=0.1",
            "text/plain, application/json;q=0.9",
            "TEXT/*",
            "application/openmetrics-text;version=1.0.0;q=0.5,\
             application/openmetrics-text;version=0.0.1;q=0.4,\
             text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
            "application/openmetrics-text",
        ] {
            assert_eq!(
                negotiated_format(Some(accept.as_bytes())),
                Format::Prometheus,
                "{accept}"
            );
        }
    }
}
