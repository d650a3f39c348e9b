//! Requests with several cookies of the session's name: all of them are obeyed, and
//! what is none is passed over.

use super::{cookie_in, cookie_of, expect_everywhere, log_in, with_ada};
use crate::harness::{Engine, Serve};

either_engine!(
    a_logout_ends_every_session_that_is_named,
    a_duplicate_that_is_no_session_locks_nobody_out,
    a_login_ends_every_session_it_came_with,
);

fn a_logout_ends_every_session_that_is_named(engine: Engine) {
    let server = with_ada(Serve::on(engine));
    let planted = format!("corelane={}", "B".repeat(43));
    let log_out = |cookies: &str| {
        let header = [("Cookie", cookies)];
        let response = server
            .connect()
            .request("DELETE", "/api/session", &header, b"");
        let line = response.expect(204).must_have("set-cookie").to_owned();
        assert!(line.starts_with("corelane=; Path=/; Max-Age=0;"), "{line}");
    };
    let [one, two, three] = [(); 3].map(|()| cookie_in(&server));
    log_out(&format!("{planted}; {one}"));
    expect_everywhere(&server, &one, 401);
    log_out(&format!("{two}; corelane=; {planted}; {three}; corelane=x"));
    expect_everywhere(&server, &two, 401);
    expect_everywhere(&server, &three, 401);
    // More than anybody has: refused as a whole, and nothing is half done.
    let kept = cookie_in(&server);
    let letters = ('a'..='t').map(|letter| format!("corelane={letter}{}; ", "A".repeat(42)));
    let many = letters.collect::<String>();
    let header = [("Cookie", &*format!("{kept}; {many}"))];
    let response = server
        .connect()
        .request("DELETE", "/api/session", &header, b"");
    response.expect_problem(400);
    expect_everywhere(&server, &kept, 200);
}

fn a_duplicate_that_is_no_session_locks_nobody_out(engine: Engine) {
    let server = with_ada(Serve::on(engine));
    let cookie = cookie_in(&server);
    for junk in ["corelane=", "corelane=x", "corelane=\"\"", "corelane=%41"] {
        for cookies in [format!("{junk}; {cookie}"), format!("{cookie}; {junk}")] {
            expect_everywhere(&server, &cookies, 200);
        }
    }
    let cookies = format!("corelane=; {cookie}");
    let again = log_in(&mut server.connect(), &[("Cookie", &cookies)]).expect(201);
    expect_everywhere(&server, &cookie, 401);
    expect_everywhere(&server, &cookie_of(&again), 200);
}

fn a_login_ends_every_session_it_came_with(engine: Engine) {
    let server = with_ada(Serve::on(engine));
    let (one, two) = (cookie_in(&server), cookie_in(&server));
    let cookies = format!("{one}; {two}");
    let again = log_in(&mut server.connect(), &[("Cookie", &cookies)]).expect(201);
    expect_everywhere(&server, &one, 401);
    expect_everywhere(&server, &two, 401);
    expect_everywhere(&server, &cookie_of(&again), 200);
}
