//! From target and method to a handler, or to the right refusal.

use std::collections::BTreeSet;

use crate::harness::{Engine, InProcess, Response, sample_app};

either_engine!(
    an_unknown_path_is_404_and_keeps_the_connection,
    what_is_not_there_is_said_whatever_is_sent_to_it,
    a_known_path_with_another_method_is_405_and_says_which,
    options_says_which_methods_a_path_has,
    options_of_the_server_is_answered,
    an_unknown_method_is_405_on_a_path_and_404_beside_it,
    absolute_form_is_routed_by_its_path,
    parameters_are_decoded,
    a_parameter_that_does_not_parse_is_404,
    paths_are_matched_exactly,
    the_query_does_not_take_part,
    errors_are_problems,
    an_error_tells_the_client_nothing_from_inside,
);

fn methods(response: &Response) -> BTreeSet<String> {
    response
        .must_have("allow")
        .split(',')
        .map(|method| method.trim().to_owned())
        .collect()
}

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn an_unknown_path_is_404_and_keeps_the_connection(engine: Engine) {
    let server = InProcess::start(engine, sample_app());
    let mut client = server.connect();
    for path in ["/", "/nowhere", "/hello", "/hello/a/b", "/%00", "/.."] {
        client.get(path).expect_problem(404);
    }
    client.expect_usable();
}

fn what_is_not_there_is_said_whatever_is_sent_to_it(engine: Engine) {
    let server = InProcess::start(engine, sample_app());
    let large = 100 * 1024 * 1024;
    for (target, status) in [("/nowhere", 404), ("/hello/a", 405)] {
        let mut client = server.connect();
        client.send(format!(
            "POST {target} HTTP/1.1\r\nHost: a\r\nContent-Length: {large}\r\n\r\nsome of it"
        ));
        let refused = client.read().expect(status);
        assert!(refused.says_close(), "{target}");
    }
    // Where it is read it is too large.
    let mut client = server.connect();
    let head = format!("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: {large}\r\n\r\n");
    client.send(head);
    assert!(client.read().expect(413).says_close());
}

fn a_known_path_with_another_method_is_405_and_says_which(engine: Engine) {
    let server = InProcess::start(engine, sample_app());
    let mut client = server.connect();
    let response = client.request("DELETE", "/hello/a", &[], b"").expect(405);
    assert_eq!(methods(&response), set(&["GET", "HEAD", "OPTIONS"]));
    let response = client.get("/echo").expect(405);
    assert_eq!(methods(&response), set(&["OPTIONS", "POST", "PUT"]));
    client.expect_usable();
}

fn options_says_which_methods_a_path_has(engine: Engine) {
    let server = InProcess::start(engine, sample_app());
    let mut client = server.connect();
    let response = client.request("OPTIONS", "/hello/a", &[], b"").expect(204);
    assert_eq!(methods(&response), set(&["GET", "HEAD", "OPTIONS"]));
    let response = client.request("OPTIONS", "/echo", &[], b"").expect(204);
    assert_eq!(methods(&response), set(&["OPTIONS", "POST", "PUT"]));
    client.request("OPTIONS", "/nowhere", &[], b"").expect(404);
}

fn options_of_the_server_is_answered(engine: Engine) {
    let server = InProcess::start(engine, sample_app());
    let mut client = server.connect();
    let response = client.request("OPTIONS", "*", &[], b"").expect(204);
    assert!(methods(&response).contains("GET"));
    client.expect_usable();
}

fn an_unknown_method_is_405_on_a_path_and_404_beside_it(engine: Engine) {
    let server = InProcess::start(engine, sample_app());
    let mut client = server.connect();
    client.request("BREW", "/hello/a", &[], b"").expect(405);
    client.request("get", "/hello/a", &[], b"").expect(405);
    client.request("BREW", "/nowhere", &[], b"").expect(404);
    client.expect_usable();
}

fn absolute_form_is_routed_by_its_path(engine: Engine) {
    let server = InProcess::start(engine, sample_app());
    let mut client = server.connect();
    for target in [
        "http://other/hello/a",
        "HTTP://other:8080/hello/a?x=1",
        "http://[::1]/hello/a",
    ] {
        assert_eq!(client.get(target).expect(200).text(), "Hello, a!\n");
    }
    client.get("http://other").expect(404);
}

fn parameters_are_decoded(engine: Engine) {
    let server = InProcess::start(engine, sample_app());
    let mut client = server.connect();
    for (sent, read) in [
        ("a%20b", "a b"),
        ("a+b", "a+b"),
        ("%C3%A9t%C3%A9", "été"),
        ("a%2Fb", "a/b"),
        ("%25", "%"),
    ] {
        let response = client.get(&format!("/hello/{sent}")).expect(200);
        assert_eq!(response.text(), format!("Hello, {read}!\n"));
    }
    client.get("/hello/%ff").expect(404);
}

fn a_parameter_that_does_not_parse_is_404(engine: Engine) {
    let server = InProcess::start(engine, sample_app());
    let mut client = server.connect();
    for number in ["x", "-1", "1.5", "99999999999999999999999", "1%20"] {
        client.get(&format!("/bytes/{number}")).expect_problem(404);
    }
}

fn paths_are_matched_exactly(engine: Engine) {
    let server = InProcess::start(engine, sample_app());
    let mut client = server.connect();
    for path in [
        "/hello/a/",
        "//hello/a",
        "/Hello/a",
        "/hello//a",
        "/./hello/a",
        "/x/../hello/a",
    ] {
        client.get(path).expect(404);
    }
}

fn the_query_does_not_take_part(engine: Engine) {
    let server = InProcess::start(engine, sample_app());
    let mut client = server.connect();
    for query in ["?", "?a", "?a=b&c", "?/../x", "??", "?%zz"] {
        client.get(&format!("/hello/a{query}")).expect(200);
    }
}

fn errors_are_problems(engine: Engine) {
    let server = InProcess::start(engine, sample_app());
    assert_eq!(
        server.connect().get("/refused").expect_problem(400),
        "as asked"
    );
}

fn an_error_tells_the_client_nothing_from_inside(engine: Engine) {
    let server = InProcess::start(engine, sample_app());
    let mut client = server.connect();
    let response = client.get("/io-error").expect(500);
    assert!(!response.text().contains("sda1"), "{response:?}");
    client.expect_usable();
}
