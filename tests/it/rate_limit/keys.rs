//! What tells clients apart.

use corelane::internals::semantics::TrustedProxies;
use corelane::middleware::rate_limit::{Key, RateLimitKey};
use corelane::{App, Ctx, Next};

use super::{HOUR, by_client, limit, shard};
use crate::harness::{Client, Engine, InProcess};

either_engine!(
    behind_a_trusted_proxy_every_client_counts_for_itself,
    a_client_cannot_be_another_by_a_header_it_sends,
    ipv6_addresses_of_a_subscriber_count_together,
    without_the_header_the_address_counts,
    a_session_counts_when_it_is_attached,
    a_function_may_say_who_counts,
);

fn from(client: &mut Client, ip: &str) -> u16 {
    client.get_with("/", &[("X-Forwarded-For", ip)]).status
}

fn start(engine: Engine, proxies: &[&str], prefix_bits: u8) -> InProcess {
    let app = App::new().middleware(limit(1, HOUR)).get("/", shard);
    InProcess::start_with(engine, app, |options| {
        options.trusted_proxies = TrustedProxies::parse(proxies).expect("networks");
        options.rate_limit.ipv6_prefix_bits = prefix_bits;
    })
}

fn behind_a_trusted_proxy_every_client_counts_for_itself(engine: Engine) {
    let server = start(engine, &["loopback"], 64);
    let mut client = server.connect();
    assert_eq!(from(&mut client, "192.0.2.1"), 200);
    assert_eq!(from(&mut client, "192.0.2.2"), 200);
    assert_eq!(from(&mut client, "6.6.6.6, 192.0.2.1"), 429);
    assert_eq!(from(&mut client, "not an address, 192.0.2.2"), 429);
}

fn a_client_cannot_be_another_by_a_header_it_sends(engine: Engine) {
    let server = start(engine, &[], 64);
    let mut client = server.connect();
    assert_eq!(from(&mut client, "192.0.2.1"), 200);
    assert_eq!(from(&mut client, "192.0.2.2"), 429);
    let forwarded = client.get_with("/", &[("Forwarded", "for=192.0.2.3")]);
    forwarded.expect_problem(429);
}

fn ipv6_addresses_of_a_subscriber_count_together(engine: Engine) {
    let server = start(engine, &["loopback"], 64);
    let mut client = server.connect();
    assert_eq!(from(&mut client, "2001:db8::1"), 200);
    assert_eq!(from(&mut client, "2001:db8::ffff:ffff:2"), 429);
    assert_eq!(from(&mut client, "2001:db8:0:1::1"), 200);
    let server = start(engine, &["loopback"], 128);
    let mut client = server.connect();
    assert_eq!(from(&mut client, "2001:db8::1"), 200);
    assert_eq!(from(&mut client, "2001:db8::2"), 200);
    assert_eq!(from(&mut client, "2001:db8::2"), 429);
}

fn without_the_header_the_address_counts(engine: Engine) {
    let limit = limit(1, HOUR).by(by_client());
    let server = InProcess::start(engine, App::new().middleware(limit).get("/", shard));
    let mut client = server.connect();
    client.get_with("/", &[("x-client", "a")]).expect(200);
    client.get("/").expect(200);
    client.get("/").expect(429);
    client.get_with("/", &[("x-client", "b")]).expect(200);
    client.get_with("/", &[("x-client", "a")]).expect(429);
}

/// Attaches what `x-client` says, as a session would.
async fn attach_session(mut ctx: Ctx, next: Next) -> Result<corelane::Response, corelane::Error> {
    let name = http::HeaderName::from_static("x-client");
    if let Some(session) = ctx.header_bytes(&name).map(<[u8]>::to_vec) {
        ctx.attach(RateLimitKey(session));
    }
    next.run(ctx).await
}

fn a_session_counts_when_it_is_attached(engine: Engine) {
    let app = App::new()
        .middleware(attach_session)
        .middleware(limit(1, HOUR).by(Key::Session))
        .get("/", shard);
    let server = InProcess::start(engine, app);
    let mut client = server.connect();
    client.get_with("/", &[("x-client", "a")]).expect(200);
    client.get_with("/", &[("x-client", "b")]).expect(200);
    client.get_with("/", &[("x-client", "a")]).expect(429);
    client.get("/").expect(200);
    client.get("/").expect(429);
}

fn a_function_may_say_who_counts(engine: Engine) {
    let by_path = |ctx: &Ctx| Some(ctx.path().as_bytes().to_vec());
    let app = App::new()
        .middleware(limit(1, HOUR).by_fn(by_path))
        .get("/a", shard)
        .get("/b", shard);
    let server = InProcess::start(engine, app);
    let mut client = server.connect();
    client.get("/a").expect(200);
    client.get("/b").expect(200);
    client.get("/a").expect(429);
}
