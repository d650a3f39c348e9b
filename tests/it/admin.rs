//! The admin listener: routes of its own, who may come in, and that it lives
//! and ends with the server.

mod blocked;
mod shipped;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use corelane::server::{AdminOptions, StartError};
use corelane::{App, Ctx, Error, Next, Response as Answer, engine};

use crate::harness::{Client, Engine, InProcess, Response, sample_app};

both_engines!(
    a_full_public_side_leaves_room_and_the_other_way_round,
    it_survives_the_death_of_its_thread,
    its_requests_are_finished_in_a_drain,
    its_slow_clients_are_given_up,
    a_taken_port_is_told_by_its_setting,
);

either_engine!(
    each_listener_has_its_own_routes,
    middleware_stays_with_its_own_routes,
    the_token_opens_and_nothing_else_does,
    every_request_of_a_connection_is_asked,
    nothing_runs_before_the_token_is_seen,
    a_host_that_is_not_this_machine_is_refused,
    a_page_of_another_site_is_refused,
    a_start_that_would_let_everybody_in_is_refused,
);

const TOKEN: &str = "correct-horse-battery-staple";

fn admin_app() -> App {
    App::new()
        .get("/", async |_| Ok(Answer::text("for operators\n")))
        .get("/slow/{ms}", async |ctx: Ctx| {
            engine::sleep(Duration::from_millis(ctx.param("ms")?)).await;
            Ok(Answer::text("slow\n"))
        })
        .post("/echo", async |mut ctx: Ctx| {
            Ok(Answer::with_body(
                "text/plain; charset=utf-8",
                ctx.bytes().await?,
            ))
        })
}

/// `admin_app` beside the sample app; a token if there is one.
fn start(engine: Engine, token: Option<&str>) -> InProcess {
    InProcess::start_with(engine, sample_app().admin(admin_app()), |options| {
        options.admin = Some(on_loopback(token));
    })
}

fn on_loopback(token: Option<&str>) -> AdminOptions {
    AdminOptions {
        token: token.map(str::to_owned),
        ..AdminOptions::new(([127, 0, 0, 1], 0))
    }
}

fn admin_address(server: &InProcess) -> SocketAddr {
    server.handle().admin_addr().expect("an admin listener")
}

/// A request with these header lines and no others, on a connection of its own.
fn ask(to: SocketAddr, method_and_path: &str, lines: &[&str]) -> Response {
    let mut client = Client::connect(to);
    client.send(request(method_and_path, lines));
    client.read()
}

fn request(method_and_path: &str, lines: &[&str]) -> String {
    let lines: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
    format!("{method_and_path} HTTP/1.1\r\n{lines}\r\n")
}

fn each_listener_has_its_own_routes(engine: Engine) {
    let server = start(engine, None);
    let (public, admin) = (server.address(), admin_address(&server));
    assert_ne!(public, admin);
    let local = &["Host: localhost"];
    let answer = ask(admin, "GET /", local).expect(200);
    assert_eq!(answer.text(), "for operators\n");
    ask(public, "GET /", local).expect_problem(404);
    ask(public, "GET /hello/a", local).expect(200);
    ask(admin, "GET /hello/a", local).expect_problem(404);
    // What is allowed is told of the own routes only.
    assert_eq!(
        ask(admin, "DELETE /echo", local)
            .expect(405)
            .header("allow"),
        Some("POST, OPTIONS")
    );
    assert_eq!(
        ask(public, "DELETE /echo", local)
            .expect(405)
            .header("allow"),
        Some("POST, PUT, OPTIONS")
    );
    // Not by the name of the other one either.
    ask(public, "GET /", &[&format!("Host: {admin}")]).expect(404);
    ask(public, &format!("GET http://{admin}/"), &["Host: a"]).expect(404);
}

fn middleware_stays_with_its_own_routes(engine: Engine) {
    async fn mark(ctx: Ctx, next: Next, name: &'static str) -> Result<Answer, Error> {
        match next.run(ctx).await {
            Ok(response) => Ok(response.header("x-mark", name)),
            Err(error) => {
                let name = http::HeaderValue::from_static(name);
                Err(error.with_header(http::HeaderName::from_static("x-mark"), name))
            }
        }
    }
    let admin = admin_app().middleware(|ctx, next| mark(ctx, next, "admin"));
    let app = sample_app().middleware(|ctx, next| mark(ctx, next, "public"));
    let server = InProcess::start_with(engine, app.admin(admin), |options| {
        options.admin = Some(on_loopback(None));
    });
    let local = &["Host: localhost"];
    for (address, path, mark) in [
        (admin_address(&server), "/", "admin"),
        (admin_address(&server), "/nowhere", "admin"),
        (server.address(), "/hello/a", "public"),
        (server.address(), "/nowhere", "public"),
    ] {
        let answer = ask(address, &format!("GET {path}"), local);
        assert_eq!(answer.header_all("x-mark"), [mark], "{path}");
    }
}

#[track_caller]
fn expect_unauthorised(answer: Response) {
    let challenge = answer.must_have("www-authenticate").to_owned();
    assert_eq!(challenge, "Bearer realm=\"corelane admin\"");
    assert!(answer.says_close());
    assert!(!answer.expect_problem(401).contains(TOKEN));
}

fn the_token_opens_and_nothing_else_does(engine: Engine) {
    let server = start(engine, Some(TOKEN));
    let admin = admin_address(&server);
    let right = format!("Authorization: Bearer {TOKEN}");
    for scheme in ["Bearer", "bearer", "BEARER  "] {
        let line = format!("authorization: {scheme} {TOKEN}");
        // Whatever the name it was reached by, and from whatever page.
        let lines = [
            "Host: ops.example.com",
            "Origin: http://ops.example.com",
            &line,
        ];
        ask(admin, "GET /", &lines).expect(200);
        ask(admin, "GET /nowhere", &lines).expect(404);
    }
    let wrong = [
        format!("Authorization: Bearer {}", &TOKEN[1..]),
        format!("Authorization: Bearer {}", &TOKEN[..TOKEN.len() - 1]),
        format!("Authorization: Bearer {TOKEN}x"),
        format!("Authorization: Bearer {TOKEN}{TOKEN}"),
        format!("Authorization: Bearer {}", TOKEN.to_uppercase()),
        format!("Authorization: Bearer \"{TOKEN}\""),
        format!("Authorization: Basic {TOKEN}"),
        format!("Authorization: {TOKEN}"),
        format!("Authorization: Bearer{TOKEN}"),
        format!("Authorization: Bearer {TOKEN}, Bearer {TOKEN}"),
        format!("Authorization: Bearer wrong\r\n{right}"),
        format!("{right}\r\nAuthorization: Bearer wrong"),
        format!("{right}\r\n{right}"),
        "Authorization: Bearer".to_owned(),
        "Authorization:".to_owned(),
        format!("X-Authorization: Bearer {TOKEN}"),
    ];
    for line in &wrong {
        expect_unauthorised(ask(admin, "GET /", &["Host: localhost", line]));
    }
    for path in [
        "GET /",
        "GET /nowhere",
        "OPTIONS *",
        "OPTIONS /",
        "DELETE /",
        "PUT /echo",
    ] {
        expect_unauthorised(ask(admin, path, &["Host: localhost"]));
    }
    // The public listener asks nobody.
    ask(server.address(), "GET /hello/a", &["Host: localhost"]).expect(200);
}

fn every_request_of_a_connection_is_asked(engine: Engine) {
    let server = start(engine, Some(TOKEN));
    let right = format!("Authorization: Bearer {TOKEN}");
    let good = request("GET /", &["Host: a", &right]);
    let mut client = Client::connect(admin_address(&server));
    client.send(format!(
        "{good}{good}{}{good}",
        request("GET /", &["Host: a"])
    ));
    client.read().expect(200);
    client.read().expect(200);
    // Which also says that it closes, and does: the fourth is not answered.
    expect_unauthorised(client.read());
}

fn nothing_runs_before_the_token_is_seen(engine: Engine) {
    let ran = Arc::new(AtomicUsize::new(0));
    let count = ran.clone();
    let admin = admin_app().middleware(move |ctx, next: Next| {
        count.fetch_add(1, Ordering::SeqCst);
        next.run(ctx)
    });
    let server = InProcess::start_with(engine, sample_app().admin(admin), |options| {
        options.admin = Some(on_loopback(Some(TOKEN)));
    });
    let mut client = Client::connect(admin_address(&server));
    // Refused without waiting for the body, and without asking for it.
    client.send(request(
        "POST /echo",
        &["Host: a", "Content-Length: 100000", "Expect: 100-continue"],
    ));
    expect_unauthorised(client.read());
    assert_eq!(ran.load(Ordering::SeqCst), 0);
    let right = format!("Authorization: Bearer {TOKEN}");
    let mut client = Client::connect(admin_address(&server));
    let head = request("POST /echo", &["Host: a", &right, "Content-Length: 3"]);
    client.send(format!("{head}abc"));
    assert_eq!(client.read().expect(200).text(), "abc");
    assert_eq!(ran.load(Ordering::SeqCst), 1);
}

fn a_host_that_is_not_this_machine_is_refused(engine: Engine) {
    let server = start(engine, None);
    let admin = admin_address(&server);
    for host in [
        "localhost",
        "LOCALHOST:3001",
        "127.0.0.1:3001",
        "127.3.2.1",
        "[::1]:3001",
    ] {
        ask(admin, "GET /", &[&format!("Host: {host}")]).expect(200);
    }
    for host in [
        "evil.com",
        "localhost.",
        "localhost.:3001",
        "a.localhost",
        "127.0.0.1.evil.com",
        "127.1",
        "0.0.0.0",
        "10.0.0.1",
        "[::]",
    ] {
        for path in ["GET /", "GET /nowhere", "OPTIONS *"] {
            let answer = ask(admin, path, &[&format!("Host: {host}")]);
            assert!(answer.says_close());
            answer.expect_problem(403);
        }
    }
    // An empty host is no HTTP/1.1; none at all is no loopback host.
    ask(admin, "GET /", &["Host:"]).expect(400);
    let mut client = Client::connect(admin);
    client.send("GET / HTTP/1.0\r\n\r\n");
    client.read().expect(403);
    // An absolute target counts, whatever Host says (RFC 9112 section 3.2.2).
    ask(admin, "GET http://evil.com/", &["Host: localhost"]).expect(403);
}

fn a_page_of_another_site_is_refused(engine: Engine) {
    let server = start(engine, None);
    let admin = admin_address(&server);
    let with = |line: &str| ask(admin, "GET /", &["Host: localhost", line]);
    for line in [
        "Origin: http://localhost:8080",
        "Origin: https://127.0.0.1",
        "Origin: http://[::1]:3001",
        "Sec-Fetch-Site: none",
        "Sec-Fetch-Site: same-origin",
        "Sec-Fetch-Site: same-site",
    ] {
        with(line).expect(200);
    }
    for line in [
        "Origin: http://evil.com",
        "Origin: null",
        "Origin:",
        "Origin: http://localhost.evil.com",
        "Origin: http://localhost@evil.com",
        "Origin: localhost",
        "Origin: http://localhost\r\nOrigin: http://evil.com",
        "Origin: http://localhost, http://evil.com",
        "Sec-Fetch-Site: cross-site",
    ] {
        with(line).expect_problem(403);
    }
}

fn a_full_public_side_leaves_room_and_the_other_way_round(engine: Engine) {
    let app = sample_app().admin(admin_app());
    let server = InProcess::start_shards(engine, 1, app, |options| {
        options.http.connections_per_shard_max = 1;
        options.admin = Some(on_loopback(None));
    });
    let mut public = server.connect();
    public.expect_usable();
    server.connect().read().expect(503);
    let good = request("GET /", &["Host: localhost"]);
    let connect = || Client::connect(admin_address(&server));
    let mut inside: Vec<Client> = (0..64).map(|_| connect()).collect();
    for client in &mut inside {
        client.send(&good);
        client.read().expect(200);
    }
    assert!(connect().read().expect(503).says_close());
    public.expect_usable();
    // A place given back can be used.
    inside.pop();
    let deadline = Instant::now() + Duration::from_secs(5);
    loop {
        let mut client = connect();
        client.send_if_taken(&good);
        match client.read().status {
            200 => break,
            _ => assert!(Instant::now() < deadline, "no place was given back"),
        }
    }
}

fn it_survives_the_death_of_its_thread(engine: Engine) {
    let server = start(engine, Some(TOKEN));
    let admin = admin_address(&server);
    let right = format!("Authorization: Bearer {TOKEN}");
    for _ in 0..3 {
        let mut witness = Client::connect(admin);
        witness.send(request("GET /", &["Host: a", &right]));
        witness.read().expect(200);
        server.handle().crash_shard(2);
        witness.expect_gone();
        wait_for_answer(admin, &request("GET /", &["Host: a", &right]));
        expect_unauthorised(ask(admin, "GET /", &["Host: a"]));
    }
    // The shards have no part in it.
    let mut witness = Client::connect(admin);
    for shard in [0, 1] {
        server.handle().crash_shard(shard);
        witness.send(request("GET /", &["Host: a", &right]));
        witness.read().expect(200);
    }
    assert_eq!(server.handle().admin_addr(), Some(admin));
}

/// A connection waits in the socket's queue for the successor, unless the
/// dying predecessor has taken it with it; none is refused.
fn wait_for_answer(address: SocketAddr, request: &str) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while Instant::now() < deadline {
        let mut stream = TcpStream::connect(address).expect("somebody listens");
        let answered = stream.write_all(request.as_bytes()).and_then(|()| {
            let mut start = [0; 12];
            stream.read_exact(&mut start).map(|()| start)
        });
        match answered {
            Ok(start) => return assert_eq!(&start, b"HTTP/1.1 200"),
            Err(_) => std::thread::sleep(Duration::from_millis(2)),
        }
    }
    panic!("the successor does not answer");
}

fn its_requests_are_finished_in_a_drain(engine: Engine) {
    let app = sample_app().admin(admin_app());
    let server = InProcess::start_with(engine, app, |options| {
        options.drain_timeout_ms = 5_000;
        options.admin = Some(on_loopback(None));
    });
    let admin = admin_address(&server);
    let mut idle = Client::connect(admin);
    idle.send(request("GET /", &["Host: localhost"]));
    idle.read().expect(200);
    let mut slow = Client::connect(admin);
    slow.send(request("GET /slow/500", &["Host: localhost"]));
    std::thread::sleep(Duration::from_millis(100));
    server.handle().drain();
    idle.expect_closed();
    assert_eq!(slow.read().expect(200).text(), "slow\n");
    slow.expect_closed();
    let report = server.finish();
    assert!(report.drained, "{report:?}");
    TcpStream::connect(admin).expect_err("nobody listens any more");
}

fn its_slow_clients_are_given_up(engine: Engine) {
    let app = sample_app().admin(admin_app());
    let server = InProcess::start_with(engine, app, |options| {
        options.http.head_timeout_ms = 1_000;
        options.admin = Some(on_loopback(Some(TOKEN)));
    });
    let mut silent = Client::connect(admin_address(&server));
    let mut begun = Client::connect(admin_address(&server));
    begun.send("GET / HTTP/1.1\r\nHos");
    begun.read().expect(408);
    silent.expect_closed();
}

fn refused(engine: Engine, admin: AdminOptions) -> StartError {
    let change = |options: &mut corelane::server::ServerOptions| options.admin = Some(admin);
    match InProcess::try_start(engine, 1, sample_app().admin(admin_app()), change) {
        Err(error) => error,
        Ok(_) => panic!("it started"),
    }
}

fn a_start_that_would_let_everybody_in_is_refused(engine: Engine) {
    for address in ["0.0.0.0:0", "[::]:0"] {
        let address: SocketAddr = address.parse().expect("an address");
        let error = refused(engine, AdminOptions::new(address)).to_string();
        assert!(
            error.contains("set admin.token or listen on 127.0.0.1"),
            "{error}"
        );
    }
    let error = refused(engine, on_loopback(Some("too-short"))).to_string();
    assert!(
        error.contains("16") && !error.contains("too-short"),
        "{error}"
    );
    // With a token it is for the operator to say.
    let app = sample_app().admin(admin_app());
    let server = InProcess::start_with(engine, app, |options| {
        options.admin = Some(AdminOptions {
            token: Some(TOKEN.to_owned()),
            ..AdminOptions::new(([0, 0, 0, 0], 0))
        });
    });
    let port = admin_address(&server).port();
    let admin = SocketAddr::from(([127, 0, 0, 1], port));
    expect_unauthorised(ask(admin, "GET /", &["Host: localhost"]));
}

fn a_taken_port_is_told_by_its_setting(engine: Engine) {
    let first = start(engine, None);
    let taken = admin_address(&first);
    let error = refused(engine, AdminOptions::new(taken)).to_string();
    for word in [
        "admin.listen",
        "--admin off",
        &taken.to_string(),
        "ss -ltnp",
    ] {
        assert!(error.contains(word), "{word} in {error}");
    }
    ask(taken, "GET /", &["Host: localhost"]).expect(200);
}

#[test]
fn a_library_opens_no_admin_listener_unasked() {
    let server = InProcess::start(Engine::Epoll, sample_app().admin(admin_app()));
    assert_eq!(server.handle().admin_addr(), None);
    server.connect().get("/").expect(404);
}
