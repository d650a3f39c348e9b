//! `/metrics`: the chapter's JSON and Prometheus text, with numbers that add up
//! over all shards.

use corelane::error::Blame;
use corelane::{App, Error, Response};
use corelane_server::handlers;
use serde_json::Value;

use crate::harness::{Client, Engine, InProcess, ServerProcess};

either_engine!(
    the_chapters_keys_are_there,
    requests_are_counted_once_over_all_shards,
    errors_are_counted_by_blame,
    server_errors_are_counted_by_route_and_blame,
    refused_requests_are_counted,
    percentiles_are_in_order,
    prometheus_text_when_asked,
    prometheus_text_is_well_formed,
);

fn metrics(client: &mut Client) -> Value {
    client.get("/metrics").expect(200).json()
}

fn number(json: &Value, name: &str) -> f64 {
    json[name]
        .as_f64()
        .unwrap_or_else(|| panic!("no number {name} in {json}"))
}

fn the_chapters_keys_are_there(engine: Engine) {
    let server = ServerProcess::start(engine);
    let json = metrics(&mut server.connect());
    for name in [
        "requests",
        "errors",
        "avgResponseTimeMs",
        "errorRatio",
        "p50",
        "p90",
        "p99",
        "p999",
    ] {
        number(&json, name);
    }
    let text = |name: &str| json[name].as_str().expect("a text").to_owned();
    let average = text("avgResponseTime");
    let average = average.strip_suffix("ms").expect("milliseconds");
    assert_eq!(
        average.split_once('.').map(|(_, decimals)| decimals.len()),
        Some(2)
    );
    assert!(
        (average.parse::<f64>().expect("a number") - number(&json, "avgResponseTimeMs")).abs()
            <= 0.006
    );
    assert_eq!(text("errorRate"), "0.00%");
    assert_eq!(json["shards"].as_array().map(Vec::len), Some(2));
    assert!(json["routes"].is_object());
    let text = json.to_string();
    assert!(text.contains(engine.name()), "which engine runs: {text}");
}

/// Connections go to either shard; the sum must not depend on where from.
fn requests_are_counted_once_over_all_shards(engine: Engine) {
    let server = ServerProcess::start(engine);
    let mut clients: Vec<Client> = (0..8).map(|_| server.connect()).collect();
    for client in &mut clients {
        for _ in 0..25 {
            client.get("/health/live").expect(200);
        }
    }
    for client in &mut clients {
        let json = metrics(client);
        let route = &json["routes"]["GET /health/live"];
        assert_eq!(number(route, "requests"), 200.0, "{route}");
    }
    let json = metrics(&mut clients[0]);
    let shards = json["shards"].as_array().expect("shards");
    let sum: f64 = shards.iter().map(|shard| number(shard, "requests")).sum();
    assert_eq!(sum, number(&json, "requests"));
    assert_eq!(number(&json, "connections"), 8.0);
}

fn errors_are_counted_by_blame(engine: Engine) {
    let server = ServerProcess::start(engine);
    let mut client = server.connect();
    for _ in 0..10 {
        client.get("/api/users/1").expect(404);
        client.get("/nowhere").expect(404);
    }
    let json = metrics(&mut client);
    assert_eq!(number(&json, "clientErrors"), 20.0);
    assert_eq!(
        number(&json["routes"]["GET /api/users/{id}"], "clientErrors"),
        10.0
    );
    assert_eq!(
        number(&json, "errors"),
        0.0,
        "a 404 is no error of the server"
    );
}

fn server_errors_are_counted_by_route_and_blame(engine: Engine) {
    let app = App::new()
        .get("/gone", async |_| -> Result<Response, Error> {
            Err(Error::unavailable("the other side is away", 1))
        })
        .get("/full", async |_| -> Result<Response, Error> {
            Err(Error::internal("no room").with_blame(Blame::Host))
        })
        .get("/panic", async |_| -> Result<Response, Error> {
            panic!("as asked")
        })
        .get("/missing", async |_| -> Result<Response, Error> {
            Err(Error::not_found("nothing there"))
        })
        .get("/metrics", handlers::metrics::metrics);
    let server = InProcess::start(engine, app);
    let mut client = server.connect();
    for _ in 0..2 {
        client.get("/gone").expect(503);
    }
    client.get("/full").expect(500);
    client.get("/missing").expect(404);
    server.connect().get("/panic").expect(500);
    let mut refused = server.connect();
    refused.send("GET / HTTP/7.0\r\nhost: a\r\n\r\n");
    refused.read().expect(505);
    let told = client.get("/metrics?format=prometheus").expect(200);
    let lines = told.text().lines();
    let counted = lines.filter(|line| {
        line.starts_with("corelane_http_server_errors_total{") && !line.ends_with(" 0")
    });
    let counted: Vec<_> = counted.collect();
    assert_eq!(
        counted,
        [
            r#"corelane_http_server_errors_total{method="GET",route="/gone",blame="upstream"} 2"#,
            r#"corelane_http_server_errors_total{method="GET",route="/full",blame="host"} 1"#,
            r#"corelane_http_server_errors_total{method="GET",route="/panic",blame="bug"} 1"#,
            r#"corelane_http_server_errors_total{method="*",route="unmatched",blame="client"} 1"#,
        ]
    );
}

fn refused_requests_are_counted(engine: Engine) {
    let server = ServerProcess::start(engine);
    for _ in 0..3 {
        let mut client = server.connect();
        client.send("GET / HTTP/1.1\r\nHost : a\r\n\r\n");
        client.read().expect(400);
    }
    assert_eq!(number(&metrics(&mut server.connect()), "parseErrors"), 3.0);
}

fn percentiles_are_in_order(engine: Engine) {
    let server = ServerProcess::start(engine);
    let mut client = server.connect();
    for _ in 0..300 {
        client.get("/health").expect(200);
    }
    let json = metrics(&mut client);
    for of in [&json, &json["routes"]["GET /health"]] {
        let values = ["p50", "p90", "p99", "p999", "max"].map(|name| number(of, name));
        assert!(values.is_sorted() && values[0] > 0.0, "{values:?}");
        assert!(number(of, "avgResponseTimeMs") <= values[4]);
    }
}

fn prometheus_text_when_asked(engine: Engine) {
    let server = ServerProcess::start(engine);
    let mut client = server.connect();
    let is_text = |response: crate::harness::Response| {
        let response = response.expect(200);
        response
            .must_have("content-type")
            .starts_with("text/plain; version=0.0.4")
    };
    assert!(is_text(client.get("/metrics?format=prometheus")));
    for (accept, text) in [
        ("text/plain", true),
        ("text/plain;version=0.0.4;q=0.9,*/*;q=0.1", true),
        ("application/json", false),
        ("*/*", false),
        ("application/json, text/plain;q=0.5", false),
    ] {
        let response = client.get_with("/metrics", &[("Accept", accept)]);
        assert_eq!(is_text(response), text, "{accept}");
    }
}

fn prometheus_text_is_well_formed(engine: Engine) {
    let server = ServerProcess::start(engine);
    let mut client = server.connect();
    client.get("/api/users").expect(200);
    let response = client.get("/metrics?format=prometheus").expect(200);
    let mut typed = std::collections::BTreeSet::new();
    let mut seen = std::collections::BTreeSet::new();
    for line in response.text().lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let name = rest.split(' ').next().expect("a name").to_owned();
            assert!(typed.insert(name), "{line} twice");
        } else if !line.starts_with('#') {
            let (series, value) = line.rsplit_once(' ').expect("a value");
            assert!(value.parse::<f64>().is_ok(), "{line}");
            assert!(seen.insert(series.to_owned()), "{series} twice");
            let name = series.split('{').next().expect("a name");
            let base = ["_bucket", "_sum", "_count"]
                .iter()
                .find_map(|end| name.strip_suffix(end))
                .filter(|base| typed.contains(*base));
            assert!(typed.contains(base.unwrap_or(name)), "{name} has no type");
        }
    }
    let wanted =
        "corelane_http_requests_total{method=\"GET\",route=\"/api/users\",code_class=\"2xx\"} 1";
    assert!(response.text().contains(wanted));
    assert!(response.text().ends_with('\n'));
}
