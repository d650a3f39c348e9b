//! The speed bar: CPU per request of a bare GET against a raw epoll loop that
//! parses with httparse and sends a constant; one core each, in one run.
//!
//! `cargo bench --bench bare_get -- [--rounds N] [--seconds N]
//! [--connections N] [--out DIR]`. Server on CPU 0, wrk on CPU 1, the
//! contenders in turn, forwards and backwards, so that drift hits all alike.

mod support;

use std::fmt::Write as _;

use corelane::internals::topology::EngineKind;
use corelane::{App, Response};

use support::{
    Load, ServerProcess, Target, args, corelane, free_port, raw_epoll, run, spread, wrk_at,
};

const SERVER_CPU: usize = 0;
const LOAD_CPU: usize = 1;
const NAMES: [&str; 3] = ["raw-epoll", "corelane-io_uring", "corelane-epoll"];

struct Row {
    round: usize,
    contender: usize,
    requests_per_s: f64,
    cpu_us: f64,
    busy: f64,
}

fn main() {
    support::serve_app_if_asked(|| {
        App::new().get("/constant", async |_| Ok(Response::text("Hello, World!")))
    });
    let rounds = args::number("--rounds").unwrap_or(7);
    let seconds = args::number("--seconds").unwrap_or(4);
    let connections = args::number("--connections").unwrap_or(64);
    let mut rows = Vec::new();
    for round in 0..rounds {
        let mut order = [0, 1, 2];
        if round % 2 == 1 {
            order.reverse();
        }
        for contender in order {
            let server = start(contender);
            load(&server, connections, 1);
            let before = server.cpu_ns();
            let load = load(&server, connections, seconds);
            let cpu_ns = (server.cpu_ns() - before) as f64;
            assert_eq!(load.errors, 0, "{} answered with errors", NAMES[contender]);
            let row = Row {
                round: round as usize,
                contender,
                requests_per_s: load.requests as f64 / load.seconds,
                cpu_us: cpu_ns / 1e3 / load.requests as f64,
                busy: cpu_ns / 1e9 / load.seconds,
            };
            eprintln!(
                "round {} {:18} {:9.0} requests/s {:6.3} CPU us/request, server {:.0} % busy",
                row.round,
                NAMES[contender],
                row.requests_per_s,
                row.cpu_us,
                row.busy * 100.0
            );
            rows.push(row);
        }
    }
    let summary = summarise(&rows);
    run::report("Bare GET", "bare_get", &summary, &raw_csv(&rows));
}

fn start(contender: usize) -> ServerProcess {
    match contender {
        0 => {
            let port = free_port();
            ServerProcess::start(raw_epoll(port, SERVER_CPU), port)
        }
        1 => corelane(EngineKind::IoUring, SERVER_CPU),
        _ => corelane(EngineKind::Epoll, SERVER_CPU),
    }
}

fn load(server: &ServerProcess, connections: u32, seconds: u32) -> Load {
    let target = Target {
        path: "/constant".to_owned(),
        ..Target::default()
    };
    wrk_at(&target, server.port, LOAD_CPU, connections, seconds)
}

/// Medians with spread, and ratios to the floor pair by pair (same round).
fn summarise(rows: &[Row]) -> String {
    let mut text = String::from(
        "| server | requests/s | CPU us/request (min..max) | ratio to raw epoll, by pairs (min..max) | server busy |\n\
         |---|---:|---:|---:|---:|\n",
    );
    for (contender, name) in NAMES.iter().enumerate() {
        let of = |value: fn(&Row) -> f64| -> Vec<f64> {
            rows.iter()
                .filter(|row| row.contender == contender)
                .map(value)
                .collect()
        };
        let floor: Vec<f64> = rows
            .iter()
            .filter(|r| r.contender == 0)
            .map(|r| r.cpu_us)
            .collect();
        let mut own: Vec<&Row> = rows
            .iter()
            .filter(|row| row.contender == contender)
            .collect();
        own.sort_by_key(|row| row.round);
        let ratios: Vec<f64> = own
            .iter()
            .map(|row| row.cpu_us / floor[row.round])
            .collect();
        let (cpu, cpu_min, cpu_max) = spread(&of(|row| row.cpu_us));
        let (ratio, ratio_min, ratio_max) = spread(&ratios);
        let (rate, ..) = spread(&of(|row| row.requests_per_s));
        let (busy, ..) = spread(&of(|row| row.busy));
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "| {name} | {rate:.0} | {cpu:.3} ({cpu_min:.3}..{cpu_max:.3}) | {ratio:.3} \
             ({ratio_min:.3}..{ratio_max:.3}) | {:.0} % |",
            busy * 100.0
        );
    }
    text
}

fn raw_csv(rows: &[Row]) -> String {
    let mut csv = String::from("round,server,requests_per_s,cpu_us_per_request,server_busy\n");
    for row in rows {
        let _ = writeln!(
            csv,
            "{},{},{:.1},{:.4},{:.4}",
            row.round, NAMES[row.contender], row.requests_per_s, row.cpu_us, row.busy
        );
    }
    csv
}
