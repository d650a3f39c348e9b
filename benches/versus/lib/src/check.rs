//! The answers of a server before it is measured, and after. A server that
//! answers something else is not measured: it would be faster for nothing.

use serde_json::Value;

use crate::expected::{Expected, decoded, hash, same};
use crate::http::{Answer, Client, Question};
use crate::rival::Rival;
use crate::scenario::Scenario;

/// What every answer must have.
const ALWAYS: [&str; 2] = ["date", "server"];
const PIPELINE: usize = 16;
/// Users that are looked at, and one there is none of.
const IDS: [usize; 4] = [1, 7, 512, 1_000];
const NO_ID: usize = 900_000_000;

/// Asks what the scenario will ask, and compares.
///
/// # Errors
/// The first answer that is wrong, and how.
pub fn answers(
    scenario: &Scenario,
    rival: &Rival,
    port: u16,
    expected: &Expected,
) -> Result<(), String> {
    let has_users = rival.sheet.serves.iter().any(|one| one == "user");
    let mut asker = Asker {
        client: Client::connect(port)?,
    };
    match scenario.serves.as_str() {
        "constant" => constant(&mut asker),
        "pipelined" => pipelined(&mut asker, has_users.then_some(expected)),
        "user" => users(&mut asker, expected),
        "conditional" => conditional(&mut asker),
        "json" => json(&mut asker, scenario, expected),
        "static" => file(&mut asker, scenario, expected),
        "users-api" => users_api(&mut asker, scenario, expected),
        other => Err(format!("nothing is known about {other}")),
    }
}

/// A light look after the load: it still answers, and the same.
///
/// # Errors
/// As [`answers`].
pub fn answers_after(
    scenario: &Scenario,
    rival: &Rival,
    port: u16,
    expected: &Expected,
) -> Result<(), String> {
    match scenario.serves.as_str() {
        // Written to meanwhile.
        "users-api" => {
            let mut asker = Asker {
                client: Client::connect(port)?,
            };
            asker.json("/api/users/1", 200).map(|_| ())
        }
        _ => answers(scenario, rival, port, expected),
    }
}

struct Asker {
    client: Client,
}

impl Asker {
    fn get(&mut self, path: &str, headers: &[&str], status: u16) -> Result<Answer, String> {
        let question = Question {
            path,
            headers,
            ..Question::default()
        };
        self.ask(&question, status)
    }

    fn ask(&mut self, question: &Question<'_>, status: u16) -> Result<Answer, String> {
        let told = |why: String| format!("{} {}: {why}", question.method, question.path);
        let answer = self.client.ask(question).map_err(told)?;
        check_head(&answer, status).map_err(told)?;
        Ok(answer)
    }

    fn json(&mut self, path: &str, status: u16) -> Result<(Answer, Value), String> {
        let answer = self.get(path, &[], status)?;
        let value = parse_json(&answer).map_err(|why| format!("{path}: {why}"))?;
        Ok((answer, value))
    }

    fn write(
        &mut self,
        method: &str,
        path: &str,
        body: &str,
        status: u16,
    ) -> Result<Answer, String> {
        let question = Question {
            method,
            path,
            headers: &[],
            body,
        };
        self.ask(&question, status)
    }
}

fn check_head(answer: &Answer, status: u16) -> Result<(), String> {
    if answer.status != status {
        let body = String::from_utf8_lossy(&answer.body);
        let body: String = body.chars().take(200).collect();
        return Err(format!("status {}, not {status}: {body}", answer.status));
    }
    for name in ALWAYS {
        if answer.header(name).is_none_or(str::is_empty) {
            return Err(format!("no {name} header"));
        }
    }
    if !answer.body.is_empty() && answer.header("content-type").is_none() {
        return Err("no content-type header".to_owned());
    }
    Ok(())
}

fn parse_json(answer: &Answer) -> Result<Value, String> {
    let content_type = answer.header("content-type").unwrap_or_default();
    if !content_type.starts_with("application/json") {
        return Err(format!("Content-Type {content_type}, not application/json"));
    }
    let plain = decoded(answer.header("content-encoding"), &answer.body)?;
    serde_json::from_slice(&plain).map_err(|error| format!("no JSON: {error}"))
}

fn check_constant(answer: &Answer) -> Result<(), String> {
    check_head(answer, 200)?;
    if answer.body != b"Hello, World!" {
        return Err(format!(
            "the body {:?}",
            String::from_utf8_lossy(&answer.body)
        ));
    }
    match answer.header("content-type") {
        Some(text) if text.eq_ignore_ascii_case("text/plain; charset=utf-8") => Ok(()),
        other => Err(format!("Content-Type {other:?}")),
    }
}

fn constant(asker: &mut Asker) -> Result<(), String> {
    for _ in 0..2 {
        let answer = asker.get("/constant", &[], 200)?;
        check_constant(&answer).map_err(|why| format!("/constant: {why}"))?;
    }
    Ok(())
}

/// In order: where the server has users, each answer is told from its
/// neighbours.
fn pipelined(asker: &mut Asker, expected: Option<&Expected>) -> Result<(), String> {
    let user = |index: usize| {
        expected
            .filter(|_| index % 3 == 1)
            .map(|all| &all.users[index])
    };
    let path = |index: usize| match user(index) {
        Some(_) => format!("/api/users/{}", index + 1),
        None => "/constant".to_owned(),
    };
    let paths: Vec<String> = (0..PIPELINE).map(path).collect();
    let question = |path| Question {
        path,
        ..Question::default()
    };
    let questions: Vec<Question<'_>> = paths.iter().map(|path| question(path)).collect();
    let answers = asker.client.ask_all(&questions)?;
    for (index, answer) in answers.iter().enumerate() {
        let right = match user(index) {
            Some(user) => check_head(answer, 200)
                .and_then(|()| parse_json(answer))
                .and_then(|found| same(user, &found)),
            None => check_constant(answer),
        };
        right.map_err(|why| format!("answer {index} of {PIPELINE} pipelined: {why}"))?;
    }
    Ok(())
}

fn users(asker: &mut Asker, expected: &Expected) -> Result<(), String> {
    for id in IDS {
        let path = format!("/api/users/{id}");
        let (answer, user) = asker.json(&path, 200)?;
        same(&expected.users[id - 1], &user).map_err(|why| format!("{path}: {why}"))?;
        let etag = format!("\"u{id}-v{}\"", user["version"]);
        if answer.header("etag") != Some(&etag) {
            return Err(format!(
                "{path}: ETag {:?}, not {etag}",
                answer.header("etag")
            ));
        }
    }
    asker
        .get(&format!("/api/users/{NO_ID}"), &[], 404)
        .map(|_| ())
}

fn conditional(asker: &mut Asker) -> Result<(), String> {
    let answer = asker.get("/api/users/1", &[], 200)?;
    let etag = answer.header("etag").ok_or("no ETag")?.to_owned();
    let line = format!("If-None-Match: {etag}");
    for _ in 0..2 {
        let answer = asker.get("/api/users/1", &[&line], 304)?;
        if answer.header("etag") != Some(&etag) {
            return Err("a 304 without the ETag".to_owned());
        }
    }
    // Had a 304 a body, it would stand where this answer should begin.
    asker
        .get("/api/users/1", &["If-None-Match: \"other\""], 200)
        .map(|_| ())
}

fn json(asker: &mut Asker, scenario: &Scenario, expected: &Expected) -> Result<(), String> {
    let path = scenario
        .argument("path")
        .unwrap_or_else(|| "/json/50".to_owned());
    let count = path.rsplit('/').next().and_then(|text| text.parse().ok());
    let count: usize = count.ok_or_else(|| format!("a count at the end of {path}"))?;
    for headers in [&["Accept-Encoding: gzip"][..], &[]] {
        let answer = asker.get(&path, headers, 200)?;
        let told = |why| format!("{path} with {headers:?}: {why}");
        if answer.header("content-encoding").is_some() && headers.is_empty() {
            return Err(told("compressed, and nobody asked for it".to_owned()));
        }
        let found = parse_json(&answer).map_err(told)?;
        same(&expected.items(count), &found).map_err(told)?;
        let asks_gzip = scenario
            .argument("header")
            .is_some_and(|line| line.contains("gzip"));
        let is_plain = answer.header("content-encoding") != Some("gzip");
        if asks_gzip && !headers.is_empty() && is_plain {
            return Err(told("not compressed".to_owned()));
        }
    }
    Ok(())
}

fn file(asker: &mut Asker, scenario: &Scenario, expected: &Expected) -> Result<(), String> {
    let path = scenario.argument("path").unwrap_or_default();
    let name = path.rsplit('/').next().unwrap_or_default();
    let known = expected.files.iter().find(|(known, _)| known == name);
    let (_, right) = known.ok_or_else(|| format!("no static file {name}"))?;
    let answer = asker.get(&path, &[], 200)?;
    if hash(&answer.body) != *right {
        return Err(format!(
            "{path}: {} bytes, and not the file's",
            answer.body.len()
        ));
    }
    match answer.header("etag").or(answer.header("last-modified")) {
        Some(_) => Ok(()),
        None => Err(format!("{path}: neither ETag nor Last-Modified")),
    }
}

fn users_api(asker: &mut Asker, scenario: &Scenario, expected: &Expected) -> Result<(), String> {
    users(asker, expected)?;
    check_list(asker, expected)?;
    if scenario.cache_ttl_ms > 0 {
        check_cache(asker)?;
    }
    check_writes(asker)
}

fn check_list(asker: &mut Asker, expected: &Expected) -> Result<(), String> {
    let path = "/api/users?limit=20";
    let (_, list) = asker.json(path, 200)?;
    let told = |why| format!("{path}: {why}");
    let (Some(right), Some(found)) = (expected.list.as_object(), list.as_object()) else {
        return Err(told("no object".to_owned()));
    };
    for (name, value) in right {
        let other = found
            .get(name)
            .ok_or_else(|| told(format!("{name} is missing")))?;
        // Rows must be the same; how a page names the next one is its affair.
        if value.is_array() {
            same(value, other).map_err(|why| told(format!("{name}: {why}")))?;
        }
    }
    Ok(())
}

fn check_cache(asker: &mut Asker) -> Result<(), String> {
    // The cache may keep an answer for little time, and this machine be busy.
    let mut seen = String::new();
    for _ in 0..5 {
        for _ in 0..2 {
            let (answer, _) = asker.json("/api/users/7", 200)?;
            seen = answer.header("x-cache").unwrap_or("no X-Cache").to_owned();
        }
        if seen == "HIT" {
            return Ok(());
        }
    }
    Err(format!(
        "/api/users/7 asked for twice: X-Cache is {seen}, not HIT"
    ))
}

fn check_writes(asker: &mut Asker) -> Result<(), String> {
    let body = r#"{"name":"Versus One","email":"versus-put@example.com","age":41}"#;
    let before = asker.json("/api/users/9", 200)?.1;
    asker.write("PUT", "/api/users/9", body, 200)?;
    let (_, user) = asker.json("/api/users/9", 200)?;
    if user["name"] != "Versus One" || user["age"] != 41 {
        return Err(format!("PUT /api/users/9, and then GET: {user}"));
    }
    if user["version"].as_i64() <= before["version"].as_i64() {
        return Err(format!("PUT /api/users/9 made no new version: {user}"));
    }
    let body = r#"{"name":"Versus Two","email":"versus-post@example.com","age":42}"#;
    let created = asker.write("POST", "/api/users", body, 201)?;
    let location = created
        .header("location")
        .ok_or("POST /api/users: no Location")?
        .to_owned();
    let path = location
        .find("/api/")
        .map_or(location.as_str(), |at| &location[at..]);
    let (_, user) = asker.json(path, 200)?;
    match user["email"] == "versus-post@example.com" {
        true => Ok(()),
        false => Err(format!("POST /api/users, and then GET {path}: {user}")),
    }
}
