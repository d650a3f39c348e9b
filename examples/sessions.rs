//! Logging in and out, with sessions in a backend of one's own.
//!
//! The backend here is memory that all shards share; a real one is a database. With
//! `App::redis` the sessions are in Redis and only `login` is asked.
//!
//! ```text
//! cargo run --example sessions
//! curl -c jar -d 'email=ada@example.com&password=correct horse' http://127.0.0.1:8080/login
//! curl -b jar http://127.0.0.1:8080/me
//! curl -b jar -X POST http://127.0.0.1:8080/logout
//! ```

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use corelane::session::{SessionHash, SessionOptions, SessionRecord};
use corelane::sessions::{BackendFuture, Login, SessionBackend};
use corelane::{App, Ctx, Error, Response, Server, password};
use http::{StatusCode, header};

/// The one user, and everybody's sessions by the hash of their id.
#[derive(Clone)]
struct Users {
    password_hash: String,
    sessions: Arc<Mutex<BTreeMap<[u8; 32], SessionRecord>>>,
}

impl Users {
    fn sessions(&self) -> MutexGuard<'_, BTreeMap<[u8; 32], SessionRecord>> {
        self.sessions.lock().expect("no panic")
    }
}

impl SessionBackend for Users {
    fn login<'a>(&'a self, email: &'a str) -> BackendFuture<'a, Option<Login>> {
        let login = (email == "ada@example.com").then(|| Login {
            user_id: 1,
            password_hash: Some(self.password_hash.clone()),
        });
        Box::pin(async { Ok(login) })
    }

    fn session<'a>(&'a self, hash: &'a SessionHash) -> BackendFuture<'a, Option<SessionRecord>> {
        let record = self.sessions().get(hash.as_bytes()).copied();
        Box::pin(async move { Ok(record) })
    }

    fn begin_session(
        &self,
        hash: SessionHash,
        record: SessionRecord,
        replaced: Option<SessionHash>,
    ) -> BackendFuture<'_, bool> {
        let mut sessions = self.sessions();
        if let Some(replaced) = replaced {
            sessions.remove(replaced.as_bytes());
        }
        sessions.insert(*hash.as_bytes(), record);
        Box::pin(async { Ok(true) })
    }

    fn refresh_session(&self, hash: SessionHash, record: SessionRecord) -> BackendFuture<'_, ()> {
        if let Some(known) = self.sessions().get_mut(hash.as_bytes()) {
            *known = record;
        }
        Box::pin(async { Ok(()) })
    }

    fn end_session(&self, hash: SessionHash) -> BackendFuture<'_, ()> {
        self.sessions().remove(hash.as_bytes());
        Box::pin(async { Ok(()) })
    }
}

#[derive(serde::Deserialize)]
struct Form {
    email: String,
    password: String,
}

async fn log_in(mut ctx: Ctx) -> Result<Response, Error> {
    let form: Form = ctx.form().await?;
    let begun = ctx.log_in(&form.email, form.password).await?;
    let wrong = || Error::new(StatusCode::UNAUTHORIZED, "email or password is wrong");
    let mut response = Response::text("welcome\n");
    response.append_header(header::SET_COOKIE, begun.ok_or_else(wrong)?.set_cookie);
    Ok(response)
}

async fn me(mut ctx: Ctx) -> Result<Response, Error> {
    let session = ctx.session().await?;
    let nobody = || Error::new(StatusCode::UNAUTHORIZED, "log in first");
    Ok(Response::text(format!(
        "user {}\n",
        session.ok_or_else(nobody)?.user_id
    )))
}

async fn log_out(mut ctx: Ctx) -> Result<Response, Error> {
    let mut response = Response::text("goodbye\n");
    response.append_header(header::SET_COOKIE, ctx.end_session().await?);
    Ok(response)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut salt = [0; password::SALT_BYTES];
    getrandom::fill(&mut salt)?;
    let users = Users {
        password_hash: password::hash(b"correct horse", salt)?,
        sessions: Arc::default(),
    };
    let app = App::new()
        .state(move |_shard| {
            let users = users.clone();
            async move { Ok(users) }
        })
        .sessions(SessionOptions::default())
        .session_backend::<Users>()
        .post("/login", log_in)
        .get("/me", me)
        .post("/logout", log_out);
    let listen = std::env::args().nth(1);
    let listen: SocketAddr = listen.as_deref().unwrap_or("127.0.0.1:8080").parse()?;
    Server::new(app).listen(listen).run()?;
    Ok(())
}
