//! Who a request comes from behind a trusted proxy, over a socket.

use corelane::internals::semantics::TrustedProxies;
use corelane::{App, Ctx, Response};

use crate::harness::{Engine, InProcess, Serve};

either_engine!(
    a_trusted_proxy_says_who_the_client_is,
    without_a_trusted_proxy_the_peer_is_the_client,
    the_next_request_of_a_connection_may_be_another_clients,
    the_access_log_shows_both,
);

fn who() -> App {
    App::new().get("/", async |ctx: Ctx| {
        let ip = ctx.client_ip().expect("a peer");
        Ok(Response::text(format!("{ip} {}\n", ctx.is_secure())))
    })
}

fn behind(engine: Engine, proxies: &[&str]) -> InProcess {
    InProcess::start_with(engine, who(), |options| {
        options.trusted_proxies = TrustedProxies::parse(proxies).expect("networks");
    })
}

const FORWARDED: &[(&str, &str)] = &[("Forwarded", "for=192.0.2.1;proto=https")];

fn a_trusted_proxy_says_who_the_client_is(engine: Engine) {
    let server = behind(engine, &["loopback"]);
    let mut client = server.connect();
    let response = client.get_with("/", FORWARDED);
    assert_eq!(response.expect(200).text(), "192.0.2.1 true\n");
    let lines = [
        ("X-Forwarded-For", "6.6.6.6, 192.0.2.7"),
        ("X-Forwarded-For", "127.0.0.9"),
        ("X-Forwarded-Proto", "https"),
    ];
    let response = client.get_with("/", &lines);
    assert_eq!(response.expect(200).text(), "192.0.2.7 true\n");
}

fn without_a_trusted_proxy_the_peer_is_the_client(engine: Engine) {
    for proxies in [&[][..], &["10.0.0.0/8"]] {
        let server = behind(engine, proxies);
        let response = server.connect().get_with("/", FORWARDED);
        assert_eq!(response.expect(200).text(), "127.0.0.1 false\n");
    }
}

fn the_next_request_of_a_connection_may_be_another_clients(engine: Engine) {
    let server = behind(engine, &["loopback"]);
    let mut client = server.connect();
    for ip in ["192.0.2.1", "192.0.2.2"] {
        let response = client.get_with("/", &[("X-Forwarded-For", ip)]);
        assert_eq!(response.expect(200).text(), format!("{ip} false\n"));
    }
    assert_eq!(client.get("/").expect(200).text(), "127.0.0.1 false\n");
}

fn the_access_log_shows_both(engine: Engine) {
    let server = Serve::on(engine)
        .config("[server]\ntrusted_proxies = [\"loopback\"]\n[access_log]\nformat = \"json\"\n")
        .start();
    server.connect().get_with("/health/live", FORWARDED);
    server.wait_for_output("\"client\":\"192.0.2.1\"");
    assert!(server.output().contains("\"peer\":\"127.0.0.1\""));
}
