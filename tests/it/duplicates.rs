//! What is said twice in one request is refused, not settled in silence: one
//! reader would take the first, another the last.

use corelane::{App, Ctx, Response as Answer};
use serde_json::{Value, json};

use crate::harness::{Client, Engine, InProcess, Response, ServerProcess};

either_engine!(
    a_user_with_a_member_twice_is_refused_and_not_written,
    a_login_with_a_member_twice_is_refused,
    a_parameter_given_twice_is_refused,
    a_library_refuses_them_too_whatever_it_reads_of_the_body,
);

fn send(client: &mut Client, method: &str, path: &str, body: &str) -> Response {
    let json = [("Content-Type", "application/json")];
    client.request(method, path, &json, body.as_bytes())
}

/// The fields that a 422 names.
fn named(response: &Response) -> Vec<String> {
    assert_eq!(response.status, 422, "{response:?}");
    let problem: Value = response.json();
    let errors = problem["errors"].as_array().expect("errors");
    let fields = errors.iter().map(|error| error["field"].as_str());
    fields
        .map(|field| field.expect("a field").to_owned())
        .collect()
}

fn a_user_with_a_member_twice_is_refused_and_not_written(engine: Engine) {
    let server = ServerProcess::start(engine);
    let mut client = server.connect();
    let twice = r#"{"name":"A","age":999,"age":3,"email":"a@example.org"}"#;
    let response = send(&mut client, "POST", "/api/users", twice);
    assert_eq!(named(&response), ["age"]);
    let deep =
        r#"{"name":"A","age":3,"email":"a@example.org","location":{"lat":1,"lon":2,"lat":3}}"#;
    let response = send(&mut client, "POST", "/api/users", deep);
    assert_eq!(named(&response), ["lat"]);
    let user = json!({"name": "A", "age": 3, "email": "a@example.org"});
    let created = client
        .send_json("POST", "/api/users", &[], &user)
        .expect(201);
    let path = created.must_have("location").to_owned();
    for (method, body) in [("PUT", twice), ("PATCH", r#"{"name":"B","na\u006de":"C"}"#)] {
        let response = send(&mut client, method, &path, body);
        assert_eq!(named(&response).len(), 1, "{method}");
    }
    let kept: Value = client.get(&path).expect(200).json();
    assert_eq!((&kept["name"], &kept["age"]), (&json!("A"), &json!(3)));
}

fn a_login_with_a_member_twice_is_refused(engine: Engine) {
    let server = ServerProcess::start(engine);
    let mut client = server.connect();
    let twice = r#"{"email":"a@example.org","password":"x","password":"y"}"#;
    let response = send(&mut client, "POST", "/api/session", twice);
    assert_eq!(named(&response), ["password"]);
}

fn a_parameter_given_twice_is_refused(engine: Engine) {
    let server = ServerProcess::start(engine);
    let mut client = server.connect();
    for query in ["limit=5&limit=6", "limit=5&limit=5", "limit=5&l%69mit=5"] {
        let response = client.get(&format!("/api/users?{query}"));
        assert_eq!(named(&response), ["limit"], "{query}");
    }
}

#[derive(serde::Deserialize)]
struct Known {
    #[serde(default)]
    page: u32,
}

fn a_library_refuses_them_too_whatever_it_reads_of_the_body(engine: Engine) {
    let app = App::new()
        .get("/", async |ctx: Ctx| {
            let known: Known = ctx.query()?;
            Ok(Answer::text(known.page.to_string()))
        })
        .post("/", async |mut ctx: Ctx| {
            let known: Known = ctx.json().await?;
            Ok(Answer::text(known.page.to_string()))
        });
    let server = InProcess::start(engine, app);
    let mut client = server.connect();
    for (body, field) in [
        (r#"{"page":1,"page":1}"#, "page"),
        (r#"{"page":1,"other":1,"other":2}"#, "other"),
        (r#"{"page":1,"other":[{"x":1,"x":2}]}"#, "x"),
    ] {
        let response = send(&mut client, "POST", "/", body);
        assert_eq!(named(&response), [field], "{body}");
    }
    let once = r#"{"page":7,"other":{"page":1}}"#;
    assert_eq!(send(&mut client, "POST", "/", once).expect(200).text(), "7");
    assert_eq!(client.get("/?page=7").expect(200).text(), "7");
    assert_eq!(named(&client.get("/?page=7&page=7")), ["query"]);
}
